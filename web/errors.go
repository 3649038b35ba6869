package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/go-chi/chi/v5/middleware"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/ui"
)

// handler is a page's handler. The error it returns becomes an error page, in fail.
type handler func(w http.ResponseWriter, r *http.Request) error

// handle adapts a handler to net/http.
func (s *Server) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// errBadRequest is wrapped by what only a broken or hostile client sends.
var errBadRequest = errors.New("bad request")

func badRequest(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBadRequest, fmt.Sprintf(format, args...))
}

// fail answers an error. Problems of a form are the form's own business, see
// problemsOf; what arrives here is shown on a page of its own.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.errorPage(w, r, http.StatusRequestEntityTooLarge, ui.ErrorView{
			Icon: "warning", Title: "That is too much", Text: "What was sent is larger than this page takes.",
		})
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.errorPage(w, r, http.StatusRequestTimeout, ui.ErrorView{
			Icon: "clock", Title: "That took too long", Text: "What was sent did not arrive in time, so nothing was changed. Try again.",
		})
	case errors.Is(err, errBadRequest):
		s.errorPage(w, r, http.StatusBadRequest, ui.ErrorView{
			Icon: "warning", Title: "That was not understood", Text: "The browser sent something this page can't read. Go back and try again.",
		})
	case errors.Is(err, access.ErrNotFound), errors.Is(err, broker.ErrNotFound):
		s.notFound(w, r)
	case errors.Is(err, access.ErrConflict):
		s.errorPage(w, r, http.StatusConflict, ui.ErrorView{
			Icon: "warning", Title: "Somebody was faster",
			Text: "This was changed by somebody else after you opened the page, so nothing was saved. Open it again to see what it looks like now.",
		})
	default:
		s.log.Error("request failed", "request", middleware.GetReqID(r.Context()),
			"method", r.Method, "path", r.URL.Path, "err", err)
		s.internalError(w, r)
	}
}

// internalError says that it was our fault, and where to look.
func (s *Server) internalError(w http.ResponseWriter, r *http.Request) {
	s.errorPage(w, r, http.StatusInternalServerError, ui.ErrorView{
		Icon: "warning", Title: "Something went wrong in HearthMQ", Text: "Nothing you did. The broker itself keeps running.",
		RequestID: middleware.GetReqID(r.Context()),
	})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.errorPage(w, r, http.StatusNotFound, ui.ErrorView{
		Icon: "search", Title: "There is nothing here", Text: "The page does not exist, or what it showed was deleted.",
	})
}

// methodNotAllowed leads who opens the answer to a form (a tab that the browser brings
// back, Enter in the address bar) to the page above it, where the form is.
func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	above := url.URL{Path: path.Dir(r.URL.Path)}
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, apiPath+"/") &&
		s.redirect(w, r, above.EscapedPath()) == nil {
		return
	}
	s.errorPage(w, r, http.StatusMethodNotAllowed, ui.ErrorView{
		Icon: "block", Title: "Not this way", Text: "This address is not meant to be opened like that.",
	})
}

// errorPage writes a page that only says what went wrong. Errors before login
// show nothing of the admin, not even its navigation.
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, e ui.ErrorView) {
	v := s.view(r, e.Title, "")
	v.Notices = nil
	v.Bare = !principalOf(r.Context()).admin
	if e.Back == "" && status != http.StatusForbidden {
		e.Back, e.BackLabel = "/", "To the overview"
	}
	if err := s.render(w, r, status, ui.ErrorPage(v, e)); err != nil {
		s.log.Error("error page failed", "request", middleware.GetReqID(r.Context()), "err", err)
		http.Error(w, http.StatusText(status), status)
	}
}

// problemsOf returns the problems of a form, nil when err is something else.
func problemsOf(err error) access.Problems {
	p, _ := errors.AsType[access.Problems](err)
	return p
}
