package interop

import (
	"strings"
	"testing"
)

func TestServerCloses(t *testing.T) {
	t.Parallel()
	const reason = "disk full, try again"
	for _, row := range []struct {
		name, how string
		bytes     int
		code      string // that the server gets, "" for either
	}{
		{"when it has everything", "close", 1000, "1011"},
		{"while more is coming", "close", 16 << 20, "1011"},
		{"without waiting", "cut", 1000, "1006"},
		// It may hear our answer to its close in what it still reads.
		{"without waiting, while more is coming", "cut", 16 << 20, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := startNode(t, row.how, "1011", reason)
			p := hold(t, s, "x.bin", row.bytes, 1000)
			if fields := strings.Fields(s.line("stream x.bin ")); row.code != "" && fields[3] != row.code {
				t.Errorf("the server gets close code %s, want %s", fields[3], row.code)
			}
			p.end()
			p.wait(patience)
			got := p.line("stop ")
			if !strings.HasPrefix(got, "-") || !strings.Contains(got, "1011") || !strings.Contains(got, reason) {
				t.Errorf("record_stop: %s", got)
			}
			s.stop()
		})
	}
}
