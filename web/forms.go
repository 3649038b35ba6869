package web

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// parseForm reads a posted form. The URL's query is no part of it.
func parseForm(r *http.Request) (url.Values, error) {
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		return nil, badRequest("form: %v", err)
	}
	return r.PostForm, nil
}

// idOf returns the {id} of the path. Users of the settings have negative ones.
func idOf(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil {
		return 0, access.ErrNotFound
	}
	return id, nil
}

// revision returns the form's revision: what the page showed when it was opened (case W26).
func revision(form url.Values) (int64, error) {
	n, err := strconv.ParseInt(form.Get("revision"), 10, 64)
	if err != nil {
		return 0, badRequest("revision %q", form.Get("revision"))
	}
	return n, nil
}

// elsewhere gathers problems of fields that the form does not show under the
// empty key, so that none of them is lost.
func elsewhere(p access.Problems, shown ...string) map[string]string {
	out := map[string]string{}
	var rest []string
	for _, field := range slices.Sorted(maps.Keys(p)) {
		if slices.Contains(shown, field) {
			out[field] = p[field]
		} else {
			rest = append(rest, ui.Sentence(p[field]))
		}
	}
	if len(rest) > 0 {
		out[""] = strings.Join(rest, " ")
	}
	return out
}
