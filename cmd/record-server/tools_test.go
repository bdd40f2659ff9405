// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/pcm"
)

// use runs a command for what is stored.
func use(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// post returns the status of the answer.
func (r *rig) post(t *testing.T, path, body string) int {
	t.Helper()
	resp, err := http.Post("http://"+r.addr+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// record stores streams and stops.
func record(t *testing.T, dir string, streams map[string][]byte) {
	t.Helper()
	r := startIn(t, dir)
	for name, sound := range streams {
		c := r.dial(t, "/"+name)
		send(t, c, sound)
		shut(t, c, websocket.CloseNormalClosure)
		r.out.wait(t, strings.Split(name, "?")[0], "closed")
	}
	r.stop()
}

func TestVerifyKnowsWhatIsWhole(t *testing.T) {
	dir := t.TempDir()
	names := []string{"whole.wav", "flipped.wav", "short.wav", "gone.wav", "header.wav", "unnoted.wav", "sub/raw.pcm", "own.wav"}
	streams := map[string][]byte{}
	for _, name := range names {
		streams[name] = samples(10_001)
	}
	var h [pcm.HeaderSize]byte
	mono16.Header(&h, 500)
	streams["own.wav"] = append(h[:], samples(500)...)
	record(t, dir, streams)
	path := func(name string) string { return filepath.Join(dir, name) }
	change := func(name string, at int64, p string) {
		f, err := os.OpenFile(path(name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt([]byte(p), at)
		f.Close()
	}
	change("flipped.wav", 5000, "x")
	os.Truncate(path("short.wav"), 5000)
	os.Remove(path("gone.wav"))
	change("header.wav", 76, "\x00\x00\x00\x00")
	os.Remove(path("unnoted.wav.rec.json"))

	want := map[string]string{
		"whole.wav": archive.Whole, "flipped.wav": archive.Damaged, "short.wav": archive.Damaged, "gone.wav": archive.Missing,
		"header.wav": archive.Whole, "unnoted.wav": archive.Unknown, "sub/raw.pcm": archive.Whole, "own.wav": archive.Whole,
	}
	code, out, errs := use(t, "verify", "-json", dir)
	var verdicts []archive.Verdict
	if err := json.Unmarshal([]byte(out), &verdicts); err != nil || code != 1 {
		t.Fatalf("%d, %v: %s%s", code, err, out, errs)
	}
	for _, v := range verdicts {
		if v.State != want[v.Name] {
			t.Errorf("%+v, want %s", v, want[v.Name])
		}
		if mended := v.Name == "header.wav"; (v.Mended != "") != mended {
			t.Errorf("%+v", v)
		}
		delete(want, v.Name)
	}
	if len(want) > 0 {
		t.Errorf("not a word of %v", want)
	}
	if w, err := parseWAV((&rig{dir: dir}).file(t, "header.wav")); err != nil || !bytes.Equal(w.data, samples(10_000)) {
		t.Errorf("the header was not mended: %v", err)
	}
	for _, name := range []string{"flipped.wav", "short.wav", "gone.wav.rec.json"} {
		os.Remove(path(name))
		os.Remove(path(name + ".rec.json"))
	}
	if code, out, _ := use(t, "verify", dir); code != 0 || strings.Contains(out, "mended") {
		t.Errorf("%d: %s", code, out)
	}
}

func TestVerifyLeavesARunningReceiverAlone(t *testing.T) {
	dir := t.TempDir()
	_, addr, _ := launch(t, dir)
	c := dialAddr(t, addr, "/mic.wav")
	send(t, c, samples(1000))
	ping(t, c)
	code, out, _ := use(t, "verify", dir)
	if code != 0 || !strings.HasPrefix(out, "running  mic.wav ") || !strings.Contains(out, "nothing was mended") {
		t.Errorf("%d: %s", code, out)
	}
	send(t, c, samples(1000))
	shut(t, c, websocket.CloseNormalClosure)
	if w, err := parseWAV((&rig{dir: dir}).file(t, "mic.wav")); err != nil || len(w.data) != 2000 {
		t.Errorf("%v, %d bytes", err, len(w.data))
	}
}

func TestNoteTellsTheStory(t *testing.T) {
	r := start(t)
	c, _ := r.again(t, "/mic.wav?rate=48000", 0, 0)
	send(t, c, samples(100))
	ping(t, c)
	c.NetConn().Close()
	r.out.wait(t, "mic.wav  away")
	c, _ = r.again(t, "/mic.wav", 150, 1)
	send(t, c, samples(50))
	shut(t, c, websocket.CloseNormalClosure)
	r.out.wait(t, "mic.wav", "closed")
	n, err := archive.ReadNote(r.store.root, "mic.wav")
	if err != nil {
		t.Fatal(err)
	}
	whole := append(samples(100), samples(50)...)
	if n.Format.Rate != 48000 || n.Bytes != 150 || n.How != "closed" || n.Ended == nil || n.Ended.Before(n.Started) ||
		len(n.Gaps) != 1 || n.Gaps[0] != (archive.Gap{Offset: 100, Length: 50}) ||
		len(n.Resumed) != 1 || n.Resumed[0].Offset != 150 || !strings.HasPrefix(n.Peer, "127.0.0.1:") {
		t.Errorf("%+v", n)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(whole)); n.SHA256 != want {
		t.Errorf("SHA-256 %s, want %s", n.SHA256, want)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, map[string][]byte{"a/mic.wav?rate=8000": samples(16_000), "sd.pcm": samples(100)})
	code, out, errs := use(t, "list", dir)
	if code != 0 || strings.Count(out, "\n") != 2 || !strings.Contains(out, "16000 bytes  8000 Hz, 1 × s16") || !strings.Contains(out, "a/mic.wav ") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	code, out, _ = use(t, "list", "-json", dir)
	var entries []archive.Entry
	if err := json.Unmarshal([]byte(out), &entries); err != nil || code != 0 || len(entries) != 2 || entries[0].Seconds+entries[1].Seconds != 1+50.0/16000 {
		t.Errorf("%d, %v: %s", code, err, out)
	}
	if code, _, errs = use(t, "list", filepath.Join(dir, "none")); code != 2 || !strings.Contains(errs, "none: no such file") {
		t.Errorf("%d: %s", code, errs)
	}
}

func TestWAVOfWhatWasStored(t *testing.T) {
	dir := t.TempDir()
	sound := samples(1201)
	record(t, dir, map[string][]byte{"mic.pcm?channels=3&bits=32": sound, "done.wav": sound})
	code, out, errs := use(t, "wav", filepath.Join(dir, "mic.pcm"))
	if code != 0 || !strings.Contains(out, "mic.wav: ") || !strings.Contains(out, "16000 Hz, 3 × s32") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	w, err := parseWAV((&rig{dir: dir}).file(t, "mic.wav"))
	if err != nil || w.format != of(16000, 3, 32) || !bytes.Equal(w.data, sound[:1200]) {
		t.Errorf("%v, %v, %d bytes", err, w.format, len(w.data))
	}
	// Nothing is written over, and flags know better.
	if code, _, errs := use(t, "wav", filepath.Join(dir, "mic.pcm")); code != 1 || !strings.Contains(errs, "file exists") {
		t.Errorf("%d: %s", code, errs)
	}
	if code, _, errs := use(t, "wav", filepath.Join(dir, "done.wav")); code != 2 || !strings.Contains(errs, "say where to write") {
		t.Errorf("%d: %s", code, errs)
	}
	code, out, errs = use(t, "wav", "-bits", "f32", "-channels", "1", "-rate", "8000", filepath.Join(dir, "mic.pcm"), "-")
	w, err = parseWAV([]byte(out))
	if err != nil || code != 0 || w.format != (format{Rate: 8000, Channels: 1, Bits: 32, Float: true}) {
		t.Errorf("%d, %v, %v: %s", code, err, w.format, errs)
	}
}

func TestAnotherFormatWhileItComesInAndAfter(t *testing.T) {
	r := start(t)
	c, _ := r.again(t, "/mic.wav", 0, 0)
	send(t, c, samples(999))
	ping(t, c)
	change := func(name, body string, want int) {
		t.Helper()
		if got := r.post(t, "/.page/format?name="+name, body); got != want {
			t.Errorf("%s %s: %d, want %d", name, body, got, want)
		}
	}
	change("mic.wav", `{"rate":48000,"channels":2,"kind":"s24"}`, 204)
	send(t, c, samples(201))
	ping(t, c)
	c.NetConn().Close()
	r.out.wait(t, "mic.wav  away")
	c, held := r.again(t, "/mic.wav", 0, 1)
	if held != 1200 {
		t.Errorf("%d are held", held)
	}
	shut(t, c, websocket.CloseNormalClosure)
	r.out.wait(t, "mic.wav", "closed")
	check := func(want format) {
		t.Helper()
		w, err := parseWAV(r.file(t, "mic.wav"))
		if err != nil || w.format != want || !bytes.Equal(w.data, append(samples(999), samples(201)...)[:len(w.data)]) {
			t.Errorf("%v, %v, want %v", err, w.format, want)
		}
		if n, err := archive.ReadNote(r.store.root, "mic.wav"); err != nil || n.Format != want {
			t.Errorf("the note: %v, %+v", err, n)
		}
	}
	check(of(48000, 2, 24))
	change("mic.wav", `{"rate":8000,"channels":1,"kind":"f32"}`, 204)
	check(format{Rate: 8000, Channels: 1, Bits: 32, Float: true})
	for _, v := range archive.Verify(r.store.root, mono16, false) {
		if v.State != archive.Whole {
			t.Errorf("%+v", v)
		}
	}
	change("mic.wav", `{"rate":0,"channels":1,"kind":"s16"}`, 400)
	change("mic.wav", `{"rate":8000,"channels":1,"kind":"mp3"}`, 400)
	change("none.wav", `{"rate":8000,"channels":1,"kind":"s16"}`, 404)
	change("../x", `{"rate":8000,"channels":1,"kind":"s16"}`, 400)
}
