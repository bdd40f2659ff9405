// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"msprecord/cmd/record-server/archive"
)

// tools are the commands for what was stored. Each returns its exit code, or
// an error that is the user's.
var tools = map[string]func(t *tool) (int, error){
	"list":   list,
	"verify": verify,
	"wav":    wav,
}

// tool is a command being run.
type tool struct {
	flags  *flag.FlagSet
	json   bool
	dir    string
	format format
	stdout io.Writer
}

// runTool runs a command and returns the exit code.
func runTool(name string, args []string, stdout, stderr io.Writer) int {
	t := &tool{flags: flag.NewFlagSet("record-server "+name, flag.ContinueOnError), stdout: stdout}
	t.flags.SetOutput(io.Discard)
	usage := map[string]string{
		"list":   "[flags] [DIR]   lists the recordings, the newest first",
		"verify": "[flags] [DIR]   compares recordings with what came, and mends what a kill has left",
		"wav":    "[flags] FILE [OUT]   writes a recording as a WAV; OUT may be - for standard output",
	}[name]
	if name != "wav" {
		t.flags.BoolVar(&t.json, "json", false, "write JSON")
	}
	formatFlags(t.flags, &t.format)
	err := t.flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stderr, "usage: record-server %s %s\n", name, usage)
		t.flags.SetOutput(stderr)
		t.flags.PrintDefaults()
		return 0
	}
	code := 2
	if err == nil {
		if err = t.format.Check(); err == nil {
			code, err = tools[name](t)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "record-server %s: %v\n(record-server %s -h shows how to use it)\n", name, err, name)
	}
	return code
}

// directory opens the directory of list and verify.
func (t *tool) directory() (*os.Root, error) {
	t.dir = "recordings"
	if t.flags.NArg() > 1 {
		return nil, fmt.Errorf("unexpected argument %q", t.flags.Arg(1))
	}
	if t.flags.NArg() == 1 {
		t.dir = t.flags.Arg(0)
	}
	root, err := os.OpenRoot(t.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", t.dir, cause(err))
	}
	return root, nil
}

func (t *tool) writeJSON(v any) {
	e := json.NewEncoder(t.stdout)
	e.SetIndent("", "  ")
	e.Encode(v) // whoever read it may leave
}

func list(t *tool) (int, error) {
	root, err := t.directory()
	if err != nil {
		return 2, err
	}
	defer root.Close()
	entries, _ := archive.List(root, t.format, 0)
	if t.json {
		t.writeJSON(entries)
		return 0, nil
	}
	for _, e := range entries {
		how := e.How
		switch {
		case e.Open:
			how = "its end is not written"
		case how == "closed":
			how = ""
		}
		if len(e.Gaps) > 0 {
			how = strings.TrimPrefix(how+", "+count(int64(len(e.Gaps)), "gap"), ", ")
		}
		fmt.Fprintf(t.stdout, "%s\n", strings.TrimRight(fmt.Sprintf("%-28s %s %10s %12d bytes  %-18s %s", e.Name,
			e.Started.Local().Format(time.DateTime), clock(time.Duration(e.Seconds*float64(time.Second))), e.Bytes,
			fmt.Sprintf("%d Hz, %d × %s", e.Format.Rate, e.Format.Channels, e.Format.Kind()), printable(how)), " "))
	}
	return 0, nil
}

func verify(t *tool) (int, error) {
	root, err := t.directory()
	if err != nil {
		return 2, err
	}
	defer root.Close()
	free, unlock, err := lockDir(root, unix.LOCK_EX)
	if err != nil {
		return 2, fmt.Errorf("cannot lock %s: %w", t.dir, cause(err))
	}
	defer unlock()
	verdicts := archive.Verify(root, t.format, free)
	bad := 0
	for _, v := range verdicts {
		if v.State == archive.Damaged || v.State == archive.Missing {
			bad = 1
		}
	}
	if t.json {
		t.writeJSON(verdicts)
		return bad, nil
	}
	for _, v := range verdicts {
		line := fmt.Sprintf("%-8s %-28s %12d bytes", v.State, v.Name, v.Bytes)
		if v.Mended != "" {
			line += "  mended: " + v.Mended
		}
		if v.Detail != "" {
			line += "  " + printable(v.Detail)
		}
		fmt.Fprintln(t.stdout, line)
	}
	if !free {
		fmt.Fprintln(t.stdout, "A receiver stores here just now, so nothing was mended.")
	}
	return bad, nil
}

// lockDir takes a lock on a directory: receivers share it, who mends has it
// alone. It reports false where another has it; the kernel lets go of it when
// the process ends, however it does.
func lockDir(root *os.Root, how int) (free bool, unlock func(), err error) {
	dir, err := root.Open(".")
	if err != nil {
		return false, nil, err
	}
	err = unix.Flock(int(dir.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, func() { dir.Close() }, nil
	}
	if err != nil {
		dir.Close()
		return false, nil, err
	}
	return true, func() { dir.Close() }, nil
}

func wav(t *tool) (int, error) {
	if n := t.flags.NArg(); n < 1 || n > 2 {
		return 2, errors.New("give one file, and where to write perhaps")
	}
	file := t.flags.Arg(0)
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return 2, fmt.Errorf("cannot open %s: %w", filepath.Dir(file), cause(err))
	}
	defer root.Close()
	r, err := archive.Open(root, filepath.Base(file), t.format)
	if err != nil {
		return 2, fmt.Errorf("cannot open %s: %w", file, cause(err))
	}
	defer r.Close()
	// Flags are for who knows better than the note.
	t.flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "rate":
			r.Format.Rate = t.format.Rate
		case "channels":
			r.Format.Channels = t.format.Channels
		case "bits":
			r.Format.Bits, r.Format.Float = t.format.Bits, t.format.Float
		}
	})
	to := t.flags.Arg(1)
	switch {
	case to == "-":
		_, err = io.Copy(t.stdout, r.WAV())
	case to == "" && strings.EqualFold(filepath.Ext(file), ".wav"):
		return 2, fmt.Errorf("%s has that name already; say where to write", file)
	default:
		if to == "" {
			to = strings.TrimSuffix(file, filepath.Ext(file)) + ".wav"
		}
		err = writeNew(to, r.WAV())
	}
	if err != nil {
		return 1, fmt.Errorf("cannot write %s: %w", to, cause(err))
	}
	if to != "-" {
		fmt.Fprintf(t.stdout, "%s: %s, %d Hz, %d × %s\n", to,
			clock(time.Duration(r.Seconds()*float64(time.Second))), r.Format.Rate, r.Format.Channels, r.Format.Kind())
	}
	return 0, nil
}

// writeNew does not write over a file.
func writeNew(name string, from io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
