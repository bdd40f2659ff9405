package delivered

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"msprecord/tests/programs"
)

const (
	timedOut = -int(syscall.ETIMEDOUT)
	patience = 30 * time.Second // how long a round's driver may take
)

// A stream is one session of a round, and what its statistics say.
type stream struct {
	index    int
	name     string
	receiver receiver
	kind     string
	plan     string // its line for the driver
	keeps    bool   // nothing is given up: on_full is hold

	rc      int
	message string
	acked   int64 // the most that was seen
	looks   int   // how often more was acknowledged
	counts  counts
	closed  bool // counts is set
}

// counts is what testdata/streams.c prints under that name.
type counts struct {
	before, accepted, refusedBefore, refused, inRing, read, acked, givenUp, left, dropped int64
}

// A round is a number of sessions, from their start to their stop.
type round struct {
	t         *testing.T
	driver    string
	random    *rand.Rand
	seed      uint64
	lasts     int // ms until the sessions are stopped
	receivers []receiver
	streams   []*stream
}

func oneOf[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func newRound(t *testing.T, build, driver string, seed uint64) *round {
	r := &round{t: t, driver: driver, random: rand.New(rand.NewPCG(seed, 0)), seed: seed}
	r.lasts = 50 + r.random.IntN(600)
	kinds := []string{"raw"}
	for range 1 + r.random.IntN(3) {
		kinds = append(kinds, oneOf(r.random, "raw", "raw", "mux", "mux", "nginx", "nginx", "mute", "mute", "cutter", "cutter", "python"))
	}
	for _, kind := range kinds {
		r.receivers = append(r.receivers, r.receiver(kind, build))
	}
	for i := range 8 + r.random.IntN(9) {
		n := r.random.IntN(len(kinds))
		r.streams = append(r.streams, r.stream(i, kinds[n], r.receivers[n]))
	}
	return r
}

func (r *round) receiver(kind, build string) receiver {
	rate := oneOf(r.random, 50_000, 300_000, 1_000_000, 4_000_000)
	var s *store
	switch kind {
	case "mute", "cutter":
		c, err := newCutter(kind == "cutter", rate)
		if err != nil {
			r.t.Fatal(err)
		}
		return c
	case "nginx":
		s = newProxied(r.t, build, rate)
	case "python":
		s = newPython(r.t)
	default:
		s = newStore(r.t, build, rate)
		s.exact = kind == "raw"
	}
	r.t.Cleanup(func() { s.end() })
	if err := s.start(); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *round) stream(i int, kind string, to receiver) *stream {
	s := &stream{index: i, name: fmt.Sprintf("s%d.pcm", i), receiver: to, kind: kind}
	onFull := oneOf(r.random, "hold", "hold", "drop_oldest", "drop_newest")
	wire := "raw"
	if kind == "mux" {
		wire = "mux"
	}
	late, pre := r.random.IntN(2), oneOf(r.random, -1, -1, 0, r.random.IntN(100))
	s.keeps = onFull == "hold"
	ring := oneOf(r.random, 4096, 65536, 1<<20)
	piece := min(16*(1+r.random.IntN(oneOf(r.random, 40, 1000))), ring/2)
	s.plan = fmt.Sprintln(to.url(s.name), ring+1, oneOf(r.random, 320, 4096, 65536),
		oneOf(r.random, 16<<10, 128<<10, 1<<20), onFull, wire, piece, oneOf(r.random, 0, 1000, 20_000),
		300+r.random.IntN(1200), late, pre)
	return s
}

func (r *round) run() {
	cmd := exec.Command(r.driver, strconv.Itoa(r.lasts), strconv.FormatUint(r.seed&0xFFFF, 10))
	cmd.Env = append(programs.Environment(), "MSP_LOG_LEVEL=error")
	p, err := programs.Start(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range r.streams {
		fmt.Fprint(p.In, s.plan)
	}
	fmt.Fprintln(p.In, ".")

	quit := make(chan struct{})
	var disturbing sync.WaitGroup
	disturb := sync.OnceFunc(func() {
		for _, to := range r.receivers {
			random := rand.New(rand.NewPCG(r.random.Uint64(), 0))
			disturbing.Go(func() {
				if err := to.disturb(random, quit); err != nil {
					r.t.Error(err)
				}
			})
		}
	})
	started, ended := 0, false
	over := time.After(patience)
	for open := true; open; {
		var line string
		select {
		case line, open = <-p.Lines:
		case <-over:
			p.Process.Signal(syscall.SIGQUIT) // Go tells where it hangs
			over = nil
			if !p.Ended(time.Second) {
				p.Process.Kill()
			}
			r.t.Errorf("the sessions are not over after %v", patience)
			continue
		}
		if ended = line == "ended" || ended; ended {
			continue
		}
		if strings.HasPrefix(line, "started ") {
			started++
		}
		if line == "stopping" {
			for _, to := range r.receivers {
				to.stopping()
			}
			fmt.Fprintln(p.In, "stop")
		}
		r.take(line)
		if started == len(r.streams) {
			disturb()
		}
	}
	<-p.Done
	close(quit)
	disturbing.Wait()
	for _, to := range r.receivers {
		if err := to.end(); err != nil {
			r.t.Error(err)
		}
	}
	if !ended || !p.ProcessState.Success() {
		errs := p.Errors()
		r.t.Errorf("the driver ended with %v:\n%s", p.ProcessState, errs[max(0, len(errs)-4000):])
		return
	}
	for _, s := range r.streams {
		for _, fault := range s.judge() {
			r.t.Errorf("stream %d, %s, record_stop %d %s: %s\n    %+v\n    %s", s.index, s.kind, s.rc, s.message, fault, s.counts, s.plan)
		}
	}
}

// take takes a line of the driver's.
func (r *round) take(line string) {
	var what string
	var i int
	var f counts
	fmt.Sscan(line, &what, &i)
	if i < 0 || i >= len(r.streams) {
		return
	}
	s := r.streams[i]
	words := strings.SplitN(line, " ", 4)
	switch what {
	case "started":
		if words[2] != "0" {
			r.t.Errorf("stream %d, %s: record_start: %s", i, s.kind, line)
		}
	case "acked":
		s.looks++
		fmt.Sscan(words[2], &s.acked)
		if held := s.receiver.size(i, s.name); held >= 0 && s.acked > held {
			r.t.Errorf("stream %d, %s: while it runs %d bytes are acknowledged, %d are held\n    %s", i, s.kind, s.acked, held, s.plan)
		}
	case "wrong":
		r.t.Errorf("stream %d, %s: %s", i, s.kind, line)
	case "stopped":
		s.rc, _ = strconv.Atoi(words[2])
		s.message = words[3]
	case "counts":
		c := &s.counts
		_, err := fmt.Sscan(line, &what, &i, &c.before, &c.accepted, &c.refusedBefore, &c.refused, &c.inRing,
			&c.read, &c.acked, &c.givenUp, &c.left, &c.dropped)
		if s.closed = err == nil; err != nil {
			r.t.Errorf("%q: %v", line, err)
		}
	case "full", "destroyed":
		fmt.Sscan(line, &what, &i, &f.read, &f.acked, &f.givenUp, &f.left, &f.dropped)
		c := s.counts
		want := counts{read: c.read, acked: c.acked, givenUp: c.givenUp, left: c.left, dropped: c.dropped}
		if f != want {
			after := map[string]string{"full": "bytes were refused", "destroyed": "the ring was destroyed"}[what]
			r.t.Errorf("stream %d: figures of a stopped session changed when %s:\n    %+v\n    %+v", i, after, want, f)
		}
	}
}

// judge compares what is held of a stream with what its statistics say.
func (s *stream) judge() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !s.closed {
		return nil // it did not start, which is a fault already
	}
	readers, err := s.receiver.held(s.index, s.name)
	if err != nil {
		fault("%v", err)
	}
	var runs []run
	for _, r := range readers {
		runs = append(runs, r.runs...)
		if r.strange > 0 {
			fault("%d bytes that are held are not of the stream", r.strange)
		}
	}
	all := union(runs)
	c, held := s.counts, total(all)
	acked := max(c.acked, s.acked)
	switch {
	case acked > held:
		fault("%d bytes are acknowledged, %d are held: %v", acked, held, all)
	case s.keeps && c.givenUp == 0 && acked > prefix(all):
		fault("%d bytes are acknowledged, the first %d are held: %v", acked, prefix(all), all)
	}
	if s.rc == 0 {
		switch {
		case c.read < c.before:
			fault("%d of %d bytes were read", c.read, c.before)
		case c.acked+c.givenUp != c.read || c.left != 0:
			fault("not all that was read is acknowledged or given up")
		}
	}
	if c.read+c.inRing != c.accepted {
		fault("%d bytes were read or are in the ring", c.read+c.inRing)
	}
	if open := c.accepted - c.acked - c.givenUp - c.left - c.inRing; open != 0 {
		fault("the accounts are open by %d bytes", open)
	}
	if c.dropped < c.refusedBefore || c.dropped > c.refused {
		fault("the ring refused %d to %d bytes, dropped_bytes are %d", c.refusedBefore, c.refused, c.dropped)
	}
	if c.acked < s.acked {
		fault("acked_bytes were %d before", s.acked)
	}
	return faults
}
