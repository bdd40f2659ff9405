// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"msprecord/cmd/record-server/archive"
)

// refuse answers a handshake that is not taken, with the reason.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, status int, reason error) {
	text := fmt.Sprintf("%d: %s", status, printable(strings.TrimPrefix(reason.Error(), "websocket: ")))
	w.Header().Set("Connection", "close") // a refused sender should not hold a descriptor
	s.status.refuse("refused %s with %s", r.RemoteAddr, text)
	http.Error(w, "record-server: refused with "+text, status)
}

// stranger answers whoever does not have the token.
func (s *server) stranger(w http.ResponseWriter, r *http.Request, upgrade bool) {
	right := func(token string) bool {
		if !s.gate.right(token) {
			s.status.refuse("refused %s: not the token", r.RemoteAddr)
			return false
		}
		s.gate.setCookie(w)
		return true
	}
	if !upgrade && s.pages.Login(w, r, right) {
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="record-server"`)
	s.refuse(w, r, http.StatusUnauthorized, errors.New("send the token that -token has, as Authorization: Bearer"))
}

func httpStatus(err error) int {
	var (
		bad archive.NameError
		no  *refusal
	)
	switch {
	case errors.As(err, &no):
		return no.status
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, errDirFull):
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// page is for whoever comes without a WebSocket: the page for browsers, and
// the streams as text for curl and the like. Paths other than / are those
// of streams and have no page, so that a script does not take this text for
// a recording.
func (s *server) page(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.pages.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "record-server: only GET", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Path != "/" {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusUpgradeRequired)
	}
	fmt.Fprintf(w, "This is record-server: it stores what is sent to it over a WebSocket.\n"+
		"Send binary messages to ws://%s/NAME and they are appended to the file NAME.\n\n", printable(r.Host))
	s.status.page(w)
}
