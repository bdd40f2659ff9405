// SPDX-License-Identifier: MIT

// Package page is what a browser gets: the page itself, which is part of the
// program, and what it asks for while it is open.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"msprecord/cmd/record-server/live"
	"msprecord/cmd/record-server/pcm"
)

// Prefix is where all of the page lies, except its first file. No name of a
// stream begins with a dot.
const Prefix = "/.page/"

//go:embed assets
var embedded embed.FS

// Handler serves the page.
type Handler struct {
	root      *os.Root
	hub       *live.Hub
	assumed   pcm.Format
	setFormat func(name string, f pcm.Format) error
	assets    fs.FS
	tag       string // of all assets together
	mux       *http.ServeMux
}

// New returns the page of the recordings in root. assumed is the format of
// files that say nothing of their own; setFormat changes what a recording's
// samples are said to be.
func New(root *os.Root, hub *live.Hub, assumed pcm.Format, setFormat func(string, pcm.Format) error) *Handler {
	assets, err := fs.Sub(embedded, "assets")
	if err != nil {
		panic(err) // a name that is no path
	}
	h := &Handler{root: root, hub: hub, assumed: assumed, setFormat: setFormat, assets: assets, mux: http.NewServeMux()}
	sum := sha256.New()
	fs.WalkDir(assets, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			p, _ := fs.ReadFile(assets, name)
			sum.Write(p)
		}
		return err
	})
	h.tag = `"` + hex.EncodeToString(sum.Sum(nil)[:12]) + `"`

	h.mux.HandleFunc("GET /{$}", h.index)
	h.mux.Handle("GET "+Prefix, http.StripPrefix(Prefix, http.HandlerFunc(h.asset)))
	h.mux.Handle("GET "+Prefix+"live", hub)
	h.mux.HandleFunc("GET "+Prefix+"recordings", h.recordings)
	h.mux.HandleFunc("GET "+Prefix+"view", h.view)
	h.mux.HandleFunc("GET "+Prefix+"samples", h.samples)
	h.mux.HandleFunc("GET "+Prefix+"download", h.download)
	h.mux.HandleFunc("POST "+Prefix+"format", h.format)
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	Guard(w.Header())
	if r.Method == http.MethodPost && !SameOrigin(r) {
		http.Error(w, "a page of another site may not ask for this", http.StatusForbidden)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// Guard sets headers that keep what peers send from becoming anything but
// text, and the page from being part of another.
func Guard(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// SameOrigin reports whether a request comes from a page of this server.
// What sends no Origin is no browser's page.
func SameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	_, host, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(host, r.Host)
}

func (h *Handler) index(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = "index.html"
	h.asset(w, r)
}

var types = map[string]string{
	"html": "text/html; charset=utf-8",
	"css":  "text/css; charset=utf-8",
	"js":   "text/javascript; charset=utf-8",
	"svg":  "image/svg+xml",
}

func (h *Handler) read(name string) ([]byte, error) { return fs.ReadFile(h.assets, name) }

func (h *Handler) asset(w http.ResponseWriter, r *http.Request) {
	p, err := h.read(r.URL.Path)
	kind := types[r.URL.Path[strings.LastIndexByte(r.URL.Path, '.')+1:]]
	if err != nil || kind == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", h.tag)
	if r.Header.Get("If-None-Match") == h.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(p)
}
