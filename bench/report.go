// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A report is what -json writes.
type report struct {
	Machine string    `json:"machine"`
	When    time.Time `json:"when"`
	Rounds  int       `json:"rounds"`
	Seconds float64   `json:"seconds"`
	Others  float64   `json:"others"` // share of the machine that other programs used, 0 to 1
	Quick   bool      `json:"quick"`
	Rows    []row     `json:"rows"`
}

func newReport(b *bench, began usage, rows []row) report {
	now := usageNow()
	took := now.at.Sub(began.at).Seconds()
	return report{
		Machine: machine(), When: now.at.UTC().Truncate(time.Second), Rounds: b.rounds, Seconds: took,
		Others: max(0, (now.all-began.all)-(now.own-began.own)) / took / float64(runtime.NumCPU()),
		Quick:  b.quick, Rows: rows,
	}
}

// A usage is CPU time in seconds: the whole machine's, and that of this
// program and what it has started and seen end.
type usage struct {
	at       time.Time
	all, own float64
}

func usageNow() usage {
	u := usage{at: time.Now()}
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		var v [8]float64 // hundredths; user, nice, system, idle, iowait, irq, softirq, steal
		_, _ = fmt.Sscanf(string(text), "cpu %f %f %f %f %f %f %f %f", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7])
		u.all = (v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / 100
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			u.own += time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
		}
	}
	return u
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
	control := ""
	if text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		control = ", TCP with " + strings.TrimSpace(string(text))
	}
	return fmt.Sprintf("%d × %s, Linux %s%s", runtime.NumCPU(), cpu, kernel, control)
}

// print writes the rows as one Markdown table.
func (r report) print(w io.Writer) {
	fmt.Fprintf(w, "%s; medians of %d rounds; %s; %.0f s, in which other programs used %.0f %% of the machine.\n\n",
		r.Machine, r.Rounds, r.When.Format(time.DateOnly), r.Seconds, 100*r.Others)
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
		us, theirs, ratio, verdict := digits(row.Ours), "", "", ""
		if row.Peer != "" {
			theirs, ratio = digits(row.Theirs), digits(row.Value)
		}
		if row.Peers {
			us, ratio = "", ""
		}
		switch {
		case row.Below:
			verdict = "below"
		case row.Floor != "":
			verdict = "met"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s to %s | %s | %s |\n", row.Case, row.Unit,
			us, theirs, ratio, digits(row.Least), digits(row.Most), row.Floor, verdict)
	}
}
