package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// transcribe runs the example on a WAV file of that content, patience long at
// most.
func transcribe(t *testing.T, wav, url string) (stdout, stderr string, err error) {
	t.Helper()
	program := filepath.Join(scratch, "transcribe")
	transcriberOnce.Do(func() { compile(t, "../../../examples/c/transcribe.c", program) })
	path := filepath.Join(t.TempDir(), "a.wav")
	if err := os.WriteFile(path, []byte(wav), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, path, url)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

var transcriberOnce sync.Once

// chunk is one of a WAV file; said is its size in place of the true one.
func chunk(id, data string, said ...uint32) string {
	size := uint32(len(data))
	if len(said) > 0 {
		size = said[0]
	}
	if len(data)%2 == 1 {
		data += "\x00"
	}
	return id + string(binary.LittleEndian.AppendUint32(nil, size)) + data
}

// wavFormat is what a fmt chunk has.
func wavFormat(tag, channels uint16, rate uint32, bits uint16) string {
	p := binary.LittleEndian.AppendUint16(nil, tag)
	p = binary.LittleEndian.AppendUint16(p, channels)
	p = binary.LittleEndian.AppendUint32(p, rate)
	p = binary.LittleEndian.AppendUint32(p, rate*uint32(channels)*uint32(bits)/8)
	p = binary.LittleEndian.AppendUint16(p, channels*bits/8)
	return string(binary.LittleEndian.AppendUint16(p, bits))
}

func wavOf(chunks ...string) string { return chunk("RIFF", "WAVE"+strings.Join(chunks, "")) }

// The example talks to a server with the manners of Vosk's: configuration with
// the file's rate first, then samples and no header, a partial result to each
// piece, the final one after eof.
func TestTranscribeExampleSendsTheSamplesAndHearsTheLastResult(t *testing.T) {
	speech, err := os.ReadFile(filepath.Join(root, "examples", "audio", "speech.wav"))
	if err != nil {
		t.Fatal(err)
	}
	const header = 44 // of a file with nothing but format and samples
	sound := string(noise(40_000))
	extensible := wavFormat(0xFFFE, 1, 48000, 16) +
		"\x16\x00\x10\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
	simple := chunk("fmt ", wavFormat(1, 1, 16000, 16))
	for name, c := range map[string]struct {
		wav, want string
		rate      int
	}{
		"speech": {string(speech), string(speech[header:]), 16000},
		"chunks around": {wavOf(chunk("LIST", "odd"), chunk("fmt ", wavFormat(1, 1, 8000, 16)), chunk("fact", "1234"),
			chunk("data", sound), chunk("LIST", "later")), sound, 8000},
		"extensible":        {wavOf(chunk("fmt ", extensible), chunk("data", sound)), sound, 48000},
		"cut off":           {wavOf(simple, chunk("data", sound, 0x7FFFFFFF)) + "x", sound, 16000},
		"written to a pipe": {wavOf(simple, chunk("data", sound, 0xFFFFFFFF)), sound, 16000},
		"RF64": {"RF64\xff\xff\xff\xffWAVE" + chunk("ds64", strings.Repeat("\x00", 28)) + simple +
			chunk("data", sound, 0xFFFFFFFF), sound, 16000},
	} {
		t.Run(name, func(t *testing.T) {
			served := make(chan error, 1)
			var upgrader websocket.Upgrader
			vosk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ws, err := upgrader.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer ws.Close()
				err = speakVosk(ws, []byte(c.want), fmt.Sprintf(`{"config":{"sample_rate":%d}}`, c.rate))
				select {
				case served <- err:
				default:
				}
				// One that was spoken to wrongly need not come back.
				ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1008, "wrong"), time.Now().Add(time.Second))
			}))
			defer vosk.Close()
			out, errs, err := transcribe(t, c.wav, "ws"+strings.TrimPrefix(vosk.URL, "http"))
			if err != nil {
				t.Errorf("%v: %s", err, errs)
			}
			select {
			case err := <-served:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(patience):
				t.Fatal("no connection was served")
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if last := lines[len(lines)-1]; last != `{"text" : "all of it"}` || len(lines) < 2 {
				t.Fatalf("%d lines, the last %q", len(lines), last)
			}
		})
	}
}

func TestTranscribeExampleSaysWhatIsWrongWithAFile(t *testing.T) {
	data := chunk("data", "12345678")
	good := chunk("fmt ", wavFormat(1, 1, 16000, 16))
	for words, wav := range map[string]string{
		"not a WAV file":                       "OggS, and much more of it",
		"it is not mono":                       wavOf(chunk("fmt ", wavFormat(1, 2, 16000, 16)), data),
		"with 16 bits":                         wavOf(chunk("fmt ", wavFormat(1, 1, 16000, 24)), data),
		"it is no PCM":                         wavOf(chunk("fmt ", wavFormat(3, 1, 16000, 32)), data),
		"its rate is 0":                        wavOf(chunk("fmt ", wavFormat(1, 1, 0, 16)), data),
		"its format is cut off":                wavOf(chunk("fmt ", "short"), data),
		"its samples come before their format": wavOf(data, good),
		"it has no audio in it":                wavOf(good, chunk("LIST", "x", 0xFFFFFFF0)),
	} {
		// Nothing listens there: the file is looked at first.
		_, errs, err := transcribe(t, wav, "ws://127.0.0.1:1")
		if err == nil || !strings.Contains(errs, words) || strings.Contains(errs, "listens") {
			t.Errorf("%v: %q, want %q", err, errs, words)
		}
	}
}

func speakVosk(ws *websocket.Conn, want []byte, config string) error {
	var audio []byte
	for first := true; ; first = false {
		kind, data, err := ws.ReadMessage()
		switch {
		case err != nil:
			return fmt.Errorf("before eof: %w", err)
		case first != (string(data) == config):
			return fmt.Errorf("%.40q came as message", data)
		case first:
		case kind == websocket.BinaryMessage:
			audio = append(audio, data...)
			ws.WriteMessage(websocket.TextMessage, []byte(`{"partial" : ""}`))
		case string(data) == `{"eof" : 1}`:
			if !bytes.Equal(audio, want) {
				return fmt.Errorf("%d bytes of audio of %d", len(audio), len(want))
			}
			ws.WriteMessage(websocket.TextMessage, []byte(`{"text" : "all of it"}`))
			ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
			if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, 1000) {
				return fmt.Errorf("after eof: %w", err)
			}
			return nil
		default:
			return fmt.Errorf("%.40q came", data)
		}
	}
}
