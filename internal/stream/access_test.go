// SPDX-License-Identifier: MIT

package stream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A certOf is what a test wants of a certificate that signs itself.
type certOf struct {
	names       []string
	ips         []net.IP
	common      string
	from, until time.Time
}

func certificate(t testing.TB, of certOf) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if of.from.IsZero() {
		of.from = time.Now().Add(-time.Hour)
	}
	if of.until.IsZero() {
		of.until = time.Now().Add(time.Hour)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: of.common}, DNSNames: of.names, IPAddresses: of.ips,
		NotBefore: of.from, NotAfter: of.until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// pemFile writes certificates to a file for tls_ca.
func pemFile(t testing.TB, certs ...tls.Certificate) string {
	t.Helper()
	var all []byte
	for _, c := range certs {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})...)
	}
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestACertificateThatDoesNotFitIsExplained(t *testing.T) {
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	today := time.Now().UTC().Format("2006-01-02")
	for what, row := range map[string]struct {
		certOf
		unknown bool
		words   []string
	}{
		"expired": {certOf: certOf{ips: here, from: time.Unix(0, 0), until: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)}, words: []string{"expired on 2001-02-03", today}},
		"to come": {certOf: certOf{ips: here, from: time.Date(2099, 2, 3, 4, 5, 6, 0, time.UTC), until: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)},
			words: []string{"valid from 2099-02-03", "clock says " + today}},
		"another host":    {certOf: certOf{names: []string{"a.example", "b.example"}}, words: []string{"is for a.example, b.example, not for 127.0.0.1"}},
		"the common name": {certOf: certOf{common: "127.0.0.1"}, words: []string{"old Common Name", "subjectAltName"}},
		"unknown":         {certOf: certOf{ips: here}, unknown: true, words: []string{"not trusted", "tls_ca"}},
	} {
		t.Run(what, func(t *testing.T) {
			cert := certificate(t, row.certOf)
			srv := script(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(net.Conn, *http.Request, int) {})
			cfg := config(t, srv.url)
			if cfg.Access.CA = pemFile(t, cert); row.unknown {
				cfg.Access.CA = pemFile(t, certificate(t, certOf{}))
			}
			err := tryOpen(t, cfg)
			for _, words := range row.words {
				if !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), words) {
					t.Errorf("%v; want %q", err, words)
				}
			}
		})
	}
}

func TestAnEncryptedKeyIsSaidToBe(t *testing.T) {
	cert := pemFile(t, certificate(t, certOf{}))
	for what, text := range map[string]string{
		"PKCS #8": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END ENCRYPTED PRIVATE KEY-----\n",
		"older":   "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIF\n-----END EC PRIVATE KEY-----\n",
	} {
		key := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := config(t, "wss://127.0.0.1:1/x")
		cfg.Access.Cert, cfg.Access.Key = cert, key
		if err := tryOpen(t, cfg); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "is encrypted") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAServerThatWantsACertificateSaysSo(t *testing.T) {
	server := testTLS(t)
	server.ClientAuth = tls.RequireAnyClientCert
	srv := script(t, server, func(net.Conn, *http.Request, int) {})
	cfg := config(t, srv.url)
	cfg.Access.Insecure = true
	if err := tryOpen(t, cfg); !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "tls_cert") {
		t.Fatal(err)
	}
}

func TestHeadersOfTheHandshakeAreRefused(t *testing.T) {
	for line, words := range map[string]string{
		"Upgrade: websocket":                           "belongs to the handshake",
		"connection: keep-alive":                       "belongs to the handshake",
		"Sec-WebSocket-Key: secret-value":              "belongs to the handshake",
		"SEC-WEBSOCKET-EXTENSIONS: permessage-deflate": "belongs to the handshake",
		"Sec-WebSocket-Protocol: v10":                  "option subprotocol",
		"Record-Offset: 5":                             "belongs to the handshake",
		"Content-Length: 5":                            "belongs to the handshake",
		"Transfer-Encoding: chunked":                   "belongs to the handshake",
		"no colon secret-value":                        "colon",
		": secret-value":                               "before the colon",
		"a b: secret-value":                            "before the colon",
		"X-Bad: secret-value\x01":                      "control character",
		"X-Bad: a\r\nX-More: secret-value":             "control character",
		"Host: a b":                                    "host name",
		"Authorization: Bearer x":                      "",
		"Host: audio.example.com:80":                   "",
		"X-Name: M\u00fcller\tx":                       "",
		"X-Empty:":                                     "",
	} {
		err := CheckHeader(line)
		switch {
		case words == "" && err != nil:
			t.Errorf("%q: %v", line, err)
		case words != "" && (!errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "secret-value")):
			t.Errorf("%q: %v, where %q is meant", line, err, words)
		}
	}
}

func TestAuthorizationReplacesTheURLsUser(t *testing.T) {
	got := make(chan *http.Request, 10)
	srv := script(t, nil, func(conn net.Conn, req *http.Request, _ int) {
		got <- req
		switchProtocols(conn, req, "")
		io.Copy(io.Discard, conn)
	})
	cfg := config(t, strings.Replace(srv.url, "://", "://user:p%2Fw@", 1))
	if err := tryOpen(t, cfg); err != nil {
		t.Fatal(err)
	}
	if user, password, ok := (<-got).BasicAuth(); !ok || user != "user" || password != "p/w" {
		t.Error(user, password, ok)
	}
	cfg.Access.Headers = []string{"authorization: Token OLD", "Authorization: Token NEW", "Host: other.example", "X-Key: 1", "X-Key: 2"}
	if err := tryOpen(t, cfg); err != nil {
		t.Fatal(err)
	}
	req := <-got
	if v := req.Header.Values("Authorization"); len(v) != 1 || v[0] != "Token NEW" {
		t.Errorf("%q", v)
	}
	if v := req.Header.Values("X-Key"); len(v) != 2 || req.Host != "other.example" {
		t.Errorf("%q, host %q", v, req.Host)
	}
}

func TestASubprotocolThatIsNoNameIsRefused(t *testing.T) {
	for _, name := range []string{"bad\r\nX: y", "a;b", "\u00fc"} {
		cfg := config(t, "ws://127.0.0.1:1/x")
		cfg.Access.Subprotocol = name
		if err := tryOpen(t, cfg); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "subprotocol") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
