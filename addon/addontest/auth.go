package addontest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// SetUser gives Home Assistant a user with a password; "" takes it away.
func (s *Supervisor) SetUser(name, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if password == "" {
		delete(s.users, name)
		return
	}
	s.users[name] = password
}

// auth answers /auth. What stands in Authorization counts as a user's credentials,
// even if it is the app's token.
func (s *Supervisor) auth(w http.ResponseWriter, r *http.Request, a *App) {
	if !a.AuthAPI {
		fail(w, http.StatusForbidden, "Can't use Home Assistant auth!", "", nil)
		return
	}
	refuse := func(basic bool) {
		if basic {
			w.Header().Set("WWW-Authenticate", `Basic realm="Home Assistant Authentication"`)
		}
		plain(w, http.StatusUnauthorized)
	}
	var name, password string
	switch contentType := r.Header.Get("Content-Type"); {
	case r.Header.Get("Authorization") != "":
		var isBasic bool
		if name, password, isBasic = r.BasicAuth(); !isBasic {
			refuse(true)
			return
		}
	case contentType == "application/json":
		var v map[string]any
		if json.NewDecoder(r.Body).Decode(&v) != nil {
			fail(w, http.StatusBadRequest, "Invalid json", "", nil)
			return
		}
		user := v["username"]
		if user == nil {
			user = v["user"]
		}
		var isText, isAlso bool
		name, isText = user.(string)
		password, isAlso = v["password"].(string)
		if !isText || !isAlso {
			fail(w, http.StatusUnauthorized, "Username and password must be strings", "auth_invalid_non_string_value_error", nil)
			return
		}
	case contentType == "application/x-www-form-urlencoded":
		if r.ParseForm() != nil {
			refuse(false)
			return
		}
		form := url.Values(r.PostForm)
		name, password = form.Get("username"), form.Get("password")
	default:
		refuse(true)
		return
	}
	switch good, known := s.login(r, name, password); {
	case !known:
		fail(w, http.StatusInternalServerError, "Unable to validate authentication details with Home Assistant", "auth_home_assistant_api_validation_error", nil)
	case !good:
		refuse(r.Header.Get("Authorization") != "")
	default:
		ok(w, nil)
	}
}

// login is the Supervisor's check with its cache: a name that it knows is answered
// from there, and looked up behind the caller's back.
func (s *Supervisor) login(r *http.Request, name, password string) (good, known bool) {
	name = strings.ToLower(strings.TrimSpace(name)) // as Core's provider does
	up := s.Core.wait(r.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	cached, isCached := s.logins[name]
	right := s.users[name] != "" && s.users[name] == password
	if !up {
		return isCached && cached == password, isCached
	}
	if isCached {
		if right {
			s.logins[name] = password
		} else if cached == password {
			delete(s.logins, name)
		}
		return cached == password, true
	}
	if right {
		s.logins[name] = password
	}
	return right, true
}
