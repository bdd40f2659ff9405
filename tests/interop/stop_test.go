package interop

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	stopTimeout = 500 * time.Millisecond
	stopSlack   = time.Second // of a busy machine
)

// A stopping is a stopper.c and what is between it and its server.
type stopping struct {
	*process
	in   io.Writer
	gate *gate
}

// do has the session do something, as stopper.c says.
func (s *stopping) do(n int, what string) {
	s.t.Helper()
	fmt.Fprintln(s.in, what)
	until(s.t, patience, what, func() bool { return s.count("done") == n })
}

// count is how often it has printed a line.
func (p *process) count(line string) (n int) {
	for _, l := range p.output() {
		if l == line {
			n++
		}
	}
	return n
}

func (s *stopping) waits(line string) {
	s.t.Helper()
	until(s.t, patience, line, func() bool { return s.count(line) > 0 })
}

// What a session meets, and what it is told in between, until it is stopped.
var stops = []struct {
	state string
	front string   // nginx before the gate, or behind it; "tls": the gate itself is asked for TLS
	at    manner   // what the first connection meets
	env   []string // MSP_RECORD_…
	reach func(*stopping)
	start string // what record_start returns
	stop  int    // what record_stop returns
	whole bool   // it takes the whole stop_timeout, else at most a second
	least int    // bytes left behind
}{
	{state: "connecting: the server takes the connection and says nothing",
		at: silent, reach: func(s *stopping) { s.gate.meets() }, start: "-125"},
	{state: "connecting: TLS gets no answer",
		front: "tls", at: silent, reach: func(s *stopping) { s.gate.meets() }, start: "-125"},
	{state: "connecting: nginx waits for its server",
		front: "nginx", at: silent, reach: func(s *stopping) { s.gate.meets() }, start: "-125"},

	{state: "dialling again: packets are dropped",
		reach: func(s *stopping) { s.do(1, "acked"); s.gate.vanish(); s.do(2, "5120") },
		stop:  -110, whole: true, least: 5120},
	{state: "dialling again: the handshake gets no answer",
		reach: func(s *stopping) { s.gate.shut(silent); s.gate.meets(); s.do(1, "5120") },
		stop:  -110, whole: true, least: 5120},
	{state: "dialling again: TLS gets no answer", front: "nginx behind",
		reach: func(s *stopping) { s.gate.shut(silent); s.gate.meets(); s.do(1, "5120") },
		stop:  -110, whole: true, least: 5120},
	{state: "dialling again: nginx waits for its server", front: "nginx",
		reach: func(s *stopping) { s.gate.shut(silent); s.gate.meets(); s.do(1, "5120") },
		stop:  -110, whole: true, least: 5120},
	{state: "dialling again: nginx answers 502", front: "nginx",
		reach: func(s *stopping) { s.gate.close(); s.waits("down"); s.do(1, "5120") },
		stop:  -110, whole: true, least: 5120},
	{state: "dialling again: nothing listens",
		reach: func(s *stopping) { s.gate.close(); s.waits("down"); s.do(1, "5120") },
		stop:  -110, whole: true, least: 5120},
	{state: "in the pause that the server has asked for",
		reach: func(s *stopping) { s.gate.shut(busy); s.gate.meets(); s.do(1, "5120") },
		stop:  -110, whole: true, least: 5120},
	{state: "offline, window and ring full", env: []string{"REPLAY_BYTES=65536"},
		reach: func(s *stopping) { s.gate.close(); s.waits("down"); s.do(1, "200000"); s.do(2, "full") },
		stop:  -110, whole: true, least: 99_999},

	{state: "half-open",
		reach: func(s *stopping) { s.do(1, "2560"); s.do(2, "acked"); close(s.gate.ice); s.do(3, "5120") },
		stop:  -110, whole: true, least: 5120},
	{state: "half-open, with everything confirmed", env: []string{"STOP_TIMEOUT=5000"},
		reach: func(s *stopping) { s.do(1, "2560"); s.do(2, "acked"); close(s.gate.ice) }},
	{state: "the server does not read, window and ring full", env: []string{"REPLAY_BYTES=65536"},
		reach: func(s *stopping) {
			s.do(1, "2560")
			s.do(2, "acked")
			close(s.gate.ice)
			s.do(3, "200000")
			s.do(4, "full")
		},
		stop: -110, whole: true, least: 99_999},
	{state: "the server does not read, TLS", front: "nginx behind", env: []string{"REPLAY_BYTES=65536"},
		reach: func(s *stopping) {
			s.do(1, "2560")
			s.do(2, "acked")
			close(s.gate.ice)
			s.do(3, "200000")
			s.do(4, "full")
		},
		stop: -110, whole: true, least: 99_999},
	{state: "lingering, for less than stop_timeout", env: []string{"CLOSE_TEXT=bye", "LINGER=100"},
		reach: func(s *stopping) { s.do(1, "5120") }},
	// Nothing is left: the time is over, and that is no failure.
	{state: "lingering, for longer", env: []string{"CLOSE_TEXT=bye", "LINGER=60000"},
		reach: func(s *stopping) { s.do(1, "5120") }, whole: true},
}

func TestStopIsBoundedInEachState(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "stopper")
	compile(t, "stopper.c", program)
	for _, row := range stops {
		t.Run(row.state, func(t *testing.T) {
			s, g := approach(t, row.front, row.at)
			cmd := exec.Command(program, s.url+"x.bin", "100000")
			cmd.Env = append(append(strangers(), s.env...), fmt.Sprint("MSP_RECORD_STOP_TIMEOUT=", stopTimeout.Milliseconds()))
			for _, v := range row.env {
				cmd.Env = append(cmd.Env, "MSP_RECORD_"+v)
			}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			p := &stopping{start(t, cmd), in, g}
			if row.at == open {
				row.start = "0"
				p.line("started 0")
			}
			row.reach(p)
			in.Close()
			if code := p.wait(patience); code != 0 {
				t.Fatalf("stopper ended with %d", code)
			}
			if got := p.line("started "); got != row.start {
				t.Errorf("record_start returns %s, want %s", got, row.start)
			}
			p.judge(row.stop, row.whole, row.least)
		})
	}
}

// approach starts Node's ws, with a gate before it and nginx where front says.
func approach(t *testing.T, front string, how manner) (*server, *gate) {
	t.Helper()
	s := startNode(t, "pieces", "0")
	bare := func() string { return strings.Trim(s.url[strings.Index(s.url, "//"):], "/") }
	var n *nginx
	if strings.HasPrefix(front, "nginx") {
		n = newNginx(t)
	}
	if front == "nginx behind" {
		n.before(s)
	}
	g := newGate(t, bare(), how)
	switch front {
	case "nginx":
		s.url = "ws://" + g.addr + "/"
		n.before(s)
	case "nginx behind", "tls":
		s.url = "wss://" + g.addr + "/"
	default:
		s.url = "ws://" + g.addr + "/"
	}
	return s, g
}

// judge compares what stopper.c tells of a stop with what it should be.
func (s *stopping) judge(stop int, whole bool, least int) {
	s.t.Helper()
	rc, message, _ := strings.Cut(s.line("stop "), " ")
	if rc != strconv.Itoa(stop) {
		s.t.Errorf("record_stop returns %s, want %d: %s", rc, stop, message)
	}
	ms, err := strconv.Atoi(s.line("took "))
	if err != nil {
		s.t.Fatal(err)
	}
	took := time.Duration(ms) * time.Millisecond
	shortest, longest := time.Duration(0), time.Second+stopSlack
	if whole {
		shortest, longest = stopTimeout-10*time.Millisecond, stopTimeout+stopSlack
	}
	if took < shortest || took > longest {
		s.t.Errorf("record_stop takes %v, expected %v to %v", took, shortest, longest)
	}
	var written, arrived, left, inRing, dropped int
	if _, err := fmt.Sscan(s.line("bytes "), &written, &arrived, &left, &inRing, &dropped); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%v; of %d bytes %d arrived, %d are left, %d in the ring, %d dropped: %s", took, written, arrived, left, inRing, dropped, message)
	if arrived+left+inRing+dropped != written {
		s.t.Errorf("of %d bytes %d arrived, %d are left behind, %d are in the ring and %d were dropped", written, arrived, left, inRing, dropped)
	}
	if left+inRing < least {
		s.t.Errorf("%d bytes are left behind and %d in the ring, expected %d", left, inRing, least)
	}
	if words := fmt.Sprintf("%d bytes are left behind", left); stop != 0 && left > 0 && !strings.Contains(message, words) {
		s.t.Errorf("record_stop does not say %q: %s", words, message)
	}
}
