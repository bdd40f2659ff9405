// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// figures are what a program and the sink reported of one run.
type figures map[string]float64

// An entry is one program in a group.
type entry struct {
	name   string
	argv   []string // URL stands for the sink's address
	stamps bool     // the sink looks at the time in each message
	env    []string
	// do measures where that is not a matter of one program and the sink.
	do func() (figures, error)
}

const patience = 3 * time.Minute

var (
	children = map[*os.Process]bool{}
	mu       sync.Mutex
)

// The kernel ends a child with the thread that started it, so all are started
// by the one thread that lives as long as the process.
func init() { runtime.LockOSThread() }

// start starts a program that ends with this one. Called by main's goroutine.
func start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	mu.Lock()
	defer mu.Unlock()
	err := cmd.Start()
	if err == nil {
		children[cmd.Process] = true
	}
	return err
}

func wait(cmd *exec.Cmd) error {
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	mu.Lock()
	defer mu.Unlock()
	delete(children, cmd.Process)
	return err
}

func endAll() {
	mu.Lock()
	for p := range children {
		_ = p.Kill()
	}
}

// measure runs an entry once, with a sink of its own.
func (b *bench) measure(e entry) (figures, error) {
	if e.do != nil {
		return e.do()
	}
	all := figures{}
	url, finish := "", func() error { return nil }
	if strings.Contains(strings.Join(e.argv, " "), "URL") {
		var err error
		if url, finish, err = b.sink(e.stamps, all); err != nil {
			return nil, err
		}
	}
	out, err := b.output(e, url)
	if err = errors.Join(err, finish()); err == nil {
		err = read(out, all)
	}
	return all, err
}

// output runs the entry's program and returns what it printed.
func (b *bench) output(e entry, url string) ([]byte, error) {
	argv := make([]string, len(e.argv))
	for i, a := range e.argv {
		argv[i] = strings.ReplaceAll(a, "URL", url)
	}
	if !strings.Contains(argv[0], "/") && argv[0] != "node" {
		argv[0] = b.programs + "/" + argv[0]
	}
	var out, log bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.Env = append(append(os.Environ(), "MSP_LOG_LEVEL=error"), e.env...)
	if err := start(cmd); err != nil {
		return nil, err
	}
	if err := wait(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, log.Bytes())
	}
	return append(out.Bytes(), log.Bytes()...), nil
}

// sink starts the server; finish ends it and adds what it counted.
func (b *bench) sink(stamps bool, all figures) (url string, finish func() error, err error) {
	cmd := exec.Command(b.programs + "/sink")
	if stamps {
		cmd.Args = append(cmd.Args, "stamps")
	}
	end, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := start(cmd); err != nil {
		return "", nil, err
	}
	out := bufio.NewReader(pipe)
	port, err := out.ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("the sink: %w", err)
	}
	return "ws://127.0.0.1:" + strings.TrimSpace(port) + "/", func() error {
		// The program has handed over all it had; what the kernel still holds
		// of that is read before the sink looks at its input again.
		time.Sleep(20 * time.Millisecond)
		_ = end.Close()
		line, err := out.ReadBytes('\n')
		if err == nil {
			err = read(line, all)
		}
		if err = errors.Join(err, wait(cmd)); err != nil {
			err = fmt.Errorf("the sink: %w", err)
		}
		return err
	}, nil
}

// read takes the report in what a program printed: its line of JSON.
func read(out []byte, into figures) error {
	for line := range bytes.Lines(out) {
		if bytes.HasPrefix(line, []byte("{")) {
			return json.Unmarshal(line, &into)
		}
	}
	return fmt.Errorf("no report in %q", out)
}
