package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"hearthmq/broker/access"
)

// operation is one of the API's, without the types of its handler. The description and
// the validation are huma's; huma.Register is not used because it is compiled anew for
// each pair of types, which makes the program larger by 25 kB each time.
type operation struct {
	*api
	id     string
	scope  access.TokenScope
	status int
	in     reflect.Type
	params []param
	body   *huma.Schema // nil: there is none
	handle func(ctx context.Context, in any) (out any, err error)
}

// param is a parameter of the path or of the query; both are fields of the input.
type param struct {
	field    []int
	place    string // path or query
	name     string
	fallback string
	schema   *huma.Schema
}

// download is the answer of what gives no JSON.
type download struct{ write func(http.ResponseWriter) }

// operate registers an operation that needs a scope. I is a struct whose fields are
// parameters by their tags path and query, a Body that comes as JSON, or a Request,
// whose body the handler reads itself, of the type that its tag contentType says. O has
// a Body, or is emptyOutput or download. What handle returns as an error becomes a
// problem in one place.
func operate[I, O any](a *api, o huma.Operation, scope access.TokenScope, handle func(context.Context, *I) (*O, error)) {
	a.register(&o, scope, reflect.TypeFor[I](), reflect.TypeFor[O](), func(ctx context.Context, in any) (any, error) {
		out, err := handle(ctx, in.(*I))
		if out == nil {
			return nil, err
		}
		return out, err
	})
}

func (a *api) register(o *huma.Operation, scope access.TokenScope, in, out reflect.Type, handle func(context.Context, any) (any, error)) {
	x := &operation{api: a, id: o.OperationID, scope: scope, in: in, handle: handle}
	o.Security = []map[string][]string{{"token": {string(scope)}}}
	x.describeInput(o)
	x.describeOutput(o, out)
	a.doc.AddOperation(o)
	a.router.Method(o.Method, o.Path, x)
}

func (x *operation) describeInput(o *huma.Operation) {
	schemas := x.doc.Components.Schemas
	for _, f := range reflect.VisibleFields(x.in) {
		switch path, query := f.Tag.Get("path"), f.Tag.Get("query"); {
		case f.Name == "Body":
			x.body = huma.SchemaFromField(schemas, f, schemaName(x.in, o.OperationID+"Request"))
			o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: x.body}}}
		case f.Name == "Request":
			o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{f.Tag.Get("contentType"): {}}}
		case path != "" || query != "":
			p := param{field: f.Index, place: "query", name: query, fallback: f.Tag.Get("default"), schema: huma.SchemaFromField(schemas, f, "")}
			if path != "" {
				p.place, p.name = "path", path
			}
			x.params = append(x.params, p)
			o.Parameters = append(o.Parameters, &huma.Param{
				Name: p.name, In: p.place, Required: path != "", Description: p.schema.Description, Schema: p.schema,
			})
		}
	}
	if len(x.params) > 0 || o.RequestBody != nil {
		o.Errors = append(o.Errors, http.StatusUnprocessableEntity)
	}
}

func schemaName(t reflect.Type, other string) string {
	if t.Name() != "" {
		return t.Name() + "Body"
	}
	return other
}

func (x *operation) describeOutput(o *huma.Operation, out reflect.Type) {
	schemas := x.doc.Components.Schemas
	x.status = o.DefaultStatus
	body, hasBody := out.FieldByName("Body")
	if x.status == 0 {
		x.status = http.StatusOK
		if !hasBody && out != reflect.TypeFor[download]() {
			x.status = http.StatusNoContent
		}
	}
	if o.Responses == nil {
		done := &huma.Response{Description: http.StatusText(x.status)}
		if hasBody {
			s := huma.SchemaFromField(schemas, body, schemaName(out, o.OperationID+"Response"))
			done.Content = map[string]*huma.MediaType{"application/json": {Schema: s}}
		}
		o.Responses = map[string]*huma.Response{strconv.Itoa(x.status): done}
	}
	problem := schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "")
	o.Errors = append(o.Errors, http.StatusUnauthorized, http.StatusInternalServerError)
	if x.scope == access.ScopeAdmin {
		o.Errors = append(o.Errors, http.StatusForbidden)
	}
	for _, code := range o.Errors {
		o.Responses[strconv.Itoa(code)] = &huma.Response{
			Description: http.StatusText(code), Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problem}},
		}
	}
}

// ServeHTTP does the operation.
func (x *operation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if x.scope == access.ScopeAdmin && principalOf(r.Context()).scope != access.ScopeAdmin {
		writeProblem(w, http.StatusForbidden, "this needs a token of scope admin")
		return
	}
	in := reflect.New(x.in)
	err := x.read(in.Elem(), r)
	var out any
	if err == nil {
		out, err = x.handle(r.Context(), in.Interface())
	}
	if err != nil {
		x.fail(w, r, err)
		return
	}
	if d, ok := out.(*download); ok {
		d.write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if out == nil || x.status == http.StatusNoContent {
		w.WriteHeader(x.status)
		return
	}
	writeJSON(w, x.status, "application/json", reflect.ValueOf(out).Elem().FieldByName("Body").Interface())
}

func (x *operation) fail(w http.ResponseWriter, r *http.Request, err error) {
	problem, ok := errors.AsType[*huma.ErrorModel](x.problem(r.Context(), x.id, err))
	if !ok {
		problem = &huma.ErrorModel{Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError)}
	}
	writeJSON(w, problem.Status, "application/problem+json", problem)
}

func writeJSON(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(body) // whoever asked is gone when this fails
}

// read fills the input in, and says all that is wrong with the request at once.
func (x *operation) read(in reflect.Value, r *http.Request) error {
	result, at := &huma.ValidateResult{}, huma.NewPathBuffer(nil, 0)
	locate := func(path ...string) {
		at.Reset()
		for _, p := range path {
			at.Push(p)
		}
	}
	query := r.URL.Query()
	for name := range query {
		if !slices.ContainsFunc(x.params, func(p param) bool { return p.place == "query" && p.name == name }) {
			locate("query", name)
			result.Add(at, "", "unknown query parameter")
		}
	}
	for _, p := range x.params {
		text := query.Get(p.name)
		if p.place == "path" {
			text = pathParam(r, p.name)
		}
		if text == "" {
			text = p.fallback
		}
		if text == "" {
			continue
		}
		locate(p.place, p.name)
		value, err := readText(in.FieldByIndex(p.field), text)
		if err != nil {
			result.Add(at, text, err.Error())
			continue
		}
		huma.Validate(x.doc.Components.Schemas, p.schema, at, huma.ModeWriteToServer, value, result)
	}
	if x.body != nil {
		if err := x.readBody(in.FieldByName("Body"), r, result, func() *huma.PathBuffer { locate("body"); return at }); err != nil {
			return err
		}
	} else if f := in.FieldByName("Request"); f.IsValid() {
		f.Set(reflect.ValueOf(r))
	}
	if len(result.Errors) > 0 {
		for _, err := range result.Errors {
			if detail, ok := err.(*huma.ErrorDetail); ok {
				detail.Value = nil // may be a password, and programs log answers
			}
		}
		return huma.Error422UnprocessableEntity("validation failed", result.Errors...)
	}
	return nil
}

// readBody reads JSON, looks at it as its schema says, and fills body in with it.
func (x *operation) readBody(body reflect.Value, r *http.Request, result *huma.ValidateResult, at func() *huma.PathBuffer) error {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "application/json" {
			return huma.Error415UnsupportedMediaType("the body must be JSON: Content-Type: application/json")
		}
	}
	text, err := io.ReadAll(r.Body) // bounded by bodyLimit
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return huma.Error400BadRequest("a body is needed, with JSON in it")
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return huma.Error400BadRequest("the body is not JSON: " + err.Error())
	}
	if !isText(text) { // which package json would read as something else, passwords too (case A22)
		return huma.Error400BadRequest("the body is not UTF-8")
	}
	before := len(result.Errors)
	huma.Validate(x.doc.Components.Schemas, x.body, at(), huma.ModeWriteToServer, value, result)
	if len(result.Errors) > before {
		return nil
	}
	if err := json.Unmarshal(text, body.Addr().Interface()); err != nil {
		result.Add(at(), "", err.Error())
		return nil
	}
	if body.Kind() != reflect.Struct {
		return nil
	}
	for i := range body.NumField() {
		if text := body.Type().Field(i).Tag.Get("default"); text != "" && body.Field(i).IsZero() {
			if _, err := readText(body.Field(i), text); err != nil {
				return err
			}
		}
	}
	return nil
}

// surrogates are the halves of characters in JSON, together where both are there.
var surrogates = regexp.MustCompile(`(?i)\\\\|\\ud[89ab]..\\ud[c-f]..|\\ud[89a-f]..`)

// isText reports whether JSON means what it says, byte by byte.
func isText(text []byte) bool {
	for _, m := range surrogates.FindAll(text, -1) {
		if len(m) == len(`\ud83d`) {
			return false
		}
	}
	return utf8.Valid(text)
}

// pathParam returns a part of the path as it was meant.
func pathParam(r *http.Request, name string) string {
	text := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return text
	}
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// readText sets a field from text, and returns its value as validation wants it.
func readText(f reflect.Value, text string) (value any, err error) {
	switch v := f.Addr().Interface().(type) {
	case *string:
		*v, value = text, text
	case *bool:
		if *v, err = strconv.ParseBool(text); err != nil {
			return nil, errors.New("must be true or false")
		}
		value = *v
	case *int:
		if *v, err = strconv.Atoi(text); err != nil {
			return nil, errors.New("must be a whole number")
		}
		value = *v
	case *int64:
		if *v, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, errors.New("must be a whole number")
		}
		value = *v
	case *uint64:
		if *v, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, errors.New("must be a whole number, not below 0")
		}
		value = *v
	case *time.Time:
		if *v, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, errors.New("must be a time such as 2026-05-01T12:00:00Z")
		}
		value = text
	default:
		panic("web: no parameter can be a " + f.Type().String())
	}
	return value, nil
}

// bodyProblem says what kept a request's body from being read; nil: something else.
func bodyProblem(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return huma.Error413RequestEntityTooLarge("at most " + strconv.FormatInt(tooLarge.Limit, 10) + " bytes can be sent here")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return huma.NewError(http.StatusRequestTimeout, "what was sent did not arrive in time; nothing was changed")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return huma.Error400BadRequest("what was sent ended too early")
	case errors.Is(err, errBadRequest):
		return huma.Error400BadRequest(strings.TrimPrefix(err.Error(), errBadRequest.Error()+": "))
	}
	return nil
}
