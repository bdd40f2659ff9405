// SPDX-License-Identifier: MIT

package stream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
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
		pair, err := a.keyPair()
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (a *Access) keyPair() (pair tls.Certificate, err error) {
	if a.Cert == "" || a.Key == "" {
		return pair, fmt.Errorf("tls_cert and tls_key go together: set both: %w", syscall.EINVAL)
	}
	if pair, err = tls.LoadX509KeyPair(a.Cert, a.Key); err == nil {
		return pair, nil
	}
	// ENCRYPTED stands in the first line of PKCS #8, in the second of older files.
	if key, e := os.ReadFile(a.Key); e == nil && bytes.Contains(key, []byte("ENCRYPTED")) {
		return pair, fmt.Errorf("tls_key %s is encrypted, and there is nobody to ask for its password: write it out without one (openssl pkey -in KEY -out PLAIN): %w", a.Key, syscall.EINVAL)
	}
	return pair, fmt.Errorf("tls_cert %s and tls_key %s: %w: %w", a.Cert, a.Key, err, syscall.EINVAL)
}

// subprotocols are those to ask for; a comma is between two.
func (a *Access) subprotocols() []string {
	return strings.FieldsFunc(a.Subprotocol, func(r rune) bool { return r == ',' || r == ' ' })
}

// CheckHeader tells why "Name: value" cannot be a header of a handshake, or
// nil. The error does not hold the value, which may be a secret.
func CheckHeader(line string) error {
	name, value, found := strings.Cut(line, ":")
	switch {
	case !found:
		return fmt.Errorf("there is no colon: write Name: value: %w", syscall.EINVAL)
	case !isToken(name):
		return fmt.Errorf("a character before the colon may not stand in a name: write Name: value: %w", syscall.EINVAL)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }):
		return fmt.Errorf("a control character is in the value of %s: %w", name, syscall.EINVAL)
	}
	switch lower := strings.ToLower(name); {
	case lower == "sec-websocket-protocol":
		return fmt.Errorf("%s belongs to the handshake: set the option subprotocol: %w", name, syscall.EINVAL)
	case slices.Contains(ownHeaders, lower), strings.HasPrefix(lower, "sec-websocket-"), strings.HasPrefix(lower, "record-"):
		return fmt.Errorf("%s belongs to the handshake, and is the library's to set: %w", name, syscall.EINVAL)
	case lower == "host" && strings.ContainsAny(strings.TrimSpace(value), " \t/@?#,"):
		return fmt.Errorf("the value of Host is a host name, and perhaps a port: %w", syscall.EINVAL)
	}
	return nil
}

// ownHeaders would change what a handshake is.
var ownHeaders = []string{
	"upgrade", "connection", "content-length", "transfer-encoding", "trailer", "te", "expect", "keep-alive", "proxy-connection",
}

// isToken is RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7F || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

// header is what each handshake carries: the URL's user and password as RFC
// 7617 wants them, and lines, whose Authorization comes before those.
func (a *Access) header(u *url.URL, lines []string) (http.Header, error) {
	h := http.Header{}
	if u.User != nil {
		h.Set("Authorization", basic(u.User))
	}
	for _, line := range lines {
		if err := CheckHeader(line); err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "authorization", "host":
			h.Set(name, value)
		default:
			h.Add(name, value)
		}
	}
	for _, name := range a.subprotocols() {
		if !isToken(name) {
			return nil, fmt.Errorf("subprotocol: %q is no name of one: %w", name, syscall.EINVAL)
		}
	}
	return h, nil
}

func basic(u *url.Userinfo) string {
	password, _ := u.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password))
}
