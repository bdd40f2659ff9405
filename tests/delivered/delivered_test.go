// Package delivered checks the promise that the library rests on: never is
// more acknowledged than the server's files hold, and the accounts close.
//
//	go test ./tests/delivered                          20 rounds, as ./check does
//	go test ./tests/delivered -rounds 1000 -timeout 0  the long run, about half an hour
//	go test ./tests/delivered -seed 17 -rounds 1 -v    one round again
//
// MSPRECORD_BUILD names a CMake build to test; without it one is made.
//
// A round takes one to three seconds. 8 to 16 streams go to two to four
// receivers: record-servers that read slowly, by the raw wire and by mux, one
// with nginx before it, Python's websockets, and servers of this test that end
// connections in every way, with and without answering pings. The receivers
// are terminated, killed, halted and started again at random moments, also
// while record_stop() waits. Then each stream's statistics are compared with
// what the receivers hold, of which each byte tells its place in the stream:
//
//   - acked_bytes is never more than what is held: at random moments of the
//     run, and after record_stop().
//   - Where record_stop() returns 0, everything that was accepted before it is
//     held, except what given_up_bytes counts.
//   - Each byte that ringbuffer_write() has accepted is in exactly one of
//     acked_bytes, given_up_bytes, left_bytes and the ring. dropped_bytes are
//     those that it refused. Neither changes after record_stop().
//   - A receiver that resumes has each byte once and in order, and has noted
//     what is missing.
//
// All of a round is drawn from its seed, which is -seed for the first, and one
// more for each after it. Moments still differ a little from run to run, so
// that a rare fault may need several runs of its round.
package delivered

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"msprecord/tests/programs"
)

var (
	seed   = flag.Int64("seed", 0, "of the first round; 0 takes the time")
	rounds = flag.Int("rounds", 20, "how many")
)

func TestNeverIsMoreAcknowledgedThanIsHeld(t *testing.T) {
	scratch := t.TempDir()
	build, err := programs.Build(scratch)
	if err != nil {
		t.Fatal(err)
	}
	driver := filepath.Join(scratch, "streams")
	if err := programs.Compile(build, driver, "testdata/streams.c"); err != nil {
		t.Fatal(err)
	}
	first := *seed
	if first == 0 {
		first = time.Now().UnixNano() % 1e9
	}
	t.Logf("seeds %d to %d", first, first+int64(*rounds)-1)
	var sum tally
	for n := range int64(*rounds) {
		name := fmt.Sprintf("seed=%d", first+n)
		t.Run(name, func(t *testing.T) {
			r := newRound(t, build, driver, uint64(first+n))
			r.run()
			sum.add(r)
			if t.Failed() {
				t.Logf("to repeat it: go test ./tests/delivered -seed %d -rounds 1 -v", first+n)
			}
		})
	}
	t.Log(sum)
}

// A tally is what all rounds did, to see that they meet what they are for.
type tally struct {
	rounds, streams, whole, timeouts, failed int
	accepted, acked, givenUp, left, refused  int64
	looks                                    int
}

func (s *tally) add(r *round) {
	s.rounds++
	for _, st := range r.streams {
		s.streams++
		s.looks += st.looks
		c := st.counts
		switch {
		case st.rc == 0:
			s.whole++
		case st.rc == timedOut:
			s.timeouts++
		default:
			s.failed++
		}
		s.accepted += c.accepted
		s.acked += c.acked
		s.givenUp += c.givenUp
		s.left += c.left
		s.refused += c.refused
	}
}

func (s tally) String() string {
	return fmt.Sprintf("%d rounds, %d streams: %d stopped with 0, %d with -ETIMEDOUT, %d with another error; "+
		"of %d bytes accepted %d were acknowledged, %d given up, %d left; %d refused; %d looks on the way",
		s.rounds, s.streams, s.whole, s.timeouts, s.failed,
		s.accepted, s.acked, s.givenUp, s.left, s.refused, s.looks)
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}
