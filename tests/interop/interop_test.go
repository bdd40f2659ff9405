// Package interop tests the library and the receiver as programs: an
// application in C on one side, on the other our receiver and servers that we
// did not write.
//
//	npm ci --prefix tests/interop
//	go test ./tests/interop
//
// MSPRECORD_BUILD names a CMake build to test; without it one is made.
// MSPRECORD_SEED names the example app appwsrec.c. -outage 30s pulls the cable
// of network_test.go for longer than in CI; -short leaves out what must take
// more than a minute.
package interop

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// noise is what testdata/client.c sends.
func noise(n int) []byte {
	out := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(x >> 32)
	}
	return out
}

// Messages of every length coding of RFC 6455 section 5.2, and their limits.
var messages = []struct{ chunk, bytes int }{
	{1, 3001},
	{125, 100_001},
	{126, 100_001},
	{65535, 1_500_000},
	{65536, 1_500_000},
	{1 << 20, 5<<20 + 1},
}

func TestServersStoreWhatIsSent(t *testing.T) {
	t.Parallel()
	program := client(t)
	for name, startKind := range map[string]func(*testing.T) *server{
		"receiver":   startReceiver,
		"ws":         func(t *testing.T) *server { return startNode(t) },
		"websockets": startPython,
		"nginx":      startNginx,
	} {
		t.Run(name, func(t *testing.T) {
			s := startKind(t)
			want := map[string][]byte{}
			for _, m := range messages {
				file := fmt.Sprintf("chunk-%d.bin", m.chunk)
				p := s.run(t, patience, program, s.url+file, strconv.Itoa(m.bytes), strconv.Itoa(m.chunk))
				if got := p.line("stop "); got != "0 " {
					t.Errorf("messages of %d bytes: record_stop: %s", m.chunk, got)
				}
				want[file] = noise(m.bytes)
				if s.kind == "record-server" {
					continue
				}
				// Bytes, messages, the largest, and the client's close code.
				sent := fmt.Sprintf("%d %d %d 1000", m.bytes, (m.bytes+m.chunk-1)/m.chunk, m.chunk)
				if got := s.line("stream " + file + " "); got != sent {
					t.Errorf("messages of %d bytes: the server counts %q, want %q", m.chunk, got, sent)
				}
			}
			s.stored(want)
			if s.kind == "record-server" {
				total := 0
				for _, data := range want {
					total += len(data)
				}
				s.line(fmt.Sprintf("%d streams, %d bytes", len(want), total)) // without "(1 lost or failed)"
				if out := strings.Join(s.output(), "\n"); strings.Contains(out, "lost or failed") {
					t.Errorf("a stream did not end with a close handshake:\n%s", out)
				}
			}
		})
	}
}

func TestUnknownAuthorityIsRefused(t *testing.T) {
	t.Parallel()
	s := startNginx(t)
	s.env = nil
	p := s.begin(t, client(t), s.url+"x.bin", "1000", "1000")
	if code := p.wait(patience); code != 1 {
		t.Errorf("the client ended with %d", code)
	}
	got := p.line("start ")
	if !strings.HasPrefix(got, "-") || !strings.Contains(got, "certificate is not trusted") {
		t.Errorf("record_start: %s", got)
	}
	s.stored(nil)
}

func TestPingIsAnswered(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "are you there?", strings.Repeat("0123456789", 12) + "abcde"} {
		t.Run(fmt.Sprintf("%d bytes", len(payload)), func(t *testing.T) {
			s := startNode(t, "ping", payload)
			p := hold(t, s, "x.bin", 10_000, 1000)
			if got := s.line("pong "); got != payload {
				t.Errorf("pong %q, want %q", got, payload)
			}
			p.end()
			if code := p.wait(patience); code != 0 {
				t.Errorf("the client ended with %d", code)
			}
			s.stored(map[string][]byte{"x.bin": noise(10_000)})
		})
	}
}

func TestReceiverStoresWAV(t *testing.T) {
	t.Parallel()
	const size = 32_000
	s := startReceiver(t)
	s.run(t, patience, client(t), s.url+"x.wav", strconv.Itoa(size), "2560")
	le := binary.LittleEndian
	var h []byte
	h = append(h, "RIFF"...)
	h = le.AppendUint32(h, 72+size)
	h = append(h, "WAVEJUNK"...) // room for the sizes of an RF64
	h = le.AppendUint32(h, 28)
	h = append(h, make([]byte, 28)...)
	h = append(h, "fmt "...)
	h = le.AppendUint32(h, 16)
	h = le.AppendUint16(h, 1) // PCM
	h = le.AppendUint16(h, 1) // channels
	h = le.AppendUint32(h, 16_000)
	h = le.AppendUint32(h, 32_000) // bytes a second
	h = le.AppendUint16(h, 2)      // bytes of a frame
	h = le.AppendUint16(h, 16)     // bits of a sample
	h = append(h, "data"...)
	h = le.AppendUint32(h, size)
	s.stored(map[string][]byte{"x.wav": append(h, noise(size)...)})
}
