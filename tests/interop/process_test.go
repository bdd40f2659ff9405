package interop

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long anything that must happen may take.
const patience = 20 * time.Second

// TestMain fails the run if a process is left when all tests are over.
func TestMain(m *testing.M) {
	// Whoever loses his parent becomes our child, where he can be seen.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "PR_SET_CHILD_SUBREAPER:", err)
		os.Exit(1)
	}
	var err error
	if scratch, err = os.MkdirTemp("", "msprecord-interop-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(scratch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := childless(); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

// childless waits until this process has no children.
func childless() error {
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("looking for children: %w", err)
		case time.Now().After(end):
			return errors.New("the tests left processes behind")
		}
	}
}

// A process is a command that runs, and what it has said.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	begun time.Time
	done  chan struct{} // closed when it has ended; then err is set
	err   error

	mu    sync.Mutex
	lines []string // of its standard output
	more  chan struct{}
	errs  bytes.Buffer // its standard error
}

// Write takes the standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.Write(b)
}

// start runs a command, until the test's end at the latest. The kernel ends it
// if the test binary dies.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, begun: time.Now(), done: make(chan struct{}), more: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = p
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(bufio.NewScanner(out))
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			_ = cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			t.Logf("%s\n%s\n%s", strings.Join(cmd.Args, " "), tail(strings.Join(p.output(), "\n")), tail(p.errors()))
		}
	})
	return p
}

func (p *process) read(out *bufio.Scanner) {
	for out.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, out.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

func (p *process) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.String()
}

// line waits for a line of the standard output that begins with prefix, and
// returns the rest of it.
func (p *process) line(prefix string) string {
	p.t.Helper()
	return p.lineWithin(patience, prefix)
}

func (p *process) lineWithin(limit time.Duration, prefix string) string {
	p.t.Helper()
	over := time.After(limit)
	for ended := false; ; {
		p.mu.Lock()
		lines, more := p.lines, p.more
		p.mu.Unlock()
		for _, l := range lines {
			if rest, ok := strings.CutPrefix(l, prefix); ok {
				return rest
			}
		}
		if ended {
			p.t.Fatalf("%s ended without saying %q", filepath.Base(p.cmd.Path), prefix)
		}
		select {
		case <-more:
		case <-p.done:
			ended = true // its last lines are there now
		case <-over:
			p.t.Fatalf("%s does not say %q", filepath.Base(p.cmd.Path), prefix)
		}
	}
}

// wait waits for the end, and returns the exit code.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // Go tells where it hangs
		select {
		case <-p.done:
		case <-time.After(time.Second):
		}
		p.t.Fatalf("%s has not ended in %v", filepath.Base(p.cmd.Path), limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends a server the orderly way.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(patience); code != 0 {
		p.t.Errorf("%s ended with %d: %v", filepath.Base(p.cmd.Path), code, p.err)
	}
}

// A held process ends its work when its standard input does.
type held struct {
	*process
	end func()
}

// hold starts a client that is running when this returns.
func hold(t *testing.T, s *server, name string, bytes, chunk int) held {
	t.Helper()
	cmd := exec.Command(client(t), s.url+name, strconv.Itoa(bytes), strconv.Itoa(chunk), "hold")
	cmd.Env = append(strangers(), s.env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	h := held{start(t, cmd), func() { _ = in.Close() }}
	h.line("started")
	return h
}

// tail is the end of a long output.
func tail(s string) string {
	const limit = 4000
	if len(s) <= limit {
		return s
	}
	return "…" + s[len(s)-limit:]
}
