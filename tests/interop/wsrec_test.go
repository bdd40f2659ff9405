package interop

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// A URL may lack a NAME, with a query or without: the stream gets one, before
// the query, and wsrec says so.
func TestTheExampleAppNamesAStreamWithoutAName(t *testing.T) {
	s := startReceiver(t)
	bare := strings.TrimSuffix(s.url, "/")
	sound := noise(20_000)
	for _, c := range []struct {
		url, file string
		told      bool
	}{
		{bare, "mic.pcm", true},
		{bare + "/", "mic_1.pcm", true},
		{bare + "?rate=8000", "mic_2.pcm", true},
		{bare + "/?rate=8000&path=/a/b/", "mic_3.pcm", true},
		{bare + "/dir/", "dir/mic.pcm", true},
		{bare + "/mine.pcm", "mine.pcm", false},
		{bare + "/mine?path=/a/", "mine", false},
	} {
		cmd := exec.Command(recorder(t), "-", c.url)
		cmd.Stdin = bytes.NewReader(sound)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "no NAME, so the stream goes to mic.pcm") != c.told {
			t.Errorf("%s: %v\n%s", c.url, err, out)
		}
		if got, err := os.ReadFile(filepath.Join(s.dir, c.file)); err != nil || !bytes.Equal(got, sound) {
			t.Errorf("%s: %s has %d bytes of %d, %v", c.url, c.file, len(got), len(sound), err)
		}
	}
	for _, url := range []string{"ws://", "ws:///a", "wss://?rate=8000"} {
		if out, err := exec.Command(recorder(t), "-", url).CombinedOutput(); err == nil || !strings.Contains(string(out), "is not a ws:// or wss:// address") {
			t.Errorf("%s: %v, %s", url, err, out)
		}
	}
}

func TestTheExampleAppDoesNotSayThatAFailedSessionTries(t *testing.T) {
	var upgrader websocket.Upgrader
	var h *httptest.Server
	h = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
			ws.ReadMessage()
			h.Listener.Close()
			ws.NetConn().(*net.TCPConn).SetLinger(0)
			ws.Close()
		}
	}))
	defer h.Close()
	cmd := exec.Command(recorder(t), "-", "ws"+strings.TrimPrefix(h.URL, "http")+"/mic.pcm")
	cmd.Env = append(strangers(), "MSP_RECORD_MAX_OFFLINE=1")
	in, err := cmd.StdinPipe() // stays open: the failure ends the program
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p := start(t, cmd)
	if _, err := in.Write(noise(2560)); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(patience); code != 1 {
		t.Errorf("status %d", code)
	}
	if said := p.errors(); !strings.Contains(said, "max_offline") || strings.Contains(said, "still trying") {
		t.Error(said)
	}
}
