// SPDX-License-Identifier: MIT

package core

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/internal/ringbuffer/ringtest"
	"msprecord/internal/worker"
)

// A said is one message of a client, as a strict service sees it.
type said struct {
	kind int
	data string
}

func asText(s string) said   { return said{websocket.TextMessage, s} }
func asBinary(s string) said { return said{websocket.BinaryMessage, s} }

// A service speaks one pattern of the speech services: what must come first,
// what it answers to audio, what may come when idle, and what must come last.
type service struct {
	name     string
	options  map[string]string
	first    *said
	reply    string // to each piece of audio
	idle     *said
	last     said
	result   string // its answer to last
	closes   bool   // it closes after the result; else it waits for the client to
	header   string // "Name: value" that must be there
	protocol string
}

func one(s said) *said { return &s }

var services = []service{
	{
		name:    "Deepgram",
		options: map[string]string{"header": "Authorization: Token abc", "idle_text": `{"type":"KeepAlive"}`, "idle_interval": "30", "close_text": `{"type":"CloseStream"}`, "linger": "5000"},
		header:  "Authorization: Token abc",
		idle:    one(asText(`{"type":"KeepAlive"}`)), last: asText(`{"type":"CloseStream"}`), result: `{"is_final":true}`, closes: true,
	}, {
		name:    "AssemblyAI",
		options: map[string]string{"header": "Authorization: abc", "close_text": `{"type":"Terminate"}`, "linger": "5000"},
		header:  "Authorization: abc",
		last:    asText(`{"type":"Terminate"}`), result: `{"type":"Termination"}`, closes: true,
	}, {
		name:    "Vosk",
		options: map[string]string{"open_text": `{"config":{"sample_rate":16000}}`, "close_text": `{"eof" : 1}`, "linger": "5000"},
		first:   one(asText(`{"config":{"sample_rate":16000}}`)), reply: `{"partial":""}`, last: asText(`{"eof" : 1}`), result: `{"text":"one"}`, closes: true,
	}, {
		name:    "FunASR",
		options: map[string]string{"open_text": `{"mode":"2pass","is_speaking":true}`, "close_text": `{"is_speaking": false}`, "linger": "200", "subprotocol": "binary"},
		first:   one(asText(`{"mode":"2pass","is_speaking":true}`)), last: asText(`{"is_speaking": false}`), result: `{"is_final":true}`, protocol: "binary",
	}, {
		name:    "whisper, END_OF_AUDIO",
		options: map[string]string{"open_text": `{"uid":"1"}`, "close_binary": "END_OF_AUDIO", "linger": "5000"},
		first:   one(asText(`{"uid":"1"}`)), last: asBinary("END_OF_AUDIO"), result: `{"segments":[]}`, closes: true,
	}, {
		name:    "whisper, an empty message",
		options: map[string]string{"open_text": `{"uid":"1"}`, "close_binary": "", "linger": "5000"},
		first:   one(asText(`{"uid":"1"}`)), last: asBinary(""), result: `{"segments":[]}`, closes: true,
	},
}

// serve speaks the pattern on one connection, and returns the audio.
func (s *service) serve(ws *websocket.Conn) (audio []byte, idles int, err error) {
	next := func() (said, error) {
		kind, data, err := ws.ReadMessage()
		return said{kind, string(data)}, err
	}
	if s.first != nil {
		if m, err := next(); err != nil || m != *s.first {
			return nil, 0, fmt.Errorf("first came %v, %v", m, err)
		}
	}
	for {
		m, err := next()
		switch {
		case err != nil:
			return audio, idles, fmt.Errorf("before the last message: %w", err)
		case m == s.last:
			ws.WriteMessage(websocket.TextMessage, []byte(s.result))
			if s.closes {
				ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
			}
			if m, err := next(); !websocket.IsCloseError(err, 1000) {
				return audio, idles, fmt.Errorf("after the last message came %v, %v", m, err)
			}
			return audio, idles, nil
		case s.idle != nil && m == *s.idle:
			idles++
		case m.kind == websocket.BinaryMessage:
			audio = append(audio, m.data...)
			if s.reply != "" {
				ws.WriteMessage(websocket.TextMessage, []byte(s.reply))
			}
		default:
			return audio, idles, fmt.Errorf("unexpected: %v", m)
		}
	}
}

func TestSpeechServicesHearWhatTheyExpect(t *testing.T) {
	for _, row := range services {
		t.Run(row.name, func(t *testing.T) {
			type outcome struct {
				audio []byte
				idles int
				err   error
			}
			served := make(chan outcome, 1)
			upgrader := websocket.Upgrader{}
			if row.protocol != "" {
				upgrader.Subprotocols = []string{row.protocol}
			}
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if name, value, ok := strings.Cut(row.header, ": "); ok && r.Header.Get(name) != value {
					http.Error(w, "who are you?", http.StatusUnauthorized)
					return
				}
				ws, err := upgrader.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer ws.Close()
				if ws.Subprotocol() != row.protocol {
					served <- outcome{err: fmt.Errorf("subprotocol %q", ws.Subprotocol())}
					return
				}
				audio, idles, err := row.serve(ws)
				served <- outcome{audio, idles, err}
			}))
			defer h.Close()

			ring := ringtest.New(t, 10_001)
			s := register(t, ringURI(ring), "ws"+strings.TrimPrefix(h.URL, "http"))
			for key, value := range row.options {
				if err := s.SetOption(key, value); err != nil {
					t.Fatal(err)
				}
			}
			var mu sync.Mutex
			var heard []string
			s.Configure(func(_ *int, _ *Options, c *Callbacks) error {
				c.Message = func(_ *worker.Thread, data []byte, isText bool) {
					mu.Lock()
					defer mu.Unlock()
					heard = append(heard, fmt.Sprint(isText, string(data)))
				}
				return nil
			})
			if err := s.Start(Caller{}); err != nil {
				t.Fatal(err)
			}
			audio := bytes.Repeat([]byte("audio"), 1000)
			ring.Write(audio[:2000])
			if row.idle != nil {
				time.Sleep(100 * time.Millisecond) // some idle intervals
			}
			ring.Write(audio[2000:])
			if err := s.Stop(Caller{}); err != nil {
				t.Error(err)
			}
			got := <-served
			if got.err != nil || !bytes.Equal(got.audio, audio) || (row.idle != nil) != (got.idles > 0) {
				t.Fatalf("%d bytes of audio of %d, %d idle messages, %v", len(got.audio), len(audio), got.idles, got.err)
			}
			if len(heard) == 0 || heard[len(heard)-1] != "true"+row.result || (row.reply != "") != (len(heard) > 1) {
				t.Fatalf("the app heard %q", heard)
			}
		})
	}
}

func TestAnOutageGivesUpTheOldestWhereAsked(t *testing.T) {
	srv := newServer(t, false)
	ring := ringtest.New(t, 1<<20)
	s := register(t, ringURI(ring), srv.url)
	for key, value := range map[string]string{"on_full": "drop_oldest", "replay_bytes": "8192", "stop_timeout": "200"} {
		if err := s.SetOption(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetChunk(1000); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	ring.Write(make([]byte, 1000))
	until(t, "acknowledged", func() bool { return s.Stats().Delivered == 1000 })
	srv.close()
	until(t, "the loss", func() bool { ring.Write(make([]byte, 1)); return s.Stats().GivenUp > 0 || s.Stats().Read > 2000 })
	ring.Write(make([]byte, 100_000))
	until(t, "the source drained", func() bool { return ring.Used() == 0 })
	err := s.Stop(Caller{})
	got := s.Stats()
	if err == nil || got.GivenUp == 0 || got.Left > 9000 || got.Delivered+got.GivenUp+got.Left != got.Read {
		t.Fatalf("%v; %+v", err, got)
	}
}

func TestTLSOptionsSayWhatIsWrong(t *testing.T) {
	h := httptest.NewTLSServer(http.NotFoundHandler())
	defer h.Close()
	url := "wss" + strings.TrimPrefix(h.URL, "https")
	for _, row := range []struct{ key, value, words string }{
		{"", "", "tls_ca"},
		{"tls_ca", "/no/such/file", "tls_ca"},
		{"tls_ca", "services_test.go", "no PEM certificate"},
		{"tls_cert", "services_test.go", "go together"},
		{"tls_insecure", "1", "HTTP 404"},
	} {
		s := register(t, "null://", url)
		if row.key != "" {
			if err := s.SetOption(row.key, row.value); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Start(Caller{}); err == nil || !strings.Contains(err.Error(), row.words) {
			t.Errorf("%s=%s: %v; want %q", row.key, row.value, err, row.words)
		}
	}
	s := register(t, "null://", url)
	for _, bad := range []string{"no colon", ": no name", "a b: c", "a: b\nc: d"} {
		if err := s.SetOption("header", bad); err == nil {
			t.Errorf("header %q was taken", bad)
		}
	}
}
