// SPDX-License-Identifier: MIT

package stream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
)

// useProxy has the dials of a test go through a proxy: the environment is read
// once in a process, and never for loopback addresses.
func useProxy(t testing.TB, proxy string) {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	before := proxyFor
	proxyFor = func(*http.Request) (*url.URL, error) { return u, nil }
	t.Cleanup(func() { proxyFor = before })
}

// newTunnel is a proxy that tunnels to whatever address it is asked for, or to
// at, where that is given.
func newTunnel(t testing.TB, at net.Addr) *scripted {
	return script(t, nil, func(conn net.Conn, req *http.Request, _ int) {
		to := req.Host
		if at != nil {
			to = at.String()
		}
		server, err := net.Dial("tcp", to)
		if req.Method != http.MethodConnect || err != nil {
			io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 Connection established\r\nVia: 1.1 tunnel\r\n\r\n")
		join(conn, server)
	})
}

// join carries what either side says to the other, to the end of both.
func join(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(a, b)
		a.Close()
	}()
	io.Copy(b, a)
	b.Close()
	<-done
}

func TestAProxyIsNamedWhereItFails(t *testing.T) {
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down.Close()
	answers := func(answer string) string {
		return script(t, nil, func(conn net.Conn, _ *http.Request, _ int) { io.WriteString(conn, answer) }).Addr().String()
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	speaker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer speaker.Close()
	go func() {
		for {
			conn, err := speaker.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 400 Bad\r\n\r\n")
			conn.Close()
		}
	}()
	for what, row := range map[string]struct {
		proxy string
		errno syscall.Errno
		words string
	}{
		"down":       {"http://user:secret@" + down.Addr().String(), syscall.ECONNREFUSED, "nothing listens"},
		"forbids":    {"http://user:secret@" + answers("HTTP/1.1 403 No\x1b[31m\r\n\r\n"), syscall.EPROTO, "HTTP 403 No?[31m"},
		"no reason":  {"http://user:secret@" + answers("HTTP/1.1 403\r\n\r\n"), syscall.EPROTO, "HTTP 403"},
		"asks who":   {"http://user:secret@" + answers("HTTP/1.1 407 Who?\r\n\r\n"), syscall.EACCES, "user and password"},
		"repeats":    {"http://user:secret@" + answers("HTTP/1.1 407 I know secret, dXNlcjpzZWNyZXQ=\r\n\r\n"), syscall.EACCES, "I know xxxxx, xxxxx"},
		"malformed":  {"http://user:secret@" + answers("HTTP/1.1 200 OK\r\nsecret\r\n\r\n"), syscall.EPROTO, "xxxxx"},
		"no proxy":   {"http://user:secret@" + answers("220 mail.example ESMTP\r\n"), syscall.EPROTO, "no HTTP"},
		"silent":     {"http://user:secret@" + silent.Addr().String(), syscall.ETIMEDOUT, "no answer within"},
		"no socks":   {"socks5://user:secret@" + speaker.Addr().String(), syscall.EPROTO, "SOCKS 5"},
		"not spoken": {"https://user:secret@proxy.example", syscall.EINVAL, "not spoken to"},
	} {
		t.Run(what, func(t *testing.T) {
			useProxy(t, row.proxy)
			for scheme, variable := range map[string]string{"ws": "HTTP_PROXY", "wss": "HTTPS_PROXY"} {
				cfg := config(t, scheme+"://server.example/x")
				if what == "silent" {
					cfg.ConnectTimeout /= 20
				}
				err := tryOpen(t, cfg)
				if !errors.Is(err, row.errno) || !strings.Contains(err.Error(), row.words) || !strings.Contains(err.Error(), "proxy") ||
					!strings.Contains(err.Error(), variable) || strings.ContainsAny(err.Error(), "\x1b") || strings.Contains(err.Error(), "secret") {
					t.Errorf("%v; want %v and %q", err, row.errno, row.words)
				}
			}
		})
	}
}

func TestAProxyVariableThatIsNoURLIsNotQuoted(t *testing.T) {
	before := proxyFor
	defer func() { proxyFor = before }()
	proxyFor = func(*http.Request) (*url.URL, error) { return nil, errors.New("invalid proxy address \"user:secret\"") }
	if err := tryOpen(t, config(t, "ws://server.example/x")); !errors.Is(err, syscall.EINVAL) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "HTTP_PROXY") {
		t.Fatal(err)
	}
}

func TestAProxyIsToldWhoWeAre(t *testing.T) {
	got := make(chan string, 1)
	proxy := script(t, nil, func(conn net.Conn, req *http.Request, _ int) {
		got <- req.Header.Get("Proxy-Authorization") + " " + req.Host
	})
	useProxy(t, "http://user:p%2Fw@"+proxy.Addr().String())
	_ = tryOpen(t, config(t, "wss://server.example/x"))
	if s := <-got; s != "Basic dXNlcjpwL3c= server.example:443" {
		t.Error(s)
	}
}

func TestAStreamGoesThroughASOCKSProxy(t *testing.T) {
	srv := script(t, nil, func(conn net.Conn, req *http.Request, _ int) {
		switchProtocols(conn, req, "")
		io.Copy(io.Discard, conn)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	trouble := make(chan error, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { trouble <- socksServer(conn, srv.Addr().String()) }()
		}
	}()
	for _, user := range []string{"", "user:pass@"} {
		useProxy(t, "socks5://"+user+l.Addr().String())
		for _, to := range []string{"ws://server.example:99/x", "ws://127.0.0.1:99/x", "ws://[::1]:99/x"} {
			if err := tryOpen(t, config(t, to)); err != nil {
				t.Errorf("%s %s: %v", user, to, err)
			}
			if err := <-trouble; err != nil {
				t.Errorf("%s %s: %v", user, to, err)
			}
		}
	}
}

// socksServer is the server of RFC 1928 that connects to one address.
func socksServer(conn net.Conn, to string) error {
	defer conn.Close()
	in := bufio.NewReader(conn)
	next := func(n int) []byte {
		p := make([]byte, n)
		io.ReadFull(in, p)
		return p
	}
	hello := next(2)
	method := next(int(hello[1]))[0]
	conn.Write([]byte{5, method})
	if method == 2 {
		user := string(next(int(next(2)[1])))
		password := string(next(int(next(1)[0])))
		if user != "user" || password != "pass" {
			return fmt.Errorf("user %q, password %q", user, password)
		}
		conn.Write([]byte{1, 0})
	}
	ask := next(4)
	host := map[byte]func() string{
		1: func() string { return net.IP(next(4)).String() },
		3: func() string { return string(next(int(next(1)[0]))) },
		4: func() string { return net.IP(next(16)).String() },
	}[ask[3]]()
	if port := next(2); host != "server.example" && host != "127.0.0.1" && host != "::1" || port[1] != 99 {
		return fmt.Errorf("asked for %q, %d", host, port)
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	conn.Write([]byte{5, 0, 0, 3, 3, 'a', 'b', 'c', 0, 1})
	join(conn, server)
	return nil
}
