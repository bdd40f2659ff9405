// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func (b *bench) cost() []group {
	const plain = "a program without either"
	first := func(name, program string) entry {
		return entry{name: name, argv: []string{program, "URL", "first"}, stamps: true}
	}
	return []group{
		{
			title: "Load and start", rounds: 4 * b.rounds,
			entries: []entry{
				b.loading(ours, "ours"), b.loading(lws, "lws"), b.loading(plain, "raw"),
				first(ours+", first", "ours"), first(lws+", first", "lws"),
			},
			rows: func(r results) []row {
				return []row{
					r.beside("a program that only links it, start to end", "ms", ours, lws, named("ms")),
					r.beside("a program that only links it, start to end", "ms", ours, plain, named("ms")),
					r.beside("first call: Go's runtime; a context", "µs", ours+", first", lws+", first", named("runtime_us")),
					r.beside("record_start, or connecting, to its return", "µs", ours+", first", lws+", first", named("start_us")),
					r.beside("record_start, or connecting, to the first byte at the sink", "µs", ours+", first", lws+", first", named("first_us")),
				}
			},
		},
		{
			title: "Size, stripped", rounds: 1,
			entries: []entry{{name: ours, do: b.sizes}},
			rows: func(r results) []row {
				return []row{r.ratio("size", "MB", ours, named("ours"), lws+" with OpenSSL", ours, named("theirs"))}
			},
		},
		{
			title: "Go's collector, three streams of 2560 B each 80 ms", rounds: 1,
			entries: []entry{{name: ours, do: b.collections}},
			rows: func(r results) []row {
				return []row{r.alone("collections a minute", "", ours, named("a_minute"))}
			},
		},
	}
}

// loading times a program that ends at once, for it is given no arguments.
func (b *bench) loading(name, program string) entry {
	return entry{name: name, do: func() (figures, error) {
		cmd := exec.Command(b.programs + "/" + program)
		began := time.Now()
		if err := start(cmd); err != nil {
			return nil, err
		}
		_ = wait(cmd)
		if cmd.ProcessState.ExitCode() != 2 {
			return nil, fmt.Errorf("%s: %v", program, cmd.ProcessState)
		}
		return figures{"ms": time.Since(began).Seconds() * 1e3}, nil
	}}
}

// sizes are of files, in MB. Debian's libraries are stripped.
func (b *bench) sizes() (figures, error) {
	stripped := filepath.Join(b.programs, "stripped.so")
	if out, err := exec.Command("strip", "-o", stripped, b.shared).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("strip: %w\n%s", err, out)
	}
	links, err := exec.Command("ldd", b.programs+"/lws").Output()
	if err != nil {
		return nil, fmt.Errorf("ldd: %w", err)
	}
	f := figures{}
	add := func(name, file string) error {
		info, err := os.Stat(file)
		if err == nil {
			f[name] += float64(info.Size()) / 1e6
		}
		return err
	}
	if err := add("ours", stripped); err != nil {
		return nil, err
	}
	for _, m := range regexp.MustCompile(`lib(?:websockets|ssl|crypto)\.\S* => (\S+)`).FindAllSubmatch(links, -1) {
		if err := add("theirs", string(m[1])); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// collections counts the collector's cycles as Go tells them, once the streams
// run.
func (b *bench) collections() (figures, error) {
	const seconds = 60
	url, finish, err := b.sink(false, figures{})
	if err != nil {
		return nil, err
	}
	out, err := b.output(entry{
		argv: []string{"ours", "URL", "paced", "3", "2560", "80", strconv.Itoa(seconds)},
		env:  []string{"GODEBUG=gctrace=1"},
	}, url)
	if err = errors.Join(err, finish()); err != nil {
		return nil, err
	}
	count := 0.0
	for line := range bytes.Lines(out) {
		var n int
		var at float64
		if _, err := fmt.Sscanf(strings.TrimSpace(string(line)), "gc %d @%fs", &n, &at); err == nil && at > 1 {
			count++
		}
	}
	return figures{"a_minute": count * 60 / seconds}, nil
}
