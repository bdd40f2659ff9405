// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"syscall"

	"msprecord/internal/doorbell"
	"msprecord/internal/host"
)

// A trunk is one connection of the mux wire, made again where it is lost, that
// several streams share. A goroutine of its own does all the writing: the
// lanes' frames in turn, as many as turnSize at once, so that a stream which
// is stopped in the middle of a write leaves no half of a message behind.
type trunk struct {
	key    string
	lanes  map[string]*lane // by NAME; under trunks.mu
	joins  int              // how many there have been; under trunks.mu
	dialer *dialer
	waker  *doorbell.Waker
	ctx    context.Context // ends when there are no lanes, or no hope
	cancel context.CancelFunc
	over   chan struct{} // closed when the goroutine has ended
	parted bool          // before that: the server answered our close

	mu         sync.Mutex
	link       *link   // nil while there is no connection
	connection int     // counts them
	redial     *redial // the present attempts, or the last
	lost       error   // why the last connection was lost
	waiting    []*lane // whose frames wait for their turn, the longest first
	closing    bool    // the last lane has left in an orderly way

	turn []*lane // the rest is the goroutine's: whose frames are being written
	asks []ask   // pings that no pong has followed, the oldest first
	seq  int64   // of the last ping
}

// An ask is what a ping asked for one lane.
type ask struct {
	seq     int64
	lane    *lane
	laneSeq uint32 // of the lane's own ping
	offset  int64
}

// trunks are those that have lanes.
var trunks = struct {
	mu    sync.Mutex
	byKey map[string]*trunk
}{byKey: map[string]*trunk{}}

// join adds the lane to the trunk that it can share, or to one of its own.
// What decides how a connection is made is part of what must agree.
func (l *lane) join(shared *url.URL, cfg Config) error {
	key := fmt.Sprintf("%s %+v %v %v %v %v %v %v %v", shared, cfg.Access, cfg.PingInterval, cfg.PongTimeout,
		cfg.MaxOffline, cfg.BackoffFirst, cfg.BackoffLongest, cfg.FinalCodes, cfg.Later)
	trunks.mu.Lock()
	defer trunks.mu.Unlock()
	t := trunks.byKey[key]
	if t == nil {
		var err error
		if t, err = newTrunk(key, shared, cfg); err != nil {
			return err
		}
		trunks.byKey[key] = t
		defer func() { go t.run() }() // with a lane to ask for headers
	}
	if t.lanes[l.name] != nil {
		return fmt.Errorf("another session sends %s over the connection to %s: give each a name of its own: %w", l.name, ShowURL(shared.String()), syscall.EBUSY)
	}
	t.lanes[l.name] = l
	l.trunk, l.joined = t, t.joins
	t.joins++
	return nil
}

func newTrunk(key string, shared *url.URL, cfg Config) (*trunk, error) {
	mask, err := newMasker()
	if err != nil {
		return nil, err
	}
	t := &trunk{key: key, lanes: map[string]*lane{}, over: make(chan struct{}), redial: newRedial(nil)}
	if cfg.Later {
		t.redial = newRedial(errNotYet)
	}
	root := *shared
	root.Path = "/" // of the wire: the rest of the path is not asked for
	cfg.URL = &root
	cfg.Message = t.message
	cfg.Headers = t.headers
	if t.waker, err = doorbell.New(); err != nil {
		return nil, err
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if t.dialer, err = newDialer(t.ctx, cfg, t.waker, mask, ""); err != nil {
		t.cancel()
		t.waker.Close()
		return nil, err
	}
	return t, nil
}

// leave takes the lane off its trunk, which ends with the last one: in an
// orderly way, within ctx, where the trunk is connected. It tells whether the
// server confirmed that end.
func (l *lane) leave(ctx context.Context) bool {
	t := l.trunk
	trunks.mu.Lock()
	if l.gone {
		trunks.mu.Unlock()
		return false
	}
	l.gone = true
	delete(t.lanes, l.name)
	last := len(t.lanes) == 0
	if last && trunks.byKey[t.key] == t {
		delete(trunks.byKey, t.key)
	}
	trunks.mu.Unlock()

	t.mu.Lock()
	for i, waits := range t.waiting {
		if waits == l {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			break
		}
	}
	t.closing = last && t.link != nil && ctx.Err() == nil
	orderly := t.closing
	t.mu.Unlock()
	if !last {
		return false
	}
	if orderly {
		t.waker.Wake()
		select {
		case <-t.over:
		case <-ctx.Done():
		}
	}
	t.cancel()
	<-t.over
	return t.parted
}

// redialling is the trunk's present attempts to be connected, or those that
// made the present connection.
func (t *trunk) redialling() *redial {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.redial
}

// enqueue has a lane wait for its turn.
func (t *trunk) enqueue(l *lane, pieces [][]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.link == nil || l.connection != t.connection {
		return t.lost
	}
	l.pieces = pieces
	t.waiting = append(t.waiting, l)
	if len(t.waiting) == 1 {
		t.waker.Wake()
	}
	return nil
}

// message hands on what the server said: nothing tells to which stream.
func (t *trunk) message(data []byte, text bool) {
	trunks.mu.Lock()
	var hear []func([]byte, bool)
	for _, l := range t.lanes {
		if l.heard != nil {
			hear = append(hear, l.heard)
		}
	}
	trunks.mu.Unlock()
	for _, f := range hear {
		f(data, text)
	}
}

// run keeps the trunk connected, to its end.
func (t *trunk) run() {
	defer host.Guard("ending a shared connection")
	defer close(t.over)
	defer t.waker.Close()
	defer t.cancel()
	defer func() {
		if r := recover(); r != nil {
			t.fail(ours(r))
		}
	}()
	l, err := t.first()
	for err == nil {
		t.connected(l)
		err = t.carry(l)
		l.close(t.parted)
		if err == nil || t.ending() {
			return
		}
		if err = t.dialer.lost(err); t.dialer.cfg.final(err) {
			break
		}
		t.dialer.ended(l.since, l.acked.Load() >= 0 && len(t.asks) > 0)
		r := t.disconnected(err)
		r.run(t.dialer)
		l, err = r.link, r.err
	}
	t.fail(err)
}

// connected lets the lanes know that there is a connection.
func (t *trunk) connected(l *link) {
	t.mu.Lock()
	t.link = l
	t.connection++
	close(t.redial.done)
	t.mu.Unlock()
	t.wake()
}

// disconnected lets them know that there is none, for now.
func (t *trunk) disconnected(err error) *redial {
	t.mu.Lock()
	t.link = nil
	t.lost = err
	t.redial = newRedial(err)
	t.refuse()
	r := t.redial
	t.mu.Unlock()
	t.asks = t.asks[:0]
	t.wake()
	return r
}

// fail lets them know that there will be none.
func (t *trunk) fail(err error) {
	trunks.mu.Lock()
	if trunks.byKey[t.key] == t {
		delete(trunks.byKey, t.key)
	}
	trunks.mu.Unlock()
	t.mu.Lock()
	if t.link != nil {
		t.link = nil
		t.redial = newRedial(err)
	}
	t.lost = err
	t.redial.err = err
	close(t.redial.done)
	t.refuse()
	t.mu.Unlock()
	t.wake()
}

// refuse ends the turns of all who have or wait for one; mu is held.
func (t *trunk) refuse() {
	for _, l := range append(t.turn, t.waiting...) {
		l.over(t.lost)
	}
	t.turn, t.waiting = t.turn[:0], t.waiting[:0]
}

// over tells the lane that its turn is.
func (l *lane) over(err error) {
	select {
	case l.done <- err:
	default: // nobody took the last one: its stream has ended
	}
}

func (t *trunk) wake() {
	trunks.mu.Lock()
	defer trunks.mu.Unlock()
	for _, l := range t.lanes {
		l.waker.Wake()
	}
}
