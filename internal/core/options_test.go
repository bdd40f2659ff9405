// SPDX-License-Identifier: MIT

package core

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// goodValues are one for each kind of option, to make options that differ from
// the defaults.
var goodValues = map[string]string{
	"on_full": "drop_newest", "wire": "mux", "header": "X-Good: yes", "tls_insecure": "1", "replay_bytes": "8192",
}

// changedOptions have every option set that is no number of milliseconds.
func changedOptions(t *testing.T) Options {
	t.Helper()
	o, err := defaults()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range OptionTable {
		value, found := goodValues[row.Key]
		if !found && !strings.Contains(row.Kind, "text") {
			continue
		}
		if !found {
			value = "some text"
		}
		if err := o.Set(row.Key, value); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func TestARefusedValueChangesNothing(t *testing.T) {
	values := []string{"", " ", "x", "0", "1", "-1", "1.5", "2 ", "99999999999999999999", "dropoldest", "drop_", "HOLD",
		"Mux", "no colon", ": no name", "two words: x", "X: a\r\nY: b", "X: \x00"}
	for _, row := range OptionTable {
		refused := 0
		for _, value := range values {
			got, want := changedOptions(t), changedOptions(t)
			if err := got.Set(row.Key, value); err == nil {
				continue
			} else if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), row.Key) {
				t.Errorf("%s: %q: %v", row.Key, value, err)
			}
			refused++
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: refusing %q left %+v, want %+v", row.Key, value, got, want)
			}
		}
		anything := row.Kind == "text" || strings.HasPrefix(row.Kind, "text,") || strings.HasPrefix(row.Kind, "a ")
		if (refused == 0) != anything {
			t.Errorf("%s takes %s, and %d of %d values were refused", row.Key, row.Kind, refused, len(values))
		}
	}
}

// The table's rows cannot leave anything behind, however they are written.
func TestARowThatChangesAndRefusesChangesNothing(t *testing.T) {
	row := Option{Key: "hasty", set: func(o *Options, _ string) bool {
		o.ReplayBytes, o.Access.Headers = 1, append(o.Access.Headers, "X: y")
		return false
	}}
	got, want := changedOptions(t), changedOptions(t)
	if err := row.apply(&got, "1"); err == nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v left %+v, want %+v", err, got, want)
	}
}

func TestARefusedHeaderDoesNotFailTheStart(t *testing.T) {
	srv := newServer(t, false)
	s := register(t, "null://", srv.url)
	err := s.SetOption("header", "Authorization Token s3cret")
	if !errors.Is(err, syscall.EINVAL) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownOptionNamesTheOneThatIsNear(t *testing.T) {
	s := register(t, "null://", "null://")
	for key, words := range map[string]string{
		"tsl_ca": "did you mean tls_ca?", "on-full": "did you mean on_full?", "Wire": "did you mean wire?",
		"headers": "did you mean header?", "ping_timeout": "did you mean pong_timeout?",
	} {
		if err := s.SetOption(key, "1"); !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v; want %q", key, err, words)
		}
	}
	if err := s.SetOption("volume", "1"); !errors.Is(err, syscall.ENOENT) || strings.Contains(err.Error(), "did you mean") {
		t.Error(err)
	}
}

// logLines collects the lines of the log that have certain words in them.
func logLines(t *testing.T, words string) func() []string {
	t.Helper()
	var mu sync.Mutex
	var lines []string
	before := Log
	Log = func(level int, line string) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(line, words) {
			lines = append(lines, fmt.Sprint(level, " ", line))
		}
	}
	t.Cleanup(func() { Log = before })
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), lines...)
	}
}

func TestAMisspelledVariableIsToldOnce(t *testing.T) {
	toldVariables.Clear() // of an earlier run in this process
	lines := logLines(t, "sets nothing")
	for name, meant := range map[string]string{
		"MSP_RECORD_TSL_CA":        "MSP_RECORD_TLS_CA",
		"MSP_RECORD_HEADERS":       "MSP_RECORD_HEADER",
		"MSP_RECORD_stop_timeout":  "MSP_RECORD_STOP_TIMEOUT",
		"MSP_RECORD_CONECT_TIMOUT": "MSP_RECORD_CONNECT_TIMEOUT",
		"MSPRECORD_WIRE":           "MSP_RECORD_WIRE",
		"MSP_RECRD_ON_FULL":        "MSP_RECORD_ON_FULL",
		"MSP_LOG_LEVL":             "MSP_LOG_LEVEL",
	} {
		t.Setenv(name, "1")
		before := len(lines())
		for range 2 {
			register(t, "null://", "null://")
		}
		got := lines()[before:]
		if want := fmt.Sprintf("%d environment variable %s sets nothing: did you mean %s?", LogWarn, name, meant); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q once", name, got, want)
		}
		os.Unsetenv(name)
	}
}

func TestAVariableOfSomebodyElseIsNotTold(t *testing.T) {
	lines := logLines(t, "environment variable")
	for _, name := range []string{"MSP", "MSP_", "MSP_RECORD", "MSP_RECORD_", "MSP_RECORD_DIR", "MSP_RECORD_URL", "MSP_APP_HEADER",
		"MSPRECORD_BUILD", "MSP_LOG_LEVEL", "MSP_RECORD_LINGER", "TLS_CA", "RECORD_WIRE", "MSP_VOLUME"} {
		t.Setenv(name, "1")
	}
	register(t, "null://", "null://")
	if got := lines(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestTheEnvironmentHasSeveralHeaders(t *testing.T) {
	got := make(chan http.Header, 1)
	var upgrader websocket.Upgrader
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
			defer ws.Close()
			ws.ReadMessage()
		}
	}))
	defer h.Close()
	t.Setenv("MSP_RECORD_HEADER", "\nX-First: 1\r\n\n  X-Second: 2: two\nX-First: 3\n")
	s := register(t, "null://", "ws"+strings.TrimPrefix(h.URL, "http"))
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	select {
	case header := <-got:
		if first, second := fmt.Sprint(header["X-First"]), fmt.Sprint(header["X-Second"]); first != "[1 3]" || second != "[2: two]" {
			t.Errorf("X-First %s, X-Second %s", first, second)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no handshake came")
	}
	t.Setenv("MSP_RECORD_HEADER", "X-First: 1\nno header s3cret")
	if _, err := Register("null://", "null://"); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "MSP_RECORD_HEADER") ||
		strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a line that is no header: %v", err)
	}
}

// A session that asks for more than is left of the process's bound says so as
// it starts; one that gets what it asks for, or never asked, says nothing.
func TestASessionSaysWhatOfReplayBytesIsSure(t *testing.T) {
	lines := logLines(t, "replay_bytes is")
	srv := newServer(t, false)
	begin := func(to, replay string) *Session {
		s := register(t, "null://", to)
		if replay != "" {
			if err := s.SetOption("replay_bytes", replay); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Start(Caller{}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	expect := func(words ...string) {
		t.Helper()
		got := lines()
		if len(got) != len(words) {
			t.Fatalf("%q, want %d lines", got, len(words))
		}
		for i, w := range words {
			if !strings.HasPrefix(got[i], fmt.Sprint(LogWarn, " null:// -> "+srv.url)) || !strings.Contains(got[i], w) {
				t.Errorf("%q, want %q", got[i], w)
			}
		}
	}
	begin("null://", "1073741824") // has no window
	begin(srv.url, "")
	first := begin(srv.url, "33554432")
	expect()
	begin(srv.url, "1073741824")
	one := "replay_bytes is 1073741824, of which 32505856 are sure: all sessions of a process keep 67108864 together, and the others that run may take 34603008"
	expect(one)
	first.Stop(Caller{})
	begin(srv.url, "")
	begin(srv.url, "1048577")
	expect(one, "replay_bytes is 1048577, of which 32768 are sure")
}
