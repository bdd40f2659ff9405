// SPDX-License-Identifier: MIT

// Gopeer is what a user of a Go WebSocket package would write.
//
//	gopeer URL gorilla|coalesced|coder backlog SIZE SECONDS
//
// gorilla and coder make a write of each message. coalesced is gorilla on a
// connection that collects 64 KiB before it writes.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

const batch = 64 << 10

// A collector keeps writes back until there are 64 KiB of them.
type collector struct {
	net.Conn
	out     *bufio.Writer
	collect bool
}

func (c *collector) Write(p []byte) (int, error) {
	if !c.collect {
		return c.Conn.Write(p)
	}
	return c.out.Write(p)
}

// dial returns what sends a message, and what sends the rest.
func dial(url, peer string, size int) (send func([]byte) error, finish func() error, err error) {
	none := func() error { return nil }
	if peer == "coder" {
		c, _, err := websocket.Dial(context.Background(), url, nil)
		return func(p []byte) error {
			return c.Write(context.Background(), websocket.MessageBinary, p)
		}, none, err
	}
	var conn *collector
	dialer := gorilla.Dialer{
		WriteBufferSize: size + 16, // a message in one frame
		NetDial: func(network, addr string) (net.Conn, error) {
			c, err := net.Dial(network, addr)
			conn = &collector{Conn: c, out: bufio.NewWriterSize(c, batch)}
			return conn, err
		},
	}
	c, _, err := dialer.Dial(url, nil)
	if err != nil {
		return nil, nil, err
	}
	if peer == "coalesced" {
		conn.collect = true
		none = conn.out.Flush
	}
	return func(p []byte) error { return c.WriteMessage(gorilla.BinaryMessage, p) }, none, nil
}

func used() (cpu float64, waits, preempted int64) {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds(), r.Nvcsw, r.Nivcsw
}

func run(url, peer string, size int, seconds float64) error {
	send, finish, err := dial(url, peer, size)
	if err != nil {
		return err
	}
	message := make([]byte, size)
	began := time.Now()
	cpu, waits, preempted := used()
	for end := began.Add(time.Duration(seconds * 1e9)); time.Now().Before(end); {
		if err := send(message); err != nil {
			return err
		}
	}
	if err := finish(); err != nil {
		return err
	}
	cpuThen, waitsThen, preemptedThen := used()
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"cpu_s": cpuThen - cpu, "wall_s": time.Since(began).Seconds(),
		"waits": float64(waitsThen - waits), "preempted": float64(preemptedThen - preempted),
	})
}

func main() {
	if len(os.Args) != 6 || os.Args[3] != "backlog" {
		os.Exit(2)
	}
	size, _ := strconv.Atoi(os.Args[4])
	seconds, _ := strconv.ParseFloat(os.Args[5], 64)
	if err := run(os.Args[1], os.Args[2], size, seconds); err != nil {
		fmt.Fprintln(os.Stderr, "gopeer:", err)
		os.Exit(1)
	}
}
