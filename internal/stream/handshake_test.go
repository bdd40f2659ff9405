// SPDX-License-Identifier: MIT

package stream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A scripted server answers each request as it is told, n counting from 1.
type scripted struct {
	net.Listener
	url string
	wg  sync.WaitGroup
}

// script serves ws, or wss where config is not nil.
func script(t testing.TB, config *tls.Config, answer func(conn net.Conn, req *http.Request, n int)) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{Listener: l, url: "ws://" + l.Addr().String() + "/x"}
	if config != nil {
		s.url = "wss" + strings.TrimPrefix(s.url, "ws")
	}
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	s.wg.Go(func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			s.wg.Go(func() {
				defer conn.Close()
				over := conn
				if config != nil {
					over = tls.Server(conn, config)
				}
				if req, err := http.ReadRequest(bufio.NewReader(over)); err == nil {
					answer(over, req, n)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		s.wg.Wait()
	})
	return s
}

// testTLS is the configuration of a server that insecure clients take.
func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{certificate(t, certOf{names: []string{"localhost"}})}}
}

// tryOpen opens a stream, and returns what came of it.
func tryOpen(t testing.TB, cfg Config) error {
	t.Helper()
	s, err := Open(context.Background(), cfg, newWaker(t))
	if err == nil {
		s.Close()
	}
	return err
}

// ways are the kinds of connections that a handshake is read on in their ways.
func ways(t *testing.T, run func(t *testing.T, server *tls.Config, mend func(*Config))) {
	t.Run("ws", func(t *testing.T) { run(t, nil, func(*Config) {}) })
	t.Run("ws, listened to", func(t *testing.T) {
		run(t, nil, func(c *Config) { c.Message = func([]byte, bool) {} })
	})
	t.Run("wss", func(t *testing.T) { run(t, testTLS(t), func(c *Config) { c.Access.Insecure = true }) })
	t.Run("wss, through a proxy", func(t *testing.T) {
		useProxy(t, "http://"+newTunnel(t, nil).Addr().String())
		run(t, testTLS(t), func(c *Config) { c.Access.Insecure = true })
	})
	t.Run("ws, through a proxy", func(t *testing.T) {
		useProxy(t, "http://"+newTunnel(t, nil).Addr().String())
		run(t, nil, func(*Config) {})
	})
}

// endless writes piece until the other side has had enough, and adds up how
// much that was.
func endless(conn net.Conn, start, piece string, written *atomic.Int64) {
	p := []byte(strings.Repeat(piece, 16<<10/len(piece)))
	_, err := io.WriteString(conn, start)
	for err == nil && written.Load() < 1<<30 {
		var n int
		n, err = conn.Write(p)
		written.Add(int64(n))
	}
}

func TestAnEndlessAnswerIsAnErrorThatNamesIt(t *testing.T) {
	for what, row := range map[string]struct{ start, piece string }{
		"status line":           {"HTTP/1.1 101 ", "x"},
		"header":                {"HTTP/1.1 101 Switching Protocols\r\nX: ", "x"},
		"headers":               {"HTTP/1.1 101 Switching Protocols\r\n", "X-Name: value\r\n"},
		"informational answers": {"", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"},
	} {
		t.Run(what, func(t *testing.T) {
			ways(t, func(t *testing.T, server *tls.Config, mend func(*Config)) {
				var written atomic.Int64
				srv := script(t, server, func(conn net.Conn, _ *http.Request, _ int) {
					endless(conn, row.start, row.piece, &written)
				})
				cfg := config(t, srv.url)
				mend(&cfg)
				err := tryOpen(t, cfg)
				if !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), "no end within 64 KiB") || !strings.Contains(err.Error(), strings.Fields(what)[0][:6]) && what != "informational answers" {
					t.Error(err)
				}
				srv.Close()
				srv.wg.Wait()
				if n := written.Load(); n > 32<<20 { // what sockets hold
					t.Errorf("%d bytes of it were taken", n)
				}
			})
		})
	}
}

func TestAnEndlessAnswerOfAProxyIsAnErrorThatNamesIt(t *testing.T) {
	var written atomic.Int64
	proxy := script(t, nil, func(conn net.Conn, _ *http.Request, _ int) {
		endless(conn, "HTTP/1.1 200 OK\r\n", "X-Name: value\r\n", &written)
	})
	useProxy(t, "http://"+proxy.Addr().String())
	err := tryOpen(t, config(t, "ws://server.example/x"))
	if !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), "no end within 64 KiB") || !strings.Contains(err.Error(), "the proxy http://"+proxy.Addr().String()) {
		t.Error(err)
	}
}

func TestALongAnswerWithAnEndIsTaken(t *testing.T) {
	ways(t, func(t *testing.T, server *tls.Config, mend func(*Config)) {
		srv := script(t, server, func(conn net.Conn, req *http.Request, _ int) {
			io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\nLink: </x>\n\n")
			var answer strings.Builder
			switchProtocols(&answer, req, "")
			line, rest, _ := strings.Cut(answer.String(), "\r\n")
			fmt.Fprintf(conn, "%s\r\nX-Long: %s\r\n%s", line, strings.Repeat("x", 60<<10), rest)
			io.Copy(io.Discard, conn)
		})
		cfg := config(t, srv.url)
		mend(&cfg)
		if err := tryOpen(t, cfg); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatWasNotOfferedIsAnErrorOfTheServer(t *testing.T) {
	for header, want := range map[string]string{
		"Sec-WebSocket-Extensions: permessage-deflate":                                                         "extension \"permessage-deflate\"",
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover": "extension \"permessage-deflate",
		"Sec-WebSocket-Extensions: other":                                                                      "extension \"other\"",
		"Sec-WebSocket-Protocol: other":                                                                        "subprotocol \"other\"",
	} {
		srv := script(t, nil, func(conn net.Conn, req *http.Request, _ int) {
			var answer strings.Builder
			switchProtocols(&answer, req, "")
			line, rest, _ := strings.Cut(answer.String(), "\r\n")
			fmt.Fprintf(conn, "%s\r\n%s\r\n%s", line, header, rest)
			io.Copy(io.Discard, conn)
		})
		cfg := config(t, srv.url)
		cfg.Access.Subprotocol = "one, two"
		if err := tryOpen(t, cfg); !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), "the server's fault") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", header, err)
		}
	}
}

// What a server says reaches sentences without what could act on a terminal,
// and without secrets that it repeats.
func TestAServersWordsAreHarmless(t *testing.T) {
	const evil = "\x1b[31m\x07 Basic dXNlcjpodW50ZXIy Bearer-t0ken hunter2 qu\u202ery-value"
	answers := map[string]string{
		"status":   "HTTP/1.1 400 " + evil + "\r\nContent-Length: 0\r\n\r\n",
		"body":     fmt.Sprintf("HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil),
		"location": "HTTP/1.1 302 Found\r\nLocation: ws://user:hunter2@other/Bearer-t0ken?x=query-value\r\nContent-Length: 0\r\n\r\n",
		"no HTTP":  evil,
		"header":   "HTTP/1.1 400 Bad\r\n" + evil + "\r\n\r\n",
		"offset":   "",
		"close":    "",
	}
	for what, answer := range answers {
		t.Run(what, func(t *testing.T) {
			srv := script(t, nil, func(conn net.Conn, req *http.Request, _ int) {
				switch what {
				case "close":
					switchProtocols(conn, req, frame(finBit|opClose, "\x03\xf0"+evil)) // 1008
				case "offset":
					var ok strings.Builder
					switchProtocols(&ok, req, "")
					line, rest, _ := strings.Cut(ok.String(), "\r\n")
					fmt.Fprintf(conn, "%s\r\nRecord-Offset: hunter2\x80\r\n%s", line, rest)
				default:
					io.WriteString(conn, answer)
				}
				io.Copy(io.Discard, conn)
			})
			cfg := config(t, strings.Replace(srv.url, "://", "://user:hunter2@", 1)+"?t=query-value")
			cfg.Access.Headers = []string{"X-Token: Bearer-t0ken"}
			s, err := Open(context.Background(), cfg, newWaker(t))
			if err == nil {
				defer s.Close()
				for err == nil {
					select {
					case <-s.waker.C:
					case <-time.After(10 * time.Second):
						t.Fatal("nothing was noticed")
					}
					_, err = s.Reserve(10)
				}
			}
			text := err.Error()
			for _, bad := range []string{"\x1b", "\x07", "\x80", "\u202e", "hunter2", "t0ken", "query-value", "dXNlcjpodW50ZXIy"} {
				if strings.Contains(text, bad) {
					t.Errorf("%q is in %q", bad, text)
				}
			}
			t.Log(text)
		})
	}
}

func TestAServerThatSpeaksFirstIsNoWebSocketServer(t *testing.T) {
	srv := script(t, nil, func(conn net.Conn, _ *http.Request, _ int) {
		io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n")
		io.Copy(io.Discard, conn)
	})
	if err := tryOpen(t, config(t, srv.url)); !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), "no HTTP") {
		t.Fatal(err)
	}
}

func TestHeadersAreAskedForRightBeforeEachDial(t *testing.T) {
	got := make(chan string, 10)
	srv := script(t, nil, func(conn net.Conn, req *http.Request, n int) {
		got <- req.Header.Get("Authorization")
		switchProtocols(conn, req, "") // and the end
	})
	cfg := faultyConfig(t, srv.url)
	dials := 0
	cfg.Headers = func(context.Context) []string {
		dials++
		return []string{fmt.Sprintf("Authorization: Token %d", dials)}
	}
	s := open(t, context.Background(), cfg)
	for n := 1; n <= 4; {
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case token := <-got:
			if token != fmt.Sprintf("Token %d", n) {
				t.Fatalf("dial %d sent %q", n, token)
			}
			n++
		case <-s.waker.C:
		case <-time.After(10 * time.Second):
			t.Fatal("no more dials")
		}
	}
}

func TestHeadersThatAreLateEndWithTheConnectTimeout(t *testing.T) {
	cfg := config(t, "ws://127.0.0.1:1/x")
	cfg.ConnectTimeout = 50 * time.Millisecond
	cfg.Headers = func(ctx context.Context) []string {
		<-ctx.Done()
		return nil
	}
	if err := tryOpen(t, cfg); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Fatal(err)
	}
}
