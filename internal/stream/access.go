// SPDX-License-Identifier: MIT

package stream

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// Access is what a server asks of whoever connects, and is asked itself.
type Access struct {
	CA          string   // file of PEM certificates to trust in place of the system's
	Cert, Key   string   // PEM files that tell the server who we are
	Insecure    bool     // believe any certificate
	Headers     []string // "Name: value", sent with each handshake
	Subprotocol string   // RFC 6455 section 1.9
}

// tlsConfig is nil where nothing differs from the system's ways.
func (a *Access) tlsConfig() (*tls.Config, error) {
	if a.CA == "" && a.Cert == "" && a.Key == "" && !a.Insecure {
		return nil, nil
	}
	c := &tls.Config{InsecureSkipVerify: a.Insecure}
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: %s holds no PEM certificate: %w", a.CA, syscall.EINVAL)
		}
	}
	if a.Cert != "" || a.Key != "" {
		if a.Cert == "" || a.Key == "" {
			return nil, fmt.Errorf("tls_cert and tls_key go together: set both: %w", syscall.EINVAL)
		}
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("tls_cert %s and tls_key %s: %w: %w", a.Cert, a.Key, err, syscall.EINVAL)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// CheckHeader tells whether "Name: value" can be a header of a handshake.
func CheckHeader(line string) bool {
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" || strings.ContainsAny(value, "\r\n\x00") {
		return false
	}
	for _, c := range []byte(name) { // a token, RFC 9110 section 5.6.2
		if c <= ' ' || c >= 0x7F || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return true
}

// header is what each handshake carries: the URL's user and password as RFC
// 7617 wants them, and the lines that were set.
func (a *Access) header(u *url.URL) (http.Header, error) {
	r := http.Request{Header: http.Header{}}
	if u.User != nil {
		password, _ := u.User.Password()
		r.SetBasicAuth(u.User.Username(), password)
	}
	for _, line := range a.Headers {
		if !CheckHeader(line) {
			return nil, fmt.Errorf("header: %q is not Name: value: %w", line, syscall.EINVAL)
		}
		name, value, _ := strings.Cut(line, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r.Header, nil
}
