// SPDX-License-Identifier: MIT

package stream

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var kills = flag.Int("kills", 10, "how many times the receiver is killed and started again")

// A receiver is a record-server process at one address, with one directory,
// whichever process it is at the moment.
type receiver struct {
	program, dir, addr string
	cmd                *exec.Cmd
}

// newReceiver builds record-server and starts it.
func newReceiver(t *testing.T, rng *rand.Rand) *receiver {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the receiver cannot be built: ", err)
	}
	dir := t.TempDir()
	r := &receiver{program: filepath.Join(dir, "record-server"), dir: filepath.Join(dir, "stored")}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", r.program, "msprecord/cmd/record-server").CombinedOutput(); err != nil {
		t.Fatalf("building the receiver: %v\n%s", err, out)
	}
	// A port that no outgoing connection is given while the receiver is down.
	for r.addr == "" {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rng.IntN(20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			r.addr = addr
		}
	}
	t.Cleanup(func() { r.kill() })
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// start returns when the receiver listens.
func (r *receiver) start() error {
	r.cmd = exec.Command(r.program, "-addr", r.addr, "-dir", r.dir)
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "listening on ") {
		return fmt.Errorf("the receiver says %q", lines.Text())
	}
	go func() { // a full pipe would hold it up
		for lines.Scan() {
		}
	}()
	return nil
}

func (r *receiver) kill() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

func TestEveryByteIsStoredOnceThoughTheReceiverIsKilled(t *testing.T) {
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-kills %d -seed %d", *kills, seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	r := newReceiver(t, rng)
	begun := time.Now()

	type poured struct {
		total int
		err   error
	}
	ctx, cancel := context.WithCancel(context.Background())
	var pouring sync.WaitGroup
	killed := make(chan struct{})
	names := []string{"mic.pcm", "ref.pcm", "proc.pcm"}
	streams := make([]*Stream, len(names))
	ends := make([]chan poured, len(names))
	common := faultyConfig(t, "ws://"+r.addr)
	// Slow on a busy machine is not dead.
	common.ConnectTimeout, common.PingInterval, common.PongTimeout = 5*time.Second, time.Second, 10*time.Second
	for i, name := range names {
		cfg := common
		cfg.URL = common.URL.JoinPath(name)
		cfg.ReplayBytes <<= 4 * i // up to 16 MiB, more than the sockets take in one write
		s := open(t, ctx, cfg)
		streams[i], ends[i] = s, make(chan poured, 1)
		pouring.Go(func() {
			total, err := pour(s, func() bool {
				select {
				case <-killed:
					return false
				default:
					return true
				}
			})
			ends[i] <- poured{total, err}
		})
	}
	t.Cleanup(func() { // before the streams are closed
		cancel()
		pouring.Wait()
	})
	for n := range *kills {
		// Some way into the stream, or while all of them come back.
		which := rng.IntN(len(streams))
		s := streams[which]
		from, far := s.Delivered(), int64(rng.IntN(4))*int64(rng.IntN(100_000))
		for deadline := time.Now().Add(30 * time.Second); s.Delivered() < from+far; time.Sleep(100 * time.Microsecond) {
			if len(ends[which]) > 0 {
				t.Fatalf("before kill %d: %s: %v", n, names[which], (<-ends[which]).err)
			}
			if time.Now().After(deadline) {
				t.Fatalf("before kill %d: %s does not get on: %d bytes delivered, %+v", n, names[which], s.Delivered(), s.Figures())
			}
		}
		for range rng.IntN(5000) {
			runtime.Gosched()
		}
		r.kill()
		if err := r.start(); err != nil {
			t.Fatal(err)
		}
	}
	close(killed)
	for i, name := range names {
		end := <-ends[i]
		if end.err != nil {
			t.Errorf("%s: %v", name, end.err)
			continue
		}
		f := streams[i].Figures()
		t.Logf("%s: %d bytes, %d reconnects, %d sent again", name, end.total, f.Reconnects, f.Resent)
		if f.Reconnects == 0 {
			t.Errorf("%s noticed no kill", name)
		}
		stored, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(stored, numbers(0, end.total)) {
			t.Errorf("%s: %d bytes are stored, %d were written, and they differ", name, len(stored), end.total)
		}
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "*.pcm"))
	if err != nil || len(files) != len(names) {
		t.Errorf("stored are %v; %v", files, err)
	}
	r.cmd.Process.Signal(syscall.SIGTERM)
	if err := r.cmd.Wait(); err != nil {
		t.Error("the receiver ended with", err)
	}
	t.Logf("%d kills in %.1f s", *kills, time.Since(begun).Seconds())
}
