// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"net/url"
	"sync/atomic"
	"time"

	"msprecord/internal/doorbell"
)

// A ping asks for an acknowledgement behind so many bytes (as the window says),
// or so long after the last one, whichever comes first.
const (
	leastAck = 4 << 10
	mostAck  = 256 << 10
)

var ackDelay = 500 * time.Millisecond // shorter in tests

const (
	// batchSize is how many bytes of frames leave in one write at most, unless
	// a single chunk is larger. What a write costs besides its bytes, such as
	// waking the other side, is little at that size. With a ping behind them
	// they fit into four segments of the loopback, which take 65,483 each.
	batchSize = 4 * turnSize

	// turnSize is the same where streams share a connection.
	turnSize = 60 << 10

	// ignoreAfter is how long the first pong of a stream may be late before the
	// server is taken for one that answers no pings.
	ignoreAfter = time.Second
)

// Config is what a stream is told.
type Config struct {
	URL *url.URL
	Settings
	// Headers is asked for the lines of a handshake right before each dial, on
	// the goroutine that dials, and may take its time until ctx ends. nil: they
	// are those of Access.
	Headers func(ctx context.Context) []string
	Events
}

// Settings are what a user may choose.
type Settings struct {
	ConnectTimeout time.Duration
	PingInterval   time.Duration // a silent connection is asked for life this often
	PongTimeout    time.Duration // and given up after so long without an answer
	MaxOffline     time.Duration // how long to go on dialling; 0: for ever
	BackoffFirst   time.Duration // the longest pause before the first attempt, which
	BackoffLongest time.Duration // doubles up to this with attempts that bring nothing
	FinalCodes     []int         // close codes and HTTP answers after which there is no more dialling
	Later          bool          // Open returns without a connection, and dials as in an outage
	ReplayBytes    int           // frames kept until they are acknowledged
	ReplayRate     int           // bytes a second of what was kept; 0: as fast as it goes
	OnFull         OnFull
	Mux            bool // the mux wire, over a connection that streams share
	Access         Access
	Speech         Speech
}

// OnFull is what happens when an outage outlasts ReplayBytes.
type OnFull int

const (
	Hold       OnFull = iota // the source is held back
	DropOldest               // the oldest bytes are given up
	DropNewest               // what comes is given up, until there is a connection
)

// Events hear what happens to a stream.
type Events struct {
	Up      func(text string)                     // a connection stands
	Down    func(err error)                       // it is lost
	Gap     func(offset, length int64, sent bool) // bytes were given up; sent: they may have arrived all the same
	Warn    func(text string)                     // something a user should know
	Message func(data []byte, text bool)          // the server said something; nil: nobody listens
}

// Speech is what services expect besides the audio.
type Speech struct {
	OpenText     string        // sent after each connecting; "": nothing
	IdleText     string        // sent when no audio was for IdleInterval; "": nothing
	IdleInterval time.Duration //
	CloseText    *string       // sent after the tail, before the close; nil: nothing
	CloseBinary  *string       // the same, as a binary message
	Linger       time.Duration // how long the server may then go on talking
}

// A Stream is a WebSocket server as a session's destination, over as many
// connections as it takes. One goroutine uses it, except where a method says
// otherwise.
type Stream struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	waker  *doorbell.Waker
	alarm  *time.Timer // wakes the pump for what time alone brings
	due    int64       // when it goes off; times here are of clock()

	window     window
	wire       wire
	most       int                      // batchSize, or turnSize
	link       carrier                  // nil while there is no connection
	redial     *redial                  // nil while there is one
	dialer     *dialer                  // of the connections; nil with a lane
	lane       *lane                    // mux: this stream's part of a shared connection
	recent     atomic.Pointer[ackState] // of link, or the last
	pieces     [][]byte                 // of one write
	scratch    []byte                   // one message, unmasked
	batch      []byte                   // frames made anew for a replay
	again      int64                    // offset up to which messages are made anew,
	againFrom  int64                    // from here on
	pacing     bool                     // what was kept is sent at ReplayRate,
	paceAt     int64                    // the next of it then
	spoke      int64                    // when data or IdleText was last written
	parting    bool                     // the present link was told that the tail is over
	until      int64                    // when lingering ends
	hurries    atomic.Bool              // a stop waits
	pressed    bool                     // and redial was told so
	trouble    error                    // why the last connection was lost while a stop waits, if none has got on since
	closing    bool                     // the present link was sent our close frame
	ended      bool                     // everything has arrived, and the connection is over
	unanswered bool                     // a connection ended without an answer to our close, and nothing else tells what has arrived

	reached   int64 // offset up to which everything was written once, or given up
	confirmed int64 // offset up to which everything has arrived, or was given up
	gaps      gaps
	skipping  bool // what is put is given up, until there is a connection
	acksKnown bool // the server has answered a ping, or said what it holds
	ignoring  bool // the server is taken for one that answers no pings

	sent        atomic.Int64 // bytes written, each counted once
	delivered   atomic.Int64 // bytes known to have arrived
	resent      atomic.Int64 // bytes
	dropped     atomic.Int64 // bytes that were given up
	held        atomic.Int64 // bytes in the window, as it counts them
	oldest      atomic.Int64 // when the oldest message in it was put, 0: it is empty
	reconnects  atomic.Int64
	connectedAt atomic.Int64 // when the present connection was made; negative: when the last was lost
	rtt         atomic.Int64 // ns
	answers     atomic.Bool  // the last server was seen to answer pings
}

// Open connects, within ConnectTimeout, or begins to where Later says so. ctx is
// the session's run: its end breaks off whatever the stream is in. w is woken
// when there is something to act on.
func Open(ctx context.Context, cfg Config, w *doorbell.Waker) (*Stream, error) {
	mask, err := newMasker()
	if err != nil {
		return nil, err
	}
	var id [16]byte
	if _, err := crand.Read(id[:]); err != nil {
		return nil, err
	}
	s := &Stream{cfg: cfg, waker: w, wire: wire{mask: mask}, most: batchSize}
	if cfg.Mux {
		s.most = turnSize
	}
	s.window.limit = cfg.ReplayBytes
	s.connectedAt.Store(-clock())
	s.ctx, s.cancel = context.WithCancel(ctx)
	c, err := s.connect(hex.EncodeToString(id[:]))
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.alarm = time.AfterFunc(never, w.Wake)
	if c == nil {
		return s, nil
	}
	if err := s.adopt(c); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// connect makes the first connection, or with Later the attempts to, and
// returns nil.
func (s *Stream) connect(id string) (carrier, error) {
	var err error
	if s.cfg.Mux {
		if s.lane, err = takeLane(s.ctx, s.cfg, s.waker); err != nil {
			return nil, err
		}
		s.wire.lead = s.lane.rename()
		if s.cfg.Later && !s.lane.board() {
			s.redial = s.lane.trunk.redialling()
			return nil, nil
		}
		return s.lane, nil
	}
	if s.dialer, err = newDialer(s.ctx, s.cfg, s.waker, s.wire.mask, id); err != nil {
		return nil, err
	}
	if s.cfg.Later {
		s.redial = s.dialer.again(errNotYet)
		return nil, nil
	}
	return s.dialer.dial(s.ctx, func(func()) {})
}

// Sent is how many payload bytes were handed to a connection, each counted
// once. Any goroutine.
func (s *Stream) Sent() int64 { return s.sent.Load() }

// Delivered is how many payload bytes are known to have arrived. Any goroutine.
func (s *Stream) Delivered() int64 {
	n := s.delivered.Load()
	if a := s.recent.Load(); a != nil && s.dropped.Load() == 0 {
		n = max(n, min(a.acked.Load(), s.sent.Load())) // nobody may have looked at it yet
	}
	return n
}

// Figures are what a stream tells about its connections.
type Figures struct {
	Resent     int64 // bytes
	GivenUp    int64 // bytes
	Window     int64 // bytes of frames
	Reconnects int64
	RTT        time.Duration
	Answers    bool          // the server answers pings, and so acknowledges
	Online     bool          // there is a connection,
	Since      time.Duration // or there is none, for so long
	Oldest     time.Duration // age of the oldest byte that is not known to have arrived; 0: there is none
}

// Figures reads them. Any goroutine.
func (s *Stream) Figures() Figures {
	f := Figures{
		Resent: s.resent.Load(), GivenUp: s.dropped.Load(), Window: s.held.Load(),
		Reconnects: s.reconnects.Load(), RTT: time.Duration(s.rtt.Load()), Answers: s.answers.Load(),
	}
	now, at := clock(), s.connectedAt.Load()
	f.Online, f.Since = at > 0, time.Duration(now-max(at, -at))
	if oldest := s.oldest.Load(); oldest != 0 {
		f.Oldest = time.Duration(now - oldest)
	}
	return f
}

// Close ends the connection, or the attempts to make one. Finish comes first
// where the end is an orderly one.
func (s *Stream) Close() error {
	s.gaps.tell(s.cfg.Gap)
	s.alarm.Stop()
	if s.link != nil {
		s.link.close(s.ended)
		s.processAcks() // its reader has ended: nothing comes after this
		s.connectedAt.Store(-clock())
	}
	s.cancel()
	if s.lane != nil {
		s.lane.leave(s.ctx)
	} else if s.redial != nil {
		<-s.redial.done
		if s.redial.link != nil {
			s.redial.link.close(false)
		}
	}
	s.window.release()
	return nil
}
