// SPDX-License-Identifier: MIT

// Package page looks at the receiver's page in a real browser:
//
//	npm ci --prefix tests/page
//	MSPRECORD_BUILD=build MSPRECORD_CHROMIUM=/usr/bin/chromium go test -v ./tests/page
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const (
	rate      = 16000
	amplitude = 0.25
)

// tone is seconds of a sine, 16 bits.
func tone(frequency, seconds float64) []byte {
	var b []byte
	for i := range int(seconds * rate) {
		x := amplitude * math.Sin(2*math.Pi*frequency*float64(i)/rate)
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(math.Round(x*32767))))
	}
	return b
}

// writeWAV makes a WAV of samples.
func writeWAV(t *testing.T, samples []byte) string {
	t.Helper()
	b := []byte("RIFF....WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	le := binary.LittleEndian
	b = le.AppendUint32(b, rate)
	b = le.AppendUint32(b, 2*rate)
	b = append(b, "\x02\x00\x10\x00data"...)
	b = le.AppendUint32(b, uint32(len(samples)))
	le.PutUint32(b[4:], uint32(len(b)-8+len(samples)))
	name := filepath.Join(t.TempDir(), "tone.wav")
	if err := os.WriteFile(name, append(b, samples...), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// script runs one of the scripts in this folder with the page's address and
// more, and logs what it prints.
func (r *receiver) script(name string, args map[string]any) {
	r.t.Helper()
	args["url"] = r.page
	p, err := json.Marshal(args)
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := exec.Command("node", name, string(p)).CombinedOutput()
	r.t.Logf("%s\n%s", name, out)
	if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
}

func TestTheLivePageShowsAndPlaysWhatIsSent(t *testing.T) {
	r := start(t)
	const odd = `<b>bold</b><img src=x onerror=broken=1>.pcm`
	ws := r.dial(strings.ReplaceAll(strings.ReplaceAll(odd, "<", "%3C"), ">", "%3E"))
	if err := ws.WriteMessage(websocket.BinaryMessage, tone(300, 1)); err != nil {
		t.Fatal(err)
	}
	// Two frequencies, so that none is right by chance.
	for _, frequency := range []float64{1000, 3437} {
		app := r.wsrec(writeWAV(t, tone(frequency, 300)))
		r.script("live.mjs", map[string]any{
			"names": r.stored(3), "frequency": frequency, "odd": odd,
			"peak": 20 * math.Log10(amplitude), "rms": 20 * math.Log10(amplitude/math.Sqrt2),
		})
		app.Process.Signal(syscall.SIGINT)
		if err := app.Wait(); err != nil {
			t.Fatalf("wsrec: %v", err)
		}
	}
}

func TestARecordingCanBeOpenedHeardAndTakenAway(t *testing.T) {
	r := start(t)
	samples := tone(1500, 4)
	if err := r.wsrec(writeWAV(t, samples)).Wait(); err != nil {
		t.Fatalf("wsrec: %v", err)
	}
	sum := sha256.Sum256(samples)
	r.script("library.mjs", map[string]any{
		"names": []string{"mic.wav", "ref.wav", "proc.wav"}, "frequency": 1500,
		"sha256": hex.EncodeToString(sum[:]), "seconds": 4,
	})
}

func TestManyStreamsLeaveThePageResponsive(t *testing.T) {
	const streams = 200
	r := start(t)
	chunk := tone(700, 0.1)
	stop := make(chan struct{})
	done := make(chan error, streams)
	for range streams {
		ws := r.dial("sensor.pcm")
		go func() {
			ticks := time.NewTicker(100 * time.Millisecond)
			defer ticks.Stop()
			for {
				select {
				case <-stop:
					done <- nil
					return
				case <-ticks.C:
					if err := ws.WriteMessage(websocket.BinaryMessage, chunk); err != nil {
						done <- err
						return
					}
				}
			}
		}()
	}
	before, began := r.cpu(), time.Now()
	r.script("many.mjs", map[string]any{"streams": streams})
	used, took := r.cpu()-before, time.Since(began)
	close(stop)
	for range streams {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d streams of %d Hz: the receiver takes %.1f %% of a core and %.1f MB, with the page open for %.0f s",
		streams, rate, 100*used.Seconds()/took.Seconds(), r.resident(), took.Seconds())
}

// TestPictures keeps pictures of the page for the README where MSPRECORD_DOCS
// names a folder; else they are made all the same, and thrown away.
func TestPictures(t *testing.T) {
	r := start(t)
	speech, err := os.ReadFile("../../examples/audio/speech.wav")
	if err != nil {
		t.Fatal(err)
	}
	samples := bytes.Repeat(speech[44:], 60)
	dir := os.Getenv("MSPRECORD_DOCS")
	if dir == "" {
		dir = t.TempDir()
	} else if dir, err = filepath.Abs(filepath.Join("../..", dir)); err != nil {
		t.Fatal(err)
	}
	names := []string{"mic.wav", "ref.wav", "proc.wav"}
	app := r.wsrec(writeWAV(t, samples))
	r.script("pictures.mjs", map[string]any{"dir": dir, "view": "live", "names": names})
	app.Process.Signal(syscall.SIGINT)
	if err := app.Wait(); err != nil {
		t.Fatalf("wsrec: %v", err)
	}
	r.script("pictures.mjs", map[string]any{"dir": dir, "view": "open", "names": names})
	pictures, _ := filepath.Glob(filepath.Join(dir, "*.png"))
	if len(pictures) < 4 {
		t.Errorf("pictures: %v", pictures)
	}
}
