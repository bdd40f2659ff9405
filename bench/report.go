// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// A report is what -json writes.
type report struct {
	Machine string    `json:"machine"`
	When    time.Time `json:"when"`
	Rounds  int       `json:"rounds"`
	Seconds float64   `json:"seconds"`
	Quick   bool      `json:"quick"`
	Rows    []row     `json:"rows"`
}

func newReport(b *bench, took time.Duration, rows []row) report {
	return report{machine(), time.Now().UTC().Truncate(time.Second), b.rounds, took.Seconds(), b.quick, rows}
}

// machine is one line about where this ran.
func machine() string {
	cpu, kernel := runtime.GOARCH, ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text); m != nil {
			cpu = string(m[1])
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel, _, _ = strings.Cut(strings.TrimSpace(string(text)), "-")
	}
	return fmt.Sprintf("%d × %s, Linux %s", runtime.NumCPU(), cpu, kernel)
}

// print writes the rows as one Markdown table.
func (r report) print(w io.Writer) {
	fmt.Fprintf(w, "%s; medians of %d rounds; %s; %.0f s.\n\n", r.Machine, r.Rounds, r.When.Format(time.DateOnly), r.Seconds)
	fmt.Fprintln(w, "| what | unit | ours | theirs | ratio | least to most | floor | |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	group := ""
	for _, row := range r.Rows {
		if row.Group != group {
			group = row.Group
			fmt.Fprintf(w, "| **%s** | | | | | | | |\n", group)
		}
		if row.Note != "" {
			fmt.Fprintf(w, "| %s | %s | | | | | | |\n", row.Case, row.Note)
			continue
		}
		theirs, ratio, verdict := "", "", ""
		if row.Peer != "" {
			theirs, ratio = digits(row.Theirs), digits(row.Value)
		}
		switch {
		case row.Below:
			verdict = "below"
		case row.Floor != "":
			verdict = "met"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s to %s | %s | %s |\n", row.Case, row.Unit,
			digits(row.Ours), theirs, ratio, digits(row.Least), digits(row.Most), row.Floor, verdict)
	}
}
