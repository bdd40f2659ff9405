// SPDX-License-Identifier: MIT

package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// gate says who is taken, and how fast he is heard.
type gate struct {
	limits limits
	secret [32]byte // hash of the token
	locked bool     // there is one
	secure bool     // cookies go over TLS only

	mu    sync.Mutex
	count int              // streams
	peers map[string]*peer // by address, while they have connections or debts
}

// peer is what is known of an address.
type peer struct {
	streams int
	conns   int
	free    time.Time // when what it has sent is paid for
}

func newGate(c config) *gate {
	return &gate{
		limits: c.limits, secret: sha256.Sum256([]byte(c.token)), locked: c.token != "", secure: c.cert != "",
		peers: map[string]*peer{},
	}
}

// host is the address of a peer without its port.
func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// admit counts a stream in, or says why not. force is for one that comes in
// place of another.
func (g *gate) admit(addr string, force bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peer(host(addr))
	if n := g.limits.streams; n > 0 && g.count >= n && !force {
		return &refusal{http.StatusServiceUnavailable, fmt.Sprintf("there are %s already, and no more are taken", count(int64(n), "stream"))}
	}
	if n := g.limits.perPeer; n > 0 && p.streams >= n && !force {
		return &refusal{http.StatusTooManyRequests, fmt.Sprintf("there are %s from this address already", count(int64(n), "stream"))}
	}
	g.count++
	p.streams++
	return nil
}

// leave undoes n admits.
func (g *gate) leave(addr string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count -= n
	g.peer(host(addr)).streams -= n
}

func (g *gate) peer(host string) *peer {
	p := g.peers[host]
	if p == nil {
		p = &peer{}
		g.peers[host] = p
	}
	return p
}

// connected and gone bracket a connection, for its address to be remembered.
func (g *gate) connected(addr string) {
	g.mu.Lock()
	g.peer(host(addr)).conns++
	g.mu.Unlock()
}

func (g *gate) gone(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := host(addr)
	if p := g.peer(h); p.conns > 1 {
		p.conns--
	} else if p.streams <= 0 {
		delete(g.peers, h)
	}
}

// wait returns how long a peer that has sent n bytes is not to be read. It
// may send for a second at once.
func (g *gate) wait(addr string, n int) time.Duration {
	if g.limits.rate == 0 {
		return 0
	}
	cost := time.Duration(float64(n) / float64(g.limits.rate) * float64(time.Second))
	g.mu.Lock()
	defer g.mu.Unlock()
	p, now := g.peer(host(addr)), time.Now()
	if p.free.Before(now.Add(-time.Second)) {
		p.free = now.Add(-time.Second)
	}
	p.free = p.free.Add(cost)
	return p.free.Sub(now)
}

const cookie = "record-server"

// ticket is what a browser has instead of the token, which it does not keep.
func (g *gate) ticket() string {
	sum := sha256.Sum256(append([]byte("ticket "), g.secret[:]...))
	return hex.EncodeToString(sum[:])
}

// knows tells whether a request has the token: as a bearer, as a password, or
// as the cookie that logging in has set.
func (g *gate) knows(r *http.Request) bool {
	if !g.locked {
		return true
	}
	var token string
	if kind, value, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(kind, "Bearer") {
		token = value
	} else if _, password, ok := r.BasicAuth(); ok {
		token = password
	}
	if token != "" {
		return g.right(token)
	}
	c, err := r.Cookie(cookie)
	return err == nil && subtle.ConstantTimeCompare([]byte(c.Value), []byte(g.ticket())) == 1
}

func (g *gate) right(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], g.secret[:]) == 1
}

// setCookie logs a browser in.
func (g *gate) setCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: cookie, Value: g.ticket(), Path: "/", MaxAge: 30 * 24 * 3600,
		HttpOnly: true, Secure: g.secure, SameSite: http.SameSiteStrictMode,
	})
}
