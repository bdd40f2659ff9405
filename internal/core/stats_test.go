// SPDX-License-Identifier: MIT

package core

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestNoMoreIsDeliveredThanWasReadAtAnyMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(path, make([]byte, 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	s := register(t, "file://"+path, "null://")
	if err := s.SetChunk(1); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); s.Stats().State == StateRunning; {
		if st := s.Stats(); st.Delivered+st.GivenUp > st.Read {
			t.Fatalf("%d bytes are delivered and %d given up, %d were read", st.Delivered, st.GivenUp, st.Read)
		}
		if time.Now().After(end) {
			t.Fatal("the file is not delivered")
		}
	}
}
