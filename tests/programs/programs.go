// Package programs builds and runs what the long checkers need: the library
// and the receiver, drivers in C that are linked with the library, and
// servers that are killed, halted and started again on one port.
package programs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long anything that must happen may take.
const patience = 20 * time.Second

// Root is the project's folder.
var Root = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}()

// Build returns the folder with libmsprecord.so and record-server: the CMake
// build that MSPRECORD_BUILD names, from the project's folder, or a new one in
// scratch.
func Build(scratch string) (string, error) {
	if dir := os.Getenv("MSPRECORD_BUILD"); dir != "" {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(Root, dir)
		}
		if _, err := os.Stat(filepath.Join(dir, "libmsprecord.so")); err != nil {
			return "", fmt.Errorf("MSPRECORD_BUILD: %w", err)
		}
		return dir, nil
	}
	dir := filepath.Join(scratch, "build")
	for _, args := range [][]string{
		{"-S", Root, "-B", dir, "-DBUILD_TESTING=OFF", "-DMSPRECORD_EXAMPLES=OFF"},
		{"--build", dir},
	} {
		if out, err := exec.Command("cmake", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("cmake %v: %w\n%s", args, err, out)
		}
	}
	return dir, nil
}

// Compile makes a program of C sources, linked with the library in build.
func Compile(build, program string, sources ...string) error {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "gcc"
	}
	args := append([]string{"-O1", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
		"-I" + filepath.Join(Root, "include"), "-o", program}, sources...)
	cmd := exec.Command(cc, append(args, "-pthread", "-L"+build, "-lmsprecord", "-Wl,-rpath,"+build)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}

// Environment is this process's, without what would set options of the library.
func Environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MSP_") {
			env = append(env, v)
		}
	}
	return env
}

// VacantPort returns a port that is free, and that no outgoing connection
// gets: the kernel gives those higher ones.
func VacantPort() string {
	for {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
}

// A Process is a command that runs. The kernel ends it if this process dies.
type Process struct {
	*exec.Cmd
	In    io.WriteCloser
	Lines chan string   // of its standard output; closed at its end
	Done  chan struct{} // closed when it has ended

	mu   sync.Mutex
	errs bytes.Buffer // its standard error
}

// Write takes the standard error.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.Write(b)
}

// Errors returns what was written to the standard error so far.
func (p *Process) Errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.String()
}

// Start runs a command. Whoever starts one reads its Lines.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Lines: make(chan string, 64), Done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.Stderr = p
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.In, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// The kernel's death signal comes when the thread ends that has started
	// the command, so that thread has to stay.
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		for s := bufio.NewScanner(out); s.Scan(); {
			p.Lines <- s.Text()
		}
		close(p.Lines)
		cmd.Wait()
		close(p.Done)
		runtime.UnlockOSThread()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Ended tells whether the process ends within a time.
func (p *Process) Ended(limit time.Duration) bool {
	select {
	case <-p.Done:
		return true
	case <-time.After(limit):
		return false
	}
}

// Kill ends the process, also one that is halted.
func (p *Process) Kill() {
	p.Process.Kill()
	<-p.Done
}

// A Server is a program that listens on one port, however often it is started.
type Server struct {
	Port    string
	Command func() *exec.Cmd
	process *Process // nil while it does not run
}

// Start starts the server and waits until it listens.
func (s *Server) Start() error {
	p, err := Start(s.Command())
	if err != nil {
		return err
	}
	s.process = p
	go func() {
		for range p.Lines {
		}
	}()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+s.Port); err == nil {
			c.Close()
			return nil
		}
		if p.Ended(0) || time.Now().After(end) {
			err := fmt.Errorf("%s does not listen:\n%s", filepath.Base(p.Path), p.Errors())
			s.Kill()
			return err
		}
	}
}

// Signal sends a signal to the server if it runs.
func (s *Server) Signal(number syscall.Signal) {
	if s.process != nil {
		s.process.Process.Signal(number)
	}
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
		s.process = nil
	}
}

// Terminate asks the server to end, and kills it if it takes longer than that.
func (s *Server) Terminate(limit time.Duration) {
	if s.process == nil {
		return
	}
	s.Signal(syscall.SIGTERM)
	if s.process.Ended(limit) {
		s.process = nil
		return
	}
	s.Kill()
}
