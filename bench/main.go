// SPDX-License-Identifier: MIT

// Bench measures the library beside its peers; bench/run builds what it needs
// and starts it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// A bench is one run of the whole.
type bench struct {
	programs string // where they are
	shared   string
	source   string // the bench folder
	quick    bool
	rounds   int
}

// A group is what is measured side by side: its programs run in turn, round
// after round, and its rows compare them.
type group struct {
	title   string
	quick   bool // runs in the short form too
	rounds  int  // 0: as many as the others
	entries []entry
	rows    func(results) []row
}

// A results has, for each entry, its figures of each round.
type results map[string][]figures

// groups are all cases, in the order in which they are run and printed.
func (b *bench) groups() []group {
	var all []group
	all = append(all, b.throughput()...)
	all = append(all, b.ring()...)
	all = append(all, b.latency()...)
	all = append(all, b.many()...)
	return append(all, b.cost()...)
}

func (b *bench) run(g group) ([]row, error) {
	rounds := b.rounds
	if g.rounds > 0 {
		rounds = g.rounds
	}
	all := results{}
	for round := range rounds {
		for i := range g.entries {
			e := g.entries[(round+i)%len(g.entries)] // none is always the first
			f, err := b.measure(e)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", g.title, e.name, err)
			}
			all[e.name] = append(all[e.name], f)
		}
	}
	return g.rows(all), nil
}

func main() {
	b := &bench{}
	flag.StringVar(&b.programs, "programs", "", "folder with the programs")
	flag.StringVar(&b.shared, "library", "", "the library")
	flag.StringVar(&b.source, "source", "", "the bench folder")
	flag.BoolVar(&b.quick, "quick", false, "only what CI watches, in short")
	flag.IntVar(&b.rounds, "rounds", 0, "rounds of each group (5, or 3 with -quick)")
	only := flag.String("only", "", "groups whose title matches this regular expression")
	jsonFile := flag.String("json", "", "write the rows to this `FILE` as well")
	chartFile := flag.String("chart", "", "draw throughput and CPU to this SVG `FILE`")
	flag.Parse()
	if b.rounds == 0 {
		b.rounds = 5
		if b.quick {
			b.rounds = 3
		}
	}
	if err := b.all(*only, *jsonFile, *chartFile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) all(only, jsonFile, chartFile string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	floors, err := readFloors(filepath.Join(b.source, "floors.json"))
	if err != nil {
		return err
	}
	// What runs when this is interrupted ends with it (start).
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() { <-stop; endAll(); os.Exit(130) }()

	began := usageNow()
	var rows []row
	failed := 0
	for _, g := range b.groups() {
		if b.quick && !g.quick || !wanted.MatchString(g.title) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(began.at).Seconds(), g.title)
		some, err := b.run(g)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			failed++
			some = remark("not measured", "its program failed")
		}
		for i := range some {
			some[i].Group = g.title
			floors.judge(&some[i], b.quick)
		}
		rows = append(rows, some...)
	}
	report := newReport(b, began, rows)
	report.print(os.Stdout)
	if jsonFile != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err == nil {
			err = os.WriteFile(jsonFile, append(text, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	if chartFile != "" {
		if err := os.WriteFile(chartFile, []byte(chart(rows)), 0o644); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d groups could not be measured", failed)
	}
	return floors.verdict(rows, b.quick)
}
