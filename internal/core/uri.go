// SPDX-License-Identifier: MIT

package core

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"msprecord/internal/doorbell"
	"msprecord/internal/endpoint"
	"msprecord/internal/stream"
)

// An opening is what a source or destination may need to open.
type opening struct {
	ctx     context.Context // ends with the run
	waker   *doorbell.Waker
	chunk   int // bytes, the most that is moved at once
	options Options
	events  stream.Events // of a sink that has a connection
	headers func(context.Context) []string
	source  Source // the source that is open already; of a sink
}

// A target is a parsed URI: what it can be, and how that opens.
type target struct {
	source func(opening) (Source, error) // nil: cannot be a source
	sink   func(opening) (Sink, error)   // nil: cannot be a destination
	same   any                           // endpoint.Ring, File or Mem, to refuse a loop
	ready  func() error                  // nil, or what a source must be at register
}

// schemes is the one table of sources and destinations.
var schemes = map[string]func(uri, rest string) (target, error){
	"ringbuffer": ringTarget,
	"rbuf":       ringTarget,
	"mem":        memTarget,
	"sdbuffer":   sdbufferTarget,
	"file":       fileTarget,
	"null":       nullTarget,
	"ws":         streamTarget,
	"wss":        streamTarget,
}

// parse reads one argument of record_register.
func parse(argument, uri string) (target, error) {
	scheme, rest, found := strings.Cut(uri, "://")
	open := schemes[strings.ToLower(scheme)]
	var t target
	var err error
	switch {
	case !found:
		err = fmt.Errorf("there is no scheme: write ringbuffer://, mem://, file://, null://, ws:// or wss://: %w", syscall.EINVAL)
	case open == nil:
		err = fmt.Errorf("scheme %s:// is not known: use ringbuffer, mem, sdbuffer, file, null, ws or wss: %w", shown(scheme), syscall.EINVAL)
	default:
		t, err = open(uri, rest)
	}
	if err == nil && argument == "from" && t.source == nil {
		err = fmt.Errorf("a WebSocket server is a destination, not a source: %w", syscall.EINVAL)
	}
	if err == nil && argument == "from" && t.ready != nil {
		err = t.ready()
	}
	if err != nil {
		return target{}, fmt.Errorf("%s %q: %w", argument, shown(uri), err)
	}
	return t, nil
}

// shown is a URI fit for a message: one of a server, or of no known scheme,
// without what may be a secret.
func shown(uri string) string {
	scheme, _, _ := strings.Cut(uri, "://")
	switch strings.ToLower(scheme) {
	case "ringbuffer", "rbuf", "mem", "sdbuffer", "file", "null", "mic":
		const most = 200
		if len(uri) > most {
			uri = uri[:most] + "..."
		}
		return uri
	}
	return stream.ShowURL(uri)
}

// shared says what source and destination have in common that cannot be both,
// "" where that is nothing. A file is looked at again when it is opened.
func shared(from, to target) string {
	switch f := from.same.(type) {
	case endpoint.File:
		if t, ok := to.same.(endpoint.File); ok && f.Same(t) {
			return "are the same file"
		}
	case endpoint.Mem:
		if t, ok := to.same.(endpoint.Mem); ok && f.Overlaps(t) {
			return "overlap in memory"
		}
	case endpoint.Ring:
		if from.same == to.same {
			return "are the same ring"
		}
	}
	return ""
}

// keys reads key=value&key=value; every key must be one of names.
func keys(rest string, names ...string) (map[string]string, error) {
	values := map[string]string{}
	for pair := range strings.SplitSeq(rest, "&") {
		key, value, _ := strings.Cut(pair, "=")
		values[key] = value
	}
	for _, name := range names {
		if values[name] == "" {
			return nil, fmt.Errorf("%s= is missing: %w", name, syscall.EINVAL)
		}
	}
	return values, nil
}

// integer reads a decimal or 0x hexadecimal number.
func integer(key, value string) (uint64, error) {
	digits, base := value, 10
	if strings.HasPrefix(value, "0x") || strings.HasPrefix(value, "0X") {
		digits, base = value[2:], 16
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return 0, fmt.Errorf("%s=%s is not a decimal or 0x hexadecimal number: %w", key, value, syscall.EINVAL)
	}
	return n, nil
}

func ringTarget(_, rest string) (target, error) {
	values, err := keys(rest, "handle")
	if err != nil {
		return target{}, err
	}
	handle, err := integer("handle", values["handle"])
	if err != nil {
		return target{}, err
	}
	ring, err := endpoint.FindRing(handle)
	if err != nil {
		return target{}, err
	}
	return target{
		source: func(o opening) (Source, error) { return opened[Source](ring.Source(o.waker)) },
		sink:   func(o opening) (Sink, error) { return opened[Sink](ring.Sink(o.ctx, o.waker)) },
		same:   ring,
	}, nil
}

func memTarget(_, rest string) (target, error) {
	values, err := keys(rest, "address", "size")
	if err != nil {
		return target{}, err
	}
	start, err := integer("address", values["address"])
	if err != nil {
		return target{}, err
	}
	size, err := integer("size", values["size"])
	if err != nil {
		return target{}, err
	}
	mem, err := endpoint.NewMem(start, size)
	if err != nil {
		return target{}, err
	}
	return target{
		source: func(o opening) (Source, error) { return opened[Source](mem.Source(o.chunk)) },
		sink:   func(opening) (Sink, error) { return opened[Sink](mem.Sink()) },
		same:   mem,
	}, nil
}

func sdbufferTarget(uri, rest string) (target, error) {
	path, found := strings.CutPrefix(rest, "handle=")
	if !found {
		return target{}, fmt.Errorf("handle= is missing: write sdbuffer://handle=PATH: %w", syscall.EINVAL)
	}
	return fileTarget(uri, path)
}

func fileTarget(_, path string) (target, error) {
	file, err := endpoint.NewFile(path)
	if err != nil {
		return target{}, err
	}
	return target{
		source: func(o opening) (Source, error) {
			return opened[Source](file.Source(o.ctx, o.options.ConnectTimeout, o.chunk))
		},
		sink: func(o opening) (Sink, error) {
			source, _ := o.source.(*endpoint.FileSource)
			return opened[Sink](file.Sink(o.ctx, o.options.ConnectTimeout, o.waker, source))
		},
		same:  file,
		ready: file.Readable,
	}, nil
}

func nullTarget(_, _ string) (target, error) {
	return target{
		source: func(opening) (Source, error) { return &endpoint.NullSource{}, nil },
		sink:   func(opening) (Sink, error) { return &endpoint.NullSink{}, nil },
	}, nil
}

func streamTarget(uri, _ string) (target, error) {
	u, err := stream.ParseURL(uri)
	if err != nil {
		return target{}, err
	}
	return target{
		sink: func(o opening) (Sink, error) {
			return opened[Sink](stream.Open(o.ctx, stream.Config{
				URL: u, Settings: o.options.Settings, Events: o.events, Headers: o.headers,
			}, o.waker))
		},
	}, nil
}

// opened makes an interface of a concrete pointer without making a nil one
// look like something.
func opened[I, C any](c C, err error) (I, error) {
	var none I
	if err != nil {
		return none, err
	}
	return any(c).(I), nil
}
