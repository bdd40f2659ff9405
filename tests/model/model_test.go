// Package model runs a random model of calls against servers that come and go.
//
//	go test ./tests/model                               9 runs of 3 s, as ./check does
//	go test ./tests/model -minutes 60 -timeout 0 -v     the long run
//	go test ./tests/model -seed 17 -runs 1 -seconds 10 -v   one run again, for longer
//
// MSPRECORD_BUILD names a CMake build to test; without it one is made.
//
// testdata/model.c says what is done and what is checked. In a third of the
// runs descriptors are short, in a third threads, in a third memory: from the
// first call on, or later. Threads can only be made short by root. Meanwhile
// the receivers are killed, terminated, halted and started again at random.
//
// A run draws all from its seed, which is -seed for the first and one more for
// each after it. Threads still meet differently from run to run, so that a
// fault may need several runs of its seed, or a longer one.
package model

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"msprecord/tests/programs"
)

var (
	seed    = flag.Int64("seed", 0, "of the first run; 0 takes the time")
	runs    = flag.Int("runs", 9, "how many")
	seconds = flag.Float64("seconds", 3, "how long a run goes on")
	minutes = flag.Float64("minutes", 0, "run after run for so long, in place of -runs")
)

const hang = 40 * time.Second // how long a run may take to end after its time

// A bench is what all runs share.
type bench struct {
	build, program string
	silent         string // the URL of a port that accepts and says nothing
}

func TestCallsKeepTheirWordInAnyOrder(t *testing.T) {
	scratch := t.TempDir()
	b := &bench{program: filepath.Join(scratch, "model")}
	var err error
	if b.build, err = programs.Build(scratch); err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("testdata/*.c")
	if err != nil {
		t.Fatal(err)
	}
	if err := programs.Compile(b.build, b.program, sources...); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b.silent = fmt.Sprintf("ws://%v/", silent.Addr())

	first := *seed
	if first == 0 {
		first = time.Now().UnixNano() % 1e9
	}
	end := time.Now().Add(time.Duration(*minutes * float64(time.Minute)))
	for n := int64(0); n < int64(*runs) || *minutes > 0; n++ {
		if *minutes > 0 && time.Now().After(end) {
			break
		}
		t.Run(fmt.Sprintf("seed=%d", first+n), func(t *testing.T) { b.run(t, first+n) })
	}
}

// shortage is what a run lacks.
func shortage(seed int64) string {
	kind := []string{"descriptors", "threads", "memory"}[seed%3]
	if kind == "threads" && os.Geteuid() != 0 {
		return "none" // the limit would count all that this user runs
	}
	return kind
}

func (b *bench) run(t *testing.T, seed int64) {
	kind := shortage(seed)
	folder, err := os.MkdirTemp("", "msprecord-model-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	// With threads short the program is another user's.
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	quit := make(chan struct{})
	var receiving sync.WaitGroup
	args := []string{strconv.FormatInt(seed, 10), fmt.Sprint(*seconds), kind, folder, b.silent}
	for range 3 {
		s := b.receiver(filepath.Join(folder, "received"), random.IntN(2) == 0)
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		args = append(args, "ws://127.0.0.1:"+s.Port+"/")
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		receiving.Go(func() {
			defer s.Kill()
			if err := disturb(s, own, quit); err != nil {
				t.Error(err)
			}
		})
	}
	defer receiving.Wait()
	defer close(quit)

	cmd := exec.Command(b.program, args...)
	cmd.Env = append(programs.Environment(), "MSP_LOG_LEVEL=error")
	p, err := programs.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	over := time.AfterFunc(time.Duration(*seconds*float64(time.Second))+hang, func() { p.Process.Signal(syscall.SIGABRT) })
	defer over.Stop()
	for line := range p.Lines {
		if strings.HasPrefix(line, "FAIL") {
			t.Error(line)
		} else {
			t.Logf("%s short: %s", kind, line)
		}
	}
	<-p.Done
	if state := p.ProcessState; state.ExitCode() > 1 || !state.Exited() {
		t.Errorf("%s short: %v\n%s", kind, state, head(p.Errors()))
	}
	if t.Failed() {
		t.Logf("to repeat it: go test ./tests/model -seed %d -runs 1 -seconds %v -v", seed, *seconds)
	}
}

// head is where a program's last words begin: Go's, if it is Go that ended it.
func head(errs string) string {
	for _, words := range []string{"panic:", "fatal error:", "runtime:", "SIG"} {
		if i := strings.Index(errs, words); i >= 0 {
			errs = errs[i:]
			break
		}
	}
	return errs[:min(len(errs), 3000)]
}

func (b *bench) receiver(folder string, slow bool) *programs.Server {
	s := &programs.Server{Port: programs.VacantPort()}
	s.Command = func() *exec.Cmd {
		args := []string{"-addr", "127.0.0.1:" + s.Port, "-dir", filepath.Join(folder, s.Port)}
		if slow {
			args = append(args, "-max-rate", "200k")
		}
		return exec.Command(filepath.Join(b.build, "record-server"), args...)
	}
	return s
}

// disturb lets things happen to a server until quit is closed.
func disturb(s *programs.Server, r *rand.Rand, quit <-chan struct{}) error {
	pause := func(most int) bool {
		select {
		case <-quit:
			return false
		case <-time.After(time.Duration(10+r.IntN(most)) * time.Millisecond):
			return true
		}
	}
	for pause(1200) {
		switch r.IntN(3) {
		case 0:
			s.Signal(syscall.SIGSTOP)
			pause(900)
			s.Signal(syscall.SIGCONT)
			continue
		case 1:
			s.Terminate(time.Duration(r.IntN(1000)) * time.Millisecond)
		default:
			s.Kill()
		}
		if !pause(800) {
			break
		}
		if err := s.Start(); err != nil {
			return err
		}
	}
	return nil
}
