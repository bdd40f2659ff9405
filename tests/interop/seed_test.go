package interop

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// speech is 16 kHz mono s16le, each sample unlike its neighbours: two tones
// with a swell.
func speech(samples int) []byte {
	out := make([]byte, 0, 2*samples)
	for i := range samples {
		s := float64(i) / 16000
		v := (math.Sin(2*math.Pi*440*s) + 0.5*math.Sin(2*math.Pi*1237*s)) * (1 + math.Sin(2*math.Pi*3*s)) * 10000
		out = append(out, byte(int(v)), byte(int(v)>>8))
	}
	return out
}

// seedApp compiles the example, unchanged, with audio and a main of ours.
func seedApp(t *testing.T, audio []byte) string {
	t.Helper()
	seed := os.Getenv("MSPRECORD_SEED")
	if seed == "" {
		t.Skip("MSPRECORD_SEED does not name the example app appwsrec.c")
	}
	if _, err := os.Stat(seed); err != nil {
		t.Skipf("MSPRECORD_SEED: %v", err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "app_config.h"), []byte("/* The example needs no settings. */\n"))
	var c strings.Builder
	fmt.Fprintln(&c, "static const char local_audio_test2[] = {")
	for i, b := range audio {
		fmt.Fprintf(&c, "%d,", int8(b))
		if i%16 == 15 {
			fmt.Fprintln(&c)
		}
	}
	fmt.Fprintln(&c, "};")
	write(t, filepath.Join(dir, "audio", "test2.wav.c"), []byte(c.String()))
	program := filepath.Join(dir, "seed")
	// The warnings are the example's own: %u for a pointer, %d for a time_t,
	// an int compared with a sizeof.
	compile(t, "seed_main.c", program, "-I"+dir, fmt.Sprintf("-DAPPWSREC=%q", seed),
		"-Wno-format", "-Wno-sign-compare")
	return program
}

func TestSeed(t *testing.T) {
	t.Parallel()
	audio := speech(16_000)
	program := seedApp(t, audio)
	for name, startKind := range map[string]func(*testing.T) *server{
		"receiver":   startReceiver,
		"ws":         func(t *testing.T) *server { return startNode(t) },
		"websockets": startPython,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startKind(t)
			p := s.run(t, 30*time.Second, program, strings.TrimSuffix(s.url, "/"), "2", "idle")
			quiet(t, p)
			want := map[string][]byte{}
			for _, round := range []string{"1.pcm", "2.pcm"} {
				for _, stream := range []string{"mic_", "ref_", "proc_"} {
					want[stream+round] = audio
				}
			}
			s.stored(want)
		})
	}
}

// 200 rounds, each stopped the moment that the last byte is in the ring.
func TestSeedManyTimes(t *testing.T) {
	t.Parallel()
	const rounds, warm = 200, 20
	audio := speech(2 * 2560 / 2)
	program := seedApp(t, audio)
	s := startReceiver(t)
	// Little garbage is left lying about, so that what grows is no garbage.
	s.env = []string{"GOGC=10"}
	p := s.run(t, 2*time.Minute, program, strings.TrimSuffix(s.url, "/"), strconv.Itoa(rounds), "written",
		strconv.Itoa(warm), strconv.Itoa(rounds))
	quiet(t, p)
	want := map[string][]byte{}
	for round := 1; round <= rounds; round++ {
		for _, stream := range []string{"mic", "ref", "proc"} {
			want[fmt.Sprintf("%s_%d.pcm", stream, round)] = audio
		}
	}
	s.stored(want)

	type figures struct{ threads, descriptors, resident int }
	report := func(round int) (f figures) {
		line := p.line(fmt.Sprintf("round %d ", round))
		if _, err := fmt.Sscanf(line, "threads %d descriptors %d resident %d", &f.threads, &f.descriptors, &f.resident); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return f
	}
	before, after := report(warm), report(rounds)
	t.Logf("after round %d: %+v KiB; after round %d: %+v KiB", warm, before, rounds, after)
	// Go's runtime keeps a thread more now and then, when it was short of one
	// on a busy machine; a leak of one a round would be 180.
	if after.threads > before.threads+2 {
		t.Errorf("threads: %d, then %d", before.threads, after.threads)
	}
	if after.descriptors != before.descriptors {
		t.Errorf("descriptors: %d, then %d", before.descriptors, after.descriptors)
	}
	if after.resident > before.resident+2048 {
		t.Errorf("resident memory: %d KiB, then %d", before.resident, after.resident)
	}
}

// quiet fails the test if the library warned of something.
func quiet(t *testing.T, p *process) {
	t.Helper()
	for line := range strings.Lines(p.errors()) {
		if strings.Contains(line, " W ") || strings.Contains(line, " E ") {
			t.Errorf("the library says: %s", line)
		}
	}
}
