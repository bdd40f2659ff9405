// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// config is the command line.
type config struct {
	addr   string
	dir    string
	raw    bool
	json   bool
	format format

	token     string
	cert, key string
	limits    limits
}

// limits is what the server takes, of all and of each peer. 0 is no limit.
type limits struct {
	rotateSize int64 // payload of one file
	rotateTime time.Duration
	dir        int64 // bytes in the directory
	streams    int   // at the same time
	perPeer    int   // of them, of one address
	message    int64 // bytes
	rate       int64 // bytes per second of one peer
}

// size is a number of bytes on the command line: 500M, 4G.
type size int64

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

func (s *size) Set(text string) error {
	digits := strings.TrimRight(text, "kMGT")
	factor := map[string]int64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || factor == 0 || n < 0 || n > math.MaxInt64/factor {
		return errors.New("give a number of bytes, such as 500M or 4G")
	}
	*s = size(n * factor)
	return nil
}

// bits is a number of bits on the command line, or f32.
type bits struct{ *format }

func (b bits) String() string {
	if b.format == nil || b.Float {
		return "f32"
	}
	return strconv.Itoa(b.Bits)
}

func (b bits) Set(text string) error {
	if b.Float = text == "f32"; b.Float {
		b.Bits = 32
		return nil
	}
	n, err := strconv.Atoi(text)
	b.Bits = n
	if err != nil {
		return errors.New("give 8, 16, 24, 32 or f32")
	}
	return nil
}

func formatFlags(fs *flag.FlagSet, f *format) {
	*f = format{Bits: 16}
	fs.IntVar(&f.Rate, "rate", 16000, "sample rate in `Hz` of .wav streams whose URL has no rate=")
	fs.IntVar(&f.Channels, "channels", 1, "their `number` of channels, where there is no channels=")
	fs.Var(bits{f}, "bits", "`bits` of a sample, where there is no bits=: 8, 16, 24, 32, or f32 for floating point")
}

// parse returns an error that names the flag at fault.
func parse(args []string, stderr io.Writer) (config, error) {
	c := config{limits: limits{message: maxMessage}}
	fs := flag.NewFlagSet("record-server", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.addr, "addr", "127.0.0.1:9090", "listen on this `host:port`; port 0 takes a free one")
	fs.StringVar(&c.dir, "dir", "recordings", "store in this `directory`, made where it is missing")
	fs.BoolVar(&c.raw, "raw", false, "store .wav streams as they come too, without a header")
	fs.BoolVar(&c.json, "json", false, "write a line of JSON for all that happens")
	formatFlags(fs, &c.format)
	fs.StringVar(&c.token, "token", "", "take only senders and browsers that know this `secret`")
	fs.StringVar(&c.cert, "tls-cert", "", "serve wss:// and https:// with this certificate `file`, PEM")
	fs.StringVar(&c.key, "tls-key", "", "the `file` with its key")
	fs.Var((*size)(&c.limits.rotateSize), "rotate-size", "begin another file after so many `bytes`, such as 500M")
	fs.DurationVar(&c.limits.rotateTime, "rotate-time", 0, "begin another file after this `time`, such as 1h")
	fs.Var((*size)(&c.limits.dir), "max-dir", "refuse more than so many `bytes` in the directory")
	fs.IntVar(&c.limits.streams, "max-streams", 0, "refuse more than this `number` of streams at the same time")
	fs.IntVar(&c.limits.perPeer, "max-streams-per-peer", 0, "refuse more than this `number` from one address")
	fs.Var((*size)(&c.limits.message), "max-message", "refuse messages of more than so many `bytes`")
	fs.Var((*size)(&c.limits.rate), "max-rate", "read no more than so many `bytes` a second from one address")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stderr, "record-server stores streams that come over WebSockets, and shows them to browsers.\n\n"+
			"usage: record-server [flags]\n"+
			"       record-server list | verify | wav      for what is stored; -h after each says more")
		fs.SetOutput(stderr)
		fs.PrintDefaults()
		return c, err
	case err != nil:
		return c, err
	case fs.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q; the directory is given with -dir", fs.Arg(0))
	case c.dir == "":
		return c, errors.New("-dir: is empty")
	case (c.cert == "") != (c.key == ""):
		return c, errors.New("-tls-cert and -tls-key: one goes with the other")
	case c.limits.message < 1 || c.limits.message > maxMessage:
		return c, fmt.Errorf("-max-message %d: must be 1 to %d", c.limits.message, maxMessage)
	case c.limits.streams < 0 || c.limits.perPeer < 0 || c.limits.rotateTime < 0:
		return c, errors.New("a limit is below 0")
	case c.limits.rotateTime > 0 && c.limits.rotateTime < time.Second:
		return c, fmt.Errorf("-rotate-time %v: must be 1s at least", c.limits.rotateTime)
	case c.limits.rate > 0 && c.limits.rate < 1000:
		return c, fmt.Errorf("-max-rate %d: must be 1k at least", c.limits.rate)
	case c.limits.rotateSize > 0 && c.limits.rotateSize < 1e6:
		return c, fmt.Errorf("-rotate-size %d: must be 1M at least", c.limits.rotateSize)
	}
	if err := c.format.Check(); err != nil {
		return c, fmt.Errorf("-%w", err)
	}
	return c, nil
}
