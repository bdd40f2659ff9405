package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The windows of a process hold no more than this together; a window that was
// empty may take one message more.
const windowBound = 64 << 20

func TestManySessionsComeBackOneByOneAndLoseNothing(t *testing.T) {
	t.Parallel()
	const (
		sessions = 1000
		bytes    = 160_000         // each: twice what windows and ring take in the outage
		bucket   = 250             // ms
		base     = 40 << 10        // of a session, besides its window
		away     = 4 * time.Second // at least: the longer, the wider they are spread
		patience = 3 * time.Minute
	)
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Max < 2*sessions+200 {
		t.Skipf("a process may have %d files open here, and the receiver needs two a session: ulimit -n", files.Max)
	}
	program := filepath.Join(t.TempDir(), "crowd")
	compile(t, "crowd.c", program)
	dir, addr := t.TempDir(), "127.0.0.1:"+vacantPort(t)
	receive := func() *server {
		return startServer(t, "record-server", dir, exec.Command(built(t, "record-server"), "-addr", addr, "-dir", dir))
	}
	s := receive()
	cmd := exec.Command(program, "ws://"+addr, strconv.Itoa(sessions), strconv.Itoa(bytes))
	cmd.Env = append(strangers(), "MSP_LOG_LEVEL=error")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, cmd)
	p.lineWithin(patience, "begun")
	s.cmd.Process.Kill()
	killed := time.Now()
	s.wait(patience)
	p.lineWithin(patience, "full")
	time.Sleep(away - time.Since(killed))
	s = receive()
	fmt.Fprintln(in, "back")

	histogram(t, strings.Fields(p.lineWithin(patience, "back ")), bucket)
	if code := p.wait(patience); code != 0 {
		t.Fatalf("crowd ended with %d", code)
	}
	figure := func(name string) int {
		n, err := strconv.Atoi(p.line(name))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	windows, resident := figure("windows "), figure("resident ")
	t.Logf("%d bytes in all windows at most, %d KiB resident at most", windows, resident)
	if most := windowBound + sessions*4096; windows > most {
		t.Errorf("the windows held %d bytes, the most is %d", windows, most)
	}
	// Go's collector lets as much garbage come together as there is in use; the
	// rings and the noise are C's.
	if most := (2*(windowBound+sessions*base)+sessions*20_000)>>10 + 32<<10; resident > most {
		t.Errorf("%d KiB were resident, the most is %d", resident, most)
	}
	s.stop()
	stored(t, dir, sessions, bytes)
}

// histogram prints when the sessions were connected again, and fails where a
// quarter of them did so within one bucket.
func histogram(t *testing.T, back []string, bucket int) {
	t.Helper()
	var bins []int
	for _, ms := range back {
		at, err := strconv.Atoi(ms)
		if err != nil {
			t.Fatal(err)
		}
		at = max(at, 0) / bucket
		for len(bins) <= at {
			bins = append(bins, 0)
		}
		bins[at]++
	}
	text := fmt.Sprintf("%d sessions, connected again after", len(back))
	for i, n := range bins {
		if n > 0 {
			text += fmt.Sprintf("\n%6d ms %4d %s", i*bucket, n, strings.Repeat("#", (n+4)/5))
		}
		if n > len(back)/4 {
			t.Errorf("%d of %d sessions came back within %d ms", n, len(back), bucket)
		}
	}
	t.Log(text)
}

// stored compares every byte of what crowd.c sends.
func stored(t *testing.T, dir string, sessions, size int) {
	t.Helper()
	data := noise(size + sessions)
	for i := range sessions {
		got, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.pcm", i)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, data[i:i+size]) {
			t.Fatal(difference(fmt.Sprintf("%d.pcm", i), got, data[i:i+size]))
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.pcm")); err != nil || len(files) != sessions {
		t.Errorf("%d files are stored; %v", len(files), err)
	}
}
