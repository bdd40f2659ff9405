// SPDX-License-Identifier: MIT

package page

import (
	"net/http"
	"strings"
)

// Login answers a browser that does not have the token yet: with a page that
// asks for it, and the files which that needs. It takes what the page sends
// to right, which is to set a cookie if it is the token. It returns false for
// what is not about logging in.
func (h *Handler) Login(w http.ResponseWriter, r *http.Request, right func(token string) bool) bool {
	Guard(w.Header())
	switch path := r.URL.Path; {
	case r.Method == http.MethodPost && path == Prefix+"login" && SameOrigin(r):
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		to := "../"
		if !right(r.PostFormValue("token")) {
			to = "../#wrong"
		}
		// Relative, for whoever has a proxy with a path before us.
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
	case r.Method == http.MethodGet && path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html"):
		p, err := h.read("login.html")
		if err != nil {
			return false
		}
		w.Header().Set("Content-Type", types["html"])
		w.WriteHeader(http.StatusUnauthorized)
		w.Write(p)
	case r.Method == http.MethodGet && (path == Prefix+"style.css" || path == Prefix+"icon.svg"):
		h.mux.ServeHTTP(w, r)
	default:
		return false
	}
	return true
}
