// SPDX-License-Identifier: MIT

package stream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// proxyFor names the proxy of a request. Tests have their own.
var proxyFor = http.ProxyFromEnvironment

// A proxy is what stands between this machine and a server, as the environment
// says; nil where nothing does.
type proxy struct {
	url      *url.URL
	variable string // of the environment
}

// findProxy reads the environment, once in the life of the process.
func findProxy(server *url.URL) (*proxy, error) {
	p := &proxy{variable: "HTTP_PROXY"}
	as := bare(server)
	if as.Scheme = "http"; server.Scheme == "wss" {
		as.Scheme, p.variable = "https", "HTTPS_PROXY"
	}
	var err error
	if p.url, err = proxyFor(&http.Request{URL: as}); err != nil { // which quotes the value
		return nil, fault(syscall.EINVAL, "the environment variable %s is no URL of a proxy: write http://HOST:PORT", p.variable)
	}
	if p.url == nil {
		return nil, nil
	}
	switch p.url.Scheme {
	case "http", "socks5", "socks5h":
		return p, nil
	}
	return nil, fault(syscall.EINVAL, "the environment variable %s names a proxy that is not spoken to: http:// and socks5:// are", p.variable)
}

// failed says that an error is the proxy's, not the server's.
func (p *proxy) failed(err error) error {
	return fmt.Errorf("the proxy %s (from the environment variable %s): %w", ShowURL(p.url.String()), p.variable, err)
}

// address is where the proxy listens.
func (p *proxy) address() string {
	port := p.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "socks5": "1080", "socks5h": "1080"}[p.url.Scheme]
	}
	return net.JoinHostPort(p.url.Hostname(), port)
}

// open has the proxy connect to an address, over a connection to it.
func (p *proxy) open(conn net.Conn, address string) error {
	if strings.HasPrefix(p.url.Scheme, "socks") {
		return p.socks(conn, address)
	}
	return p.tunnel(conn, address)
}

// tunnel asks with HTTP's CONNECT (RFC 9110 section 9.3.6).
func (p *proxy) tunnel(conn net.Conn, address string) error {
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if p.url.User != nil {
		ask.Header.Set("Proxy-Authorization", basic(p.url.User))
	}
	head, err := newHeadConn(conn)
	if err == nil {
		err = ask.Write(conn)
	}
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(head), ask)
	if err != nil {
		if text := p.say(err.Error()); strings.Contains(text, hidden) { // it has words of the answer
			return fault(syscall.EPROTO, "%s", text)
		}
		return err
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired:
		return &refusal{error: fault(syscall.EACCES, "it answered HTTP %s: it wants user and password in its URL", p.say(answer.Status))}
	}
	return &refusal{error: fault(syscall.EPROTO, "it answered HTTP %s", p.say(answer.Status))}
}

// say is what the proxy said, fit for a sentence.
func (p *proxy) say(words string) string { return plain(mask(words, secretsOf(p.url.User))) }

// socks asks as RFC 1928 says, with the user and password of RFC 1929.
func (p *proxy) socks(conn net.Conn, address string) error {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return err
	}
	user, password := p.url.User.Username(), ""
	if p.url.User != nil {
		password, _ = p.url.User.Password()
	}
	if len(name) > 255 || len(user) > 255 || len(password) > 255 {
		return fault(syscall.EINVAL, "host name, user and password have 255 bytes at most")
	}
	method := byte(0) // no authentication
	if p.url.User != nil {
		method = 2
	}
	answer, err := exchange(conn, []byte{5, 1, method}, 2)
	if err != nil {
		return err
	}
	if answer[0] != 5 {
		return fault(syscall.EPROTO, "it does not speak SOCKS 5")
	}
	if answer[1] != method {
		return fault(syscall.EACCES, "it wants another way to say who we are: user and password belong in its URL")
	}
	if method == 2 {
		who := append([]byte{1, byte(len(user))}, user...)
		who = append(append(who, byte(len(password))), password...)
		if answer, err = exchange(conn, who, 2); err != nil {
			return err
		}
		if answer[1] != 0 {
			return fault(syscall.EACCES, "it does not take the user and password of its URL")
		}
	}
	ask := append([]byte{5, 1, 0, 3, byte(len(name))}, name...) // the proxy looks the name up
	if ip, err := netip.ParseAddr(name); err == nil {
		ask = append([]byte{5, 1, 0, map[bool]byte{true: 1, false: 4}[ip.Is4()]}, ip.AsSlice()...)
	}
	if answer, err = exchange(conn, append(ask, byte(number>>8), byte(number)), 5); err != nil {
		return err
	}
	if code := int(answer[1]); code != 0 {
		texts := []string{1: "a failure of its own", "its rules forbid it", "the network is out of its reach", "the host is out of its reach", "nothing listens there"}
		text := fmt.Sprintf("code %d", code)
		if code < len(texts) {
			text = texts[code]
		}
		return fault(syscall.EPROTO, "it cannot connect to the server: %s", text)
	}
	rest := map[byte]int{1: net.IPv4len - 1, 3: int(answer[4]), 4: net.IPv6len - 1}[answer[3]]
	if rest == 0 {
		return fault(syscall.EPROTO, "it does not speak SOCKS 5")
	}
	_, err = io.ReadFull(conn, make([]byte, rest+2))
	return err
}

// exchange writes a question of SOCKS and reads an answer of n bytes.
func exchange(conn net.Conn, question []byte, n int) ([]byte, error) {
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(conn, answer); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fault(syscall.EPROTO, "it broke off: does it speak SOCKS 5?")
	} else if err != nil {
		return nil, err
	}
	return answer, nil
}
