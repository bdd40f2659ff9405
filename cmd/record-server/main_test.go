package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/pcm"
)

// With this in its environment the test binary is the program itself, so the
// tests below can kill it, and -race sees it too.
const asProgram = "RECORD_SERVER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// launch starts the program and returns its address and what it writes.
func launch(t *testing.T, dir string) (*exec.Cmd, string, *transcript) {
	t.Helper()
	cmd := program("-addr", "127.0.0.1:0", "-dir", dir)
	out := newTranscript()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line := out.wait(t, "")
	m := regexp.MustCompile(`^listening on ws://(127\.0\.0\.1:[1-9]\d*)/ storing in (.*)$`).FindStringSubmatch(line)
	if m == nil || m[2] != dir {
		t.Fatalf("the first line is %q", line)
	}
	return cmd, m[1], out
}

func dialAddr(t *testing.T, addr, path string) *websocket.Conn {
	t.Helper()
	return (&rig{addr: addr}).dial(t, path)
}

func TestKillLeavesAValidWAV(t *testing.T) {
	sound := samples(4 << 20)
	for _, chunk := range []int{333, 4096, 100_000} {
		dir := t.TempDir()
		cmd, addr, _ := launch(t, dir)
		c := dialAddr(t, addr, "/mic.wav")
		// Something is known to be stored; then the kill comes while more is
		// on its way.
		known := chunk * 5
		for p := range known / chunk {
			send(t, c, sound[p*chunk:][:chunk])
		}
		ping(t, c)
		sent, failed := make(chan int, 1), make(chan struct{})
		go func() {
			n := known
			for n+chunk <= len(sound) && c.WriteMessage(websocket.BinaryMessage, sound[n:n+chunk]) == nil {
				if n += chunk; n > len(sound)/8 {
					select {
					case <-failed:
					default:
						close(failed)
					}
				}
			}
			sent <- n + chunk // the last may have arrived although it failed
		}()
		<-failed
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		n := <-sent
		file, err := os.ReadFile(filepath.Join(dir, "mic.wav"))
		if err != nil {
			t.Fatal(err)
		}
		w, err := parseWAV(file)
		stored := len(file) - pcm.HeaderSize
		t.Logf("chunks of %d: sent %d, stored %d, in the header %d", chunk, n, stored, len(w.data))
		switch {
		case err != nil:
			t.Errorf("the file is no WAV: %v", err)
		case int(w.size) != len(w.data):
			t.Errorf("the header says %d, the file has %d", w.size, len(w.data))
		case stored > n || stored < known:
			t.Errorf("%d bytes are stored, %d were sent and %d answered for", stored, n, known)
		case stored-len(w.data) > maxLag+1:
			t.Errorf("the header trails by %d bytes", stored-len(w.data))
		case !bytes.HasPrefix(sound, w.data):
			t.Error("what is stored was not sent")
		}
	}
}

func TestTermEndsGracefully(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		dir := t.TempDir()
		cmd, addr, out := launch(t, dir)
		done, mic, mux := dialAddr(t, addr, "/done.pcm"), dialAddr(t, addr, "/mic.wav"), dialAddr(t, addr, "/")
		send(t, done, samples(100))
		shut(t, done, websocket.CloseNormalClosure)
		send(t, mic, samples(1000))
		send(t, mux, append([]byte("sd.pcm\x00"), samples(500)...))
		ping(t, mux)
		cmd.Process.Signal(sig)
		for _, c := range []*websocket.Conn{mic, mux} {
			expectClose(t, c, websocket.CloseGoingAway, "the server is stopping")
			c.Close()
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: the exit is %v", sig, err)
		}
		text := out.String()
		for _, want := range []string{
			`(?m)^done\.pcm +100 bytes +[\d.]+ kB/s +[\d.]+ s  closed$`,
			`(?m)^mic\.wav +1000 bytes +[\d.]+ kB/s +[\d.]+ s  stopped`,
			`(?m)^sd\.pcm +500 bytes +[\d.]+ kB/s +[\d.]+ s  stopped`,
			`\n3 streams, 1600 bytes\n$`,
		} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("%v: no %s in\n%s", sig, want, text)
			}
		}
		if w, err := parseWAV((&rig{dir: dir}).file(t, "mic.wav")); err != nil || len(w.data) != 1000 {
			t.Errorf("%v: %v, %d bytes", sig, err, len(w.data))
		}
	}
}

func TestAPeerThatDoesNotAnswerIsCutOff(t *testing.T) {
	cmd, addr, out := launch(t, t.TempDir())
	c := dialAddr(t, addr, "/mic.pcm")
	send(t, c, samples(10))
	ping(t, c)
	begin := time.Now()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > patience/2 {
		t.Errorf("it took %v", d)
	}
	out.wait(t, "mic.pcm", "10 bytes", "stopped, the peer did not answer")
}

func TestRecordingOutlivesItsReader(t *testing.T) {
	cmd := program("-addr", "127.0.0.1:0", "-dir", t.TempDir())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	stdout.Close()
	addr := strings.TrimPrefix(strings.Split(line, "/ ")[0], "listening on ws://")
	for i := range 3 {
		c := dialAddr(t, addr, fmt.Sprintf("/%d.pcm", i))
		send(t, c, samples(10))
		shut(t, c, websocket.CloseNormalClosure)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestErrorsAtTheStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o644)
	type attempt struct {
		args []string
		code int
		want []string
	}
	cases := []attempt{
		{[]string{"-rate", "fast"}, 2, []string{"-rate", "fast"}},
		{[]string{"-rate", "0"}, 2, []string{"-rate 0: must be 1 to 768000 Hz"}},
		{[]string{"-channels", "300"}, 2, []string{"-channels 300: must be"}},
		{[]string{"-bits", "12"}, 2, []string{"-bits 12: must be 8, 16, 24 or 32"}},
		{[]string{"-max-rate", "10"}, 2, []string{"-max-rate 10: must be 1k at least"}},
		{[]string{"-max-dir", "5X"}, 2, []string{"-max-dir", "500M or 4G"}},
		{[]string{"-max-message", "1T"}, 2, []string{"-max-message"}},
		{[]string{"-rotate-time", "1ms"}, 2, []string{"-rotate-time 1ms: must be 1s"}},
		{[]string{"-tls-cert", "x.pem"}, 2, []string{"-tls-key"}},
		{[]string{"-loud"}, 2, []string{"-loud"}},
		{[]string{"recordings"}, 2, []string{`"recordings"`, "-dir"}},
		{[]string{"-dir", ""}, 2, []string{"-dir"}},
		{[]string{"-h"}, 0, []string{"-addr host:port", "-dir directory", "-raw", "-rate Hz", "-channels number", "-bits bits"}},
		{[]string{"-dir", file}, 1, []string{"-dir " + file, "not a directory"}},
		{[]string{"-dir", dir, "-addr", taken.Addr().String()}, 1, []string{"-addr " + taken.Addr().String(), "address already in use"}},
		{[]string{"-dir", dir, "-addr", "127.0.0.1:99999"}, 1, []string{"-addr 127.0.0.1:99999", "port"}},
		{[]string{"-dir", dir, "-addr", "nonsense"}, 1, []string{"-addr nonsense", "port"}},
	}
	if os.Getuid() != 0 {
		locked := filepath.Join(dir, "locked")
		os.Mkdir(locked, 0o555)
		cases = append(cases, attempt{[]string{"-dir", locked}, 1, []string{"-dir " + locked, "permission denied"}})
	}
	for _, c := range cases {
		var stdout, stderr bytes.Buffer
		cmd := program(c.args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != c.code || stdout.Len() > 0 {
			t.Errorf("%q: exit %d, stdout %q", c.args, got, &stdout)
		}
		for _, w := range c.want {
			if !strings.Contains(stderr.String(), w) {
				t.Errorf("%q: no %q in\n%s", c.args, w, &stderr)
			}
		}
	}
}
