package interop

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// The example talks to a server with the manners of Vosk's: configuration
// first, a partial result to each piece, the final one after eof.
func TestTranscribeExampleHearsTheLastResult(t *testing.T) {
	wav := filepath.Join(root, "examples", "audio", "speech.wav")
	want, err := os.ReadFile(wav)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	var upgrader websocket.Upgrader
	vosk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		served <- speakVosk(ws, want)
	}))
	defer vosk.Close()

	program := filepath.Join(scratch, "transcribe")
	compile(t, "../../../examples/c/transcribe.c", program)
	out, err := exec.Command(program, wav, "ws"+strings.TrimPrefix(vosk.URL, "http")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; last != `{"text" : "all of it"}` || len(lines) < 2 {
		t.Fatalf("%d lines, the last %q", len(lines), last)
	}
}

func speakVosk(ws *websocket.Conn, want []byte) error {
	var audio []byte
	for first := true; ; first = false {
		kind, data, err := ws.ReadMessage()
		switch {
		case err != nil:
			return fmt.Errorf("before eof: %w", err)
		case first != strings.HasPrefix(string(data), `{"config"`):
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
