// SPDX-License-Identifier: MIT

package page

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long anything that must happen may take.
const patience = 30 * time.Second

// receiver is a record-server that runs.
type receiver struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	addr string
	page string // address, with a slash at its end
}

func start(t *testing.T) *receiver {
	t.Helper()
	if os.Getenv("MSPRECORD_CHROMIUM") == "" || os.Getenv("MSPRECORD_BUILD") == "" {
		t.Skip("MSPRECORD_CHROMIUM must name a Chromium, and MSPRECORD_BUILD a CMake build")
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		t.Fatal("playwright-core is missing: npm ci --prefix tests/page")
	}
	r := &receiver{t: t, dir: t.TempDir()}
	r.cmd = r.command("record-server", "-addr", "127.0.0.1:0", "-dir", r.dir)
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go lines.WriteTo(new(bytes.Buffer)) // it must not wait for us
	r.addr, _, _ = strings.Cut(strings.TrimPrefix(first, "listening on ws://"), "/")
	r.page = "http://" + r.addr + "/"
	t.Cleanup(func() {
		r.cmd.Process.Signal(syscall.SIGTERM)
		if err := r.cmd.Wait(); err != nil {
			t.Errorf("record-server: %v", err)
		}
	})
	return r
}

// command is a program of the build. The kernel ends it with the test.
func (r *receiver) command(name string, args ...string) *exec.Cmd {
	dir := os.Getenv("MSPRECORD_BUILD")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join("../..", dir)
	}
	cmd := exec.Command(filepath.Join(dir, name), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	return cmd
}

// wsrec plays a WAV as three streams.
func (r *receiver) wsrec(wav string) *exec.Cmd {
	r.t.Helper()
	cmd := r.command("wsrec", wav, "ws://"+r.addr+"/")
	cmd.Stderr = nil
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd
}

// stored waits until so many streams of wsrec are being stored, and returns the
// names of their files.
func (r *receiver) stored(n int) []string {
	r.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var names []string
		notes, _ := filepath.Glob(filepath.Join(r.dir, "*.wav.rec.json"))
		for _, note := range notes {
			p, err := os.ReadFile(note)
			if err == nil && !bytes.Contains(p, []byte(`"ended"`)) {
				names = append(names, strings.TrimSuffix(filepath.Base(note), ".rec.json"))
			}
		}
		if len(names) == n {
			return names
		}
		if time.Now().After(end) {
			r.t.Fatalf("%d streams are being stored, want %d", len(names), n)
		}
	}
}

func (r *receiver) dial(path string) *websocket.Conn {
	r.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/"+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { ws.Close() })
	return ws
}

// cpu is the time the receiver has used.
func (r *receiver) cpu() time.Duration {
	p, err := os.ReadFile("/proc/" + strconv.Itoa(r.cmd.Process.Pid) + "/stat")
	if err != nil {
		r.t.Fatal(err)
	}
	fields := strings.Fields(string(p[bytes.LastIndexByte(p, ')'):]))
	user, _ := strconv.Atoi(fields[12])
	system, _ := strconv.Atoi(fields[13])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// resident is the memory of the receiver, in MB.
func (r *receiver) resident() float64 {
	p, err := os.ReadFile("/proc/" + strconv.Itoa(r.cmd.Process.Pid) + "/status")
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(p), "VmRSS:")
	kib, _ := strconv.Atoi(strings.Fields(rest)[0])
	return float64(kib) * 1024 / 1e6
}
