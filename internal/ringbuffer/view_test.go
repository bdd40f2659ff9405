// SPDX-License-Identifier: MIT

package ringbuffer_test

import (
	"bytes"
	"errors"
	"math"
	"syscall"
	"testing"
	"time"

	"msprecord/internal/doorbell"
	"msprecord/internal/ringbuffer"
	"msprecord/internal/ringbuffer/ringtest"
)

func claim(t testing.TB, r *ringtest.Ring, side ringbuffer.Side) *ringbuffer.View {
	t.Helper()
	v, err := ringbuffer.Claim(r.Address(), side)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Release)
	return v
}

func newWaker(t testing.TB) *doorbell.Waker {
	t.Helper()
	w, err := doorbell.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func woken(t testing.TB, w *doorbell.Waker) {
	t.Helper()
	select {
	case <-w.C:
	case <-time.After(10 * time.Second):
		t.Fatal("the sleeper was not woken")
	}
}

// take reads up to max bytes through the view.
func take(t testing.TB, v *ringbuffer.View, max int, end *ringbuffer.Edge) []byte {
	t.Helper()
	a, b, _, err := v.Spans(max, end)
	if err != nil {
		t.Fatal(err)
	}
	got := append(append([]byte{}, a...), b...)
	if len(got) > 0 {
		v.Take()
	}
	return got
}

// Every byte of ops is a step: below 128 the C producer writes that many
// bytes, from 128 on the view reads.
func FuzzViewAgreesWithC(f *testing.F) {
	f.Add(uint8(10), []byte{5, 130, 9, 255, 1, 1, 200})
	f.Add(uint8(2), []byte{1, 129, 1, 129, 127, 255})
	f.Fuzz(func(t *testing.T, size uint8, ops []byte) {
		r := ringtest.New(t, int(size)+2)
		v := claim(t, r, ringbuffer.ReadSide)
		capacity := int(size) + 1
		if v.Length() != capacity {
			t.Fatalf("Length = %d, want size-1 = %d", v.Length(), capacity)
		}
		var model []byte
		next := byte(0)
		for _, op := range ops {
			if op < 128 {
				p := make([]byte, op)
				for i := range p {
					p[i] = next + byte(i)
				}
				n := r.Write(p)
				if want := min(len(p), capacity-len(model)); n != want {
					t.Fatalf("write of %d with %d there = %d, want %d", len(p), len(model), n, want)
				}
				model = append(model, p[:n]...)
				next += byte(n)
			} else {
				want := model[:min(int(op)-128, len(model))]
				if got := take(t, v, int(op)-128, nil); !bytes.Equal(got, want) {
					t.Fatalf("view gave %v, want %v", got, want)
				}
				model = model[len(want):]
			}
			left, err := v.Left(nil)
			if err != nil || left != len(model) || r.Used() != left || r.Room() != capacity-left {
				t.Fatalf("left %d (%v), C used %d room %d; want %d of %d", left, err, r.Used(), r.Room(), len(model), capacity)
			}
		}
	})
}

func TestASleeperIsWokenByEachSide(t *testing.T) {
	r := ringtest.New(t, 9)
	reader, writer := claim(t, r, ringbuffer.ReadSide), claim(t, r, ringbuffer.WriteSide)
	w := newWaker(t)
	for range 1000 {
		if !reader.Park(w, 0) {
			t.Fatal("an empty ring is nothing to read")
		}
		r.Write(make([]byte, 8))
		woken(t, w)
		if reader.Park(w, 0) {
			t.Fatal("slept beside a full ring")
		}
		if !writer.Park(w, 0) {
			t.Fatal("a full ring is no room")
		}
		r.Read(make([]byte, 8))
		woken(t, w)
		if writer.Park(w, 0) {
			t.Fatal("slept beside room")
		}
	}
}

func TestAnIndexMovedByHandIsNoticed(t *testing.T) {
	r := ringtest.New(t, 100)
	v, w := claim(t, r, ringbuffer.ReadSide), newWaker(t)
	if !v.Park(w, 0) {
		t.Fatal("nothing is there yet")
	}
	r.MoveByHand(7)
	woken(t, w)
	if n, err := v.Left(nil); n != 7 || err != nil {
		t.Fatalf("left %d, %v", n, err)
	}
}

func TestTheEndIsWhereTheProducerStood(t *testing.T) {
	r := ringtest.New(t, 16)
	v := claim(t, r, ringbuffer.ReadSide)
	r.Write([]byte("0123456789"))
	take(t, v, 8, nil)
	edge, err := v.WriteEdge()
	if err != nil {
		t.Fatal(err)
	}
	r.Write([]byte("abcdefgh")) // wraps
	if got := take(t, v, 100, &edge); string(got) != "89" {
		t.Fatalf("got %q up to the end, want 89", got)
	}
	if got := take(t, v, 100, &edge); len(got) != 0 {
		t.Fatalf("got %q past the end", got)
	}
	if got := take(t, v, 100, nil); string(got) != "abcdefgh" {
		t.Fatalf("got %q", got)
	}
	if n, _ := v.Left(&edge); n != 0 {
		t.Fatalf("a reader past the end has %d left to it", n)
	}
}

func TestDestroyEndsTheViewAndWaitsForACopy(t *testing.T) {
	r := ringtest.New(t, 16)
	v, w := claim(t, r, ringbuffer.ReadSide), newWaker(t)
	if !v.Park(w, 0) {
		t.Fatal("nothing is there yet")
	}
	r.Write([]byte("abc"))
	woken(t, w)
	if _, _, _, err := v.Spans(3, nil); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		r.Destroy()
		close(gone)
	}()
	select {
	case <-gone:
		t.Fatal("destroy returned while the ring was being copied")
	case <-time.After(20 * time.Millisecond): // gives a wrong destroy its chance
	}
	v.Take()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("destroy hangs")
	}
	if _, _, _, err := v.Spans(3, nil); !errors.Is(err, ringbuffer.ErrDestroyed) {
		t.Fatalf("Spans of a destroyed ring: %v", err)
	}
	if v.Park(w, 0) {
		t.Fatal("parked on a destroyed ring")
	}
}

func TestASideBelongsToOneSession(t *testing.T) {
	r := ringtest.New(t, 16)
	v := claim(t, r, ringbuffer.ReadSide)
	if _, err := ringbuffer.Claim(r.Address(), ringbuffer.ReadSide); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("a second reader: %v", err)
	}
	claim(t, r, ringbuffer.WriteSide)
	v.Release()
	claim(t, r, ringbuffer.ReadSide)
}

func TestRefusedBytesAreCounted(t *testing.T) {
	r := ringtest.New(t, 11)
	v := claim(t, r, ringbuffer.ReadSide)
	if n := r.Write(make([]byte, 25)); n != 10 {
		t.Fatalf("took %d", n)
	}
	r.Write(make([]byte, 5))
	if got := v.Refused(); got != 20 {
		t.Fatalf("refused %d, want 20", got)
	}
}

func TestADamagedRingIsAnError(t *testing.T) {
	r := ringtest.New(t, 11)
	v := claim(t, r, ringbuffer.ReadSide)
	r.Damage()
	if _, _, _, err := v.Spans(3, nil); !errors.Is(err, syscall.EINVAL) {
		t.Fatalf("Spans: %v", err)
	}
}

func TestANumberResolvesToALiveRing(t *testing.T) {
	r := ringtest.New(t, 11)
	address := uint64(r.Address())
	for _, handle := range []uint64{address, address & math.MaxUint32} {
		if got, err := ringbuffer.Resolve(handle); err != nil || got != r.Address() {
			t.Fatalf("Resolve(%#x) = %#x, %v", handle, got, err)
		}
	}
	if _, err := ringbuffer.Resolve(address + 1); !errors.Is(err, ringbuffer.ErrNoRing) {
		t.Fatalf("a number beside it: %v", err)
	}
	r.Destroy()
	if _, err := ringbuffer.Resolve(address); !errors.Is(err, ringbuffer.ErrNoRing) {
		t.Fatalf("after destroy: %v", err)
	}
}

func TestManyRingsLiveAtOnce(t *testing.T) {
	before := ringbuffer.Live()
	for range 10000 {
		ringtest.New(t, 2)
	}
	if n := ringbuffer.Live() - before; n != 10000 {
		t.Fatalf("%d live", n)
	}
}

func TestAViewAllocatesNothingPerChunk(t *testing.T) {
	r := ringtest.New(t, 4001)
	v, w := claim(t, r, ringbuffer.ReadSide), newWaker(t)
	p := make([]byte, 1000)
	if n := testing.AllocsPerRun(1000, func() {
		r.Write(p)
		if _, _, _, err := v.Spans(1000, nil); err != nil {
			t.Fatal(err)
		}
		v.Take()
		v.Park(w, 0)
		v.Unpark()
	}); n != 0 {
		t.Fatalf("%v allocations a chunk", n)
	}
}

func TestAViewThatWasReleasedTouchesNothing(t *testing.T) {
	r := ringtest.New(t, 11)
	v, err := ringbuffer.Claim(r.Address(), ringbuffer.ReadSide)
	if err != nil {
		t.Fatal(err)
	}
	r.Write([]byte("bytes"))
	if a, _, _, err := v.Spans(5, nil); err != nil || len(a) != 5 {
		t.Fatalf("Spans = %q, %v", a, err)
	}
	released := make(chan struct{})
	go func() {
		v.Release()
		close(released)
	}()
	select {
	case <-released:
		t.Fatal("Release returned while bytes of the ring were handed out")
	case <-time.After(50 * time.Millisecond):
	}
	v.Untake()
	<-released
	if _, err := v.WriteEdge(); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("WriteEdge: %v", err)
	}
	if _, err := v.Left(nil); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("Left: %v", err)
	}
	if _, _, _, err := v.Spans(5, nil); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("Spans: %v", err)
	}
	if _, err := v.Room(); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("Room: %v", err)
	}
	if v.Park(newWaker(t), 0) {
		t.Error("Park says that it sleeps")
	}
	again := claim(t, r, ringbuffer.ReadSide) // the side is free
	if got := take(t, again, 5, nil); string(got) != "bytes" {
		t.Errorf("the next session gets %q", got)
	}
}
