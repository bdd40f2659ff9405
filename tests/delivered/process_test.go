package delivered

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"msprecord/tests/programs"
)

// A receiver stores streams, and is disturbed while it does.
type receiver interface {
	// url is where the stream of that file name goes.
	url(name string) string
	// disturb lets things happen to the receiver until quit is closed.
	disturb(r *rand.Rand, quit <-chan struct{}) error
	// stopping is called when the sessions begin to be stopped.
	stopping()
	// end ends the receiver. What it holds does not change afterwards.
	end() error
	// held returns what the receiver holds of a stream, a reader for each
	// piece it came in.
	held(stream int, name string) ([]*reader, error)
	// size is a bound, at any time and cheap, of what prefix of a stream the
	// receiver holds; -1 where there is none.
	size(stream int, name string) int64
}

// A store is a program that stores streams in files.
type store struct {
	programs.Server
	dir   string
	proxy *programs.Server // before it, if any
	exact bool             // it resumes: each byte is stored once
	mild  bool             // it is never killed: it answers for what it has not stored yet
}

func (s *store) url(name string) string {
	port := s.Port
	if s.proxy != nil {
		port = s.proxy.Port
	}
	return "ws://127.0.0.1:" + port + "/" + name
}

func (s *store) stopping() {}

func newStore(t *testing.T, build string, rate int) *store {
	s := &store{dir: t.TempDir()}
	s.Port = programs.VacantPort()
	s.Command = func() *exec.Cmd {
		return exec.Command(filepath.Join(build, "record-server"), "-addr", "127.0.0.1:"+s.Port, "-dir", s.dir,
			"-max-rate", fmt.Sprint(rate))
	}
	return s
}

func newPython(t *testing.T) *store {
	s := &store{dir: t.TempDir(), mild: true}
	s.Port = programs.VacantPort()
	s.Command = func() *exec.Cmd {
		return exec.Command("/usr/bin/python3", filepath.Join(programs.Root, "tests/interop/websockets_server.py"), s.dir, s.Port)
	}
	return s
}

// newProxied is a record-server with an nginx before it.
func newProxied(t *testing.T, build string, rate int) *store {
	s := newStore(t, build, rate)
	s.exact = true
	s.proxy = &programs.Server{Port: programs.VacantPort()}
	dir := t.TempDir()
	conf := strings.NewReplacer("DIR", dir, "PORT", s.proxy.Port, "UPSTREAM", s.Port).Replace(nginxConf)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.proxy.Command = func() *exec.Cmd { return exec.Command("/usr/sbin/nginx", "-e", "stderr", "-p", dir, "-c", path) }
	return s
}

const nginxConf = `
daemon off;
master_process off;
pid DIR/pid;
error_log stderr crit;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    server {
        listen 127.0.0.1:PORT;
        location / {
            proxy_pass http://127.0.0.1:UPSTREAM;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }
    }
}
`

func (s *store) start() error {
	if err := s.Start(); err != nil || s.proxy == nil {
		return err
	}
	return s.proxy.Start()
}

func (s *store) disturb(r *rand.Rand, quit <-chan struct{}) error {
	for {
		if !pause(r, 20, 400, quit) {
			return nil
		}
		victim := &s.Server
		if s.proxy != nil && r.IntN(2) == 0 {
			victim = s.proxy
		}
		switch n := r.IntN(6); {
		case n < 2:
			victim.Signal(syscall.SIGSTOP)
			pause(r, 20, 600, quit)
			victim.Signal(syscall.SIGCONT)
			continue
		case s.mild:
			victim.Terminate(time.Minute)
		case n < 4:
			victim.Terminate(time.Duration(r.IntN(600)) * time.Millisecond)
		default:
			victim.Kill()
		}
		if !pause(r, 0, 250, quit) {
			return nil
		}
		if err := victim.Start(); err != nil {
			return err
		}
	}
}

// pause waits for a random time, or until quit is closed: then it returns false.
func pause(r *rand.Rand, least, most int, quit <-chan struct{}) bool {
	select {
	case <-quit:
		return false
	case <-time.After(time.Duration(least+r.IntN(most-least+1)) * time.Millisecond):
		return true
	}
}

func (s *store) end() error {
	if s.proxy != nil {
		s.proxy.Kill()
	}
	if s.mild {
		s.Terminate(time.Minute)
	}
	s.Kill()
	return nil
}

// files are those of a stream: its own, and those that a sender began which
// came back to a server that cannot resume.
func (s *store) files(name string) ([]string, error) {
	stem := strings.TrimSuffix(name, ".pcm")
	all, err := filepath.Glob(filepath.Join(s.dir, stem+"[._]*"))
	var files []string
	for _, f := range all {
		if !strings.HasSuffix(f, ".rec.json") {
			files = append(files, f)
		}
	}
	return files, err
}

func (s *store) held(stream int, name string) ([]*reader, error) {
	files, err := s.files(name)
	if err != nil {
		return nil, err
	}
	if s.exact && len(files) > 1 {
		return nil, fmt.Errorf("the stream is in several files: %v", files)
	}
	var readers []*reader
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		r := &reader{stream: stream}
		r.feed(data)
		if s.exact {
			gaps, err := s.gaps(name)
			if err != nil {
				return nil, err
			}
			if err := once(r, gaps); err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(f), err)
			}
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// gaps are those that the receiver has noted of a stream.
func (s *store) gaps(name string) ([]run, error) {
	notes, err := filepath.Glob(filepath.Join(s.dir, ".streams", "*"))
	if err != nil {
		return nil, err
	}
	var gaps []run
	for _, path := range notes {
		if strings.HasSuffix(path, ".new") {
			continue // a kill came before it was valid
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var note struct {
			Asked string
			Gaps  []struct{ Offset, Length int64 }
		}
		if err := json.Unmarshal(data, &note); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if note.Asked == name {
			for _, g := range note.Gaps {
				gaps = append(gaps, run{g.Offset, g.Offset + g.Length})
			}
		}
	}
	return gaps, nil
}

func (s *store) size(_ int, name string) int64 {
	if !s.exact {
		return -1
	}
	info, err := os.Stat(filepath.Join(s.dir, name))
	if err != nil {
		return 0
	}
	return info.Size()
}
