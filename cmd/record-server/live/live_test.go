// SPDX-License-Identifier: MIT

package live

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/pcm"
)

var mono16 = pcm.Format{Rate: 16000, Channels: 1, Bits: 16}

func tone(frequency, amplitude float64, f pcm.Format, frames int) []byte {
	var b []byte
	for i := range frames {
		x := uint16(int16(amplitude * 32767 * math.Sin(2*math.Pi*frequency*float64(i)/float64(f.Rate))))
		for range f.Channels {
			b = binary.LittleEndian.AppendUint16(b, x)
		}
	}
	return b
}

func TestColumnsDoNotDependOnThePieces(t *testing.T) {
	f := pcm.Format{Rate: 44100, Channels: 2, Bits: 16}
	sound := tone(440, 0.5, f, 44100)
	var want []byte
	for _, piece := range []int{len(sound), 1, 3, 4096, 7919} {
		s := New(time.Now).Start("mic.wav", "peer", f, 0)
		for p := sound; len(p) > 0; p = p[min(piece, len(p)):] {
			s.Write(p[:min(piece, len(p))])
		}
		got, next := s.appendColumns(nil, 0)
		if next != ColumnRate {
			t.Fatalf("pieces of %d: %d columns", piece, next)
		}
		if want == nil {
			want = got
		}
		if string(got) != string(want) {
			t.Errorf("pieces of %d make other columns", piece)
		}
	}
	if peak := int16(binary.LittleEndian.Uint16(want[22:])); peak < 16350 || peak > 16384 {
		t.Errorf("the peak of half the scale is %d", peak)
	}
}

func TestAStreamWithItsOwnHeaderIsReadByIt(t *testing.T) {
	f := pcm.Format{Rate: 8000, Channels: 2, Bits: 16}
	var h [pcm.HeaderSize]byte
	f.Header(&h, 1000)
	whole := append(h[:], tone(440, 0.5, f, 8000)...)
	for _, piece := range []int{1, 50, len(whole)} {
		hub := New(time.Now)
		s := hub.Start("mic.wav", "peer", mono16, 0)
		for p := whole; len(p) > 0; p = p[min(piece, len(p)):] {
			s.Write(p[:min(piece, len(p))])
		}
		fig := hub.Streams()[0]
		if fig.Format != f || fig.Bytes != int64(len(whole)) || s.next != ColumnRate {
			t.Errorf("pieces of %d: %+v, %d columns", piece, fig, s.next)
		}
	}
}

func TestClipsAreCountedByChannel(t *testing.T) {
	hub := New(time.Now)
	s := hub.Start("mic.wav", "peer", pcm.Format{Rate: 16000, Channels: 2, Bits: 16}, 0)
	p := make([]byte, 16000*4)
	binary.LittleEndian.PutUint16(p[4*5000+2:], 0x8000)
	s.Write(p)
	if c := hub.Streams()[0].Clips; c[0] != 0 || c[1] != 1 {
		t.Errorf("clips: %v", c)
	}
}

func TestOnlyTheLastThatEndedAreShown(t *testing.T) {
	hub := New(time.Now)
	running := hub.Start("running", "peer", mono16, 0)
	for range maxEnded + 5 {
		hub.Start("ended", "peer", mono16, 0).End("closed")
	}
	list := hub.Streams()
	if len(list) != maxEnded+1 || list[0].Name != "running" {
		t.Errorf("%d streams, first %+v", len(list), list[0])
	}
	if hub.Find("running") != running || hub.Find("ended") != nil {
		t.Error("a stream that ended is found as one that runs")
	}
}

func TestAManyChanneledStreamCostsBoundedMemory(t *testing.T) {
	f := pcm.Format{Rate: 768000, Channels: 256, Bits: 8}
	s := New(time.Now).Start("wide.pcm", "peer", f, 0)
	s.watchers.Add(1)
	tap := s.listen()
	s.Write(make([]byte, 1<<20))
	s.Write(make([]byte, 1<<20))
	if n := cap(tap.samples)*4 + len(s.levels)*6 + len(s.spectra.columns); n > 16<<20 {
		t.Errorf("%d bytes", n)
	}
}

// TestABrowserSeesAndHears also has one beside it that does not read at all.
func TestABrowserSeesAndHears(t *testing.T) {
	hub := New(time.Now)
	web := httptest.NewServer(hub)
	defer web.Close()
	defer hub.Close()
	s := hub.Start("mic.wav", "10.0.0.7:1", mono16, 0)
	dial := func() *websocket.Conn {
		c, _, err := websocket.DefaultDialer.Dial(strings.Replace(web.URL, "http", "ws", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if err := c.WriteJSON(request{Watch: []uint32{s.id}, Spectra: true, Listen: s.id}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	defer dial().Close()
	c := dial()
	defer c.Close()
	piece := tone(1000, 0.25, mono16, 320)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				s.Write(piece)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	le := binary.LittleEndian
	var named, seen, heard bool
	for !named || !seen || !heard {
		kind, p, err := c.ReadMessage()
		if err != nil {
			t.Fatalf("named %v, seen %v, heard %v: %v", named, seen, heard, err)
		}
		if kind == websocket.TextMessage {
			var m struct{ Streams []Figures }
			if err := json.Unmarshal(p, &m); err != nil {
				t.Fatal(err)
			}
			named = named || m.Streams[0].Name == "mic.wav" && m.Streams[0].Format == mono16
			continue
		}
		for len(p) > 0 {
			word := func(i int) int { return int(le.Uint32(p[4*i:])) }
			if word(0) == kindSound {
				samples := p[20 : 20+4*word(4)]
				for i := 0; i < len(samples); i += 4 {
					if x := math.Float32frombits(le.Uint32(samples[i:])); x > 0.24 {
						heard = true
					}
				}
				p = p[20+len(samples):]
				continue
			}
			count, channels, rows := word(3)>>16, word(3)&0xffff, word(4)
			n := 20 + count*channels*(6+rows)
			if rows > 0 {
				last := p[n-rows : n]
				top := 0
				for i := range last {
					if last[i] > last[top] {
						top = i
					}
				}
				seen = seen || top == 32 // of 256 rows over 8 kHz
			}
			p = p[(n+3)&^3:]
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	s := New(time.Now).Start("mic.wav", "peer", mono16, 0)
	p := tone(440, 0.5, mono16, 2048)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		s.Write(p)
	}
}
