// SPDX-License-Identifier: MIT

package host

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAFaultIsReportedAndWhatPersistsGoesOn(t *testing.T) {
	var reports []string
	before := Report
	Report = func(line string) { reports = append(reports, line) }
	defer func() { Report = before }()
	runs := 0
	Persist("testing", func() {
		if runs++; runs < 3 {
			panic("fault")
		}
	})
	if runs != 3 || len(reports) != 2 {
		t.Fatalf("%d runs, %d reports, want 3 and 2", runs, len(reports))
	}
	for _, word := range []string{"while testing", "please report it", "fault", "host_test.go"} {
		if !strings.Contains(reports[0], word) {
			t.Errorf("%q is missing in %q", word, reports[0])
		}
	}
}

func TestADialWithoutDescriptorsSaysEMFILE(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 3, Max: before.Max} // all below are in use
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	err := BeginDial()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EMFILE) || !strings.Contains(err.Error(), "ulimit -n") {
		t.Fatalf("BeginDial: %v", err)
	}
	if err := BeginDial(); err != nil {
		t.Fatalf("with descriptors again: %v", err)
	}
	EndBlocking()
}
