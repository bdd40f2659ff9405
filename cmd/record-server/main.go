// Record-server stores the streams that the record library sends, or any
// WebSocket client:
//
//	record-server -addr 127.0.0.1:9090 -dir recordings
//
// A connection to ws://127.0.0.1:9090/mic.wav becomes recordings/mic.wav: each
// binary message is appended. A connection to / carries many streams: each
// message is a name, a zero byte and what to append to the file of that name.
//
// A sender that names its stream in the handshake, with Record-Stream, is told
// in the answer how much of it is stored, and goes on from there after a lost
// connection: no byte is stored twice, also when this program is killed.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	// Whoever read our lines may leave; the recordings go on.
	signal.Ignore(syscall.SIGPIPE)
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, restore)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it serves until ctx ends and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && tools[args[0]] != nil {
		return runTool(args[0], args[1:], stdout, stderr)
	}
	cfg, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "record-server: %v\n(record-server -h lists the flags)\n", err)
		return 2
	}
	st, err := openStore(cfg.dir)
	if err != nil {
		fmt.Fprintf(stderr, "record-server: -dir %s: cannot store there: %v\n", cfg.dir, cause(err))
		return 1
	}
	defer st.close()
	free, unlock, err := lockDir(st.root, unix.LOCK_SH)
	switch {
	case err != nil: // a file system without locks
	case !free:
		fmt.Fprintf(stderr, "record-server: -dir %s: record-server verify is at work there\n", cfg.dir)
		return 1
	default:
		defer unlock()
	}
	scheme := "ws"
	var secure *tls.Config
	if cfg.cert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.cert, cfg.key)
		if err != nil {
			fmt.Fprintf(stderr, "record-server: -tls-cert %s, -tls-key %s: %v\n", cfg.cert, cfg.key, err)
			return 1
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
		scheme = "wss"
	}
	ln, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		fmt.Fprintf(stderr, "record-server: -addr %s: cannot listen there: %v\n", cfg.addr, cause(err))
		return 1
	}

	status := newStatus(stdout, time.Now, func() int { return height(stdout) })
	if status.json = cfg.json; cfg.json {
		status.rows = func() int { return 0 }
	}
	quiet := make(chan struct{})
	drawn := make(chan struct{})
	go func() { status.run(quiet); close(drawn) }()
	status.listening(fmt.Sprintf("%s://%s/", scheme, ln.Addr()), cfg.dir)

	st.sweep(time.Now())
	srv := newServer(st, status, cfg)
	h := srv.http()
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(listener{ln.(*net.TCPListener), srv.gate, secure}) }()
	code := 0
	select {
	case <-ctx.Done():
	case err := <-failed:
		status.say("record-server: cannot accept any more: %v", err)
		code = 1
	}
	h.Close() // the listener and connections that are no WebSocket yet
	srv.stop()
	status.summary()
	close(quiet)
	<-drawn
	return code
}

// height is the number of rows of the terminal that w is, 0 if it is none. A
// terminal that does not know its size has the 24 rows of old.
func height(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Row == 0 {
		return 24
	}
	return int(size.Row)
}
