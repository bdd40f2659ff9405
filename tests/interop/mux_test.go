package interop

import (
	"strconv"
	"testing"
)

func TestTheEnvironmentSelectsTheMuxWire(t *testing.T) {
	t.Parallel()
	s := startReceiver(t)
	s.env = append(s.env, "MSP_RECORD_WIRE=mux")
	want := map[string][]byte{}
	for _, m := range messages {
		file := "chunk-" + strconv.Itoa(m.chunk) + ".bin"
		p := s.run(t, patience, client(t), s.url+"a/b/"+file, strconv.Itoa(m.bytes), strconv.Itoa(m.chunk))
		if got := p.line("stop "); got != "0 " {
			t.Errorf("messages of %d bytes: record_stop: %s", m.chunk, got)
		}
		want[file] = noise(m.bytes) // not in a/b: this wire names no folders
	}
	s.stored(want)
}
