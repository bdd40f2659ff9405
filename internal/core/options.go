// SPDX-License-Identifier: MIT

package core

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unicode/utf8"

	"msprecord/internal/near"
	"msprecord/internal/stream"
)

// Options are what a session can be told by record_set_option or the
// environment.
type Options struct {
	StopTimeout  time.Duration
	MinChunk     int
	MinChunkWait time.Duration
	stream.Settings
}

// An Option is one row of the table that the call, the environment, the
// README and the tests read.
type Option struct {
	Key     string
	Kind    string // what a value looks like
	Default string
	Doc     string
	// set puts a value into o, which is a copy, and reports whether it fits. It
	// replaces slices and pointers and does not write through them.
	set func(o *Options, value string) bool
}

const (
	headerKey     = "header"
	defaultReplay = 1 << 20
)

// OptionTable is all there is to set.
var OptionTable = []Option{
	{"connect_timeout", "milliseconds, 1 to 600000", "5000",
		"How long `record_start` waits for the server.",
		millis(func(o *Options) *time.Duration { return &o.ConnectTimeout })},
	{"stop_timeout", "milliseconds, 1 to 600000", "3000",
		"How long `record_stop` goes on delivering; then it returns `-ETIMEDOUT` and says how many bytes it left.",
		millis(func(o *Options) *time.Duration { return &o.StopTimeout })},
	{"ping_interval", "milliseconds, 1 to 600000", "10000",
		"How often a server that says nothing is asked for a sign of life.",
		millis(func(o *Options) *time.Duration { return &o.PingInterval })},
	{"pong_timeout", "milliseconds, 1 to 600000", "10000",
		"How long a server that answers pings may be silent before it is given up and dialled again.",
		millis(func(o *Options) *time.Duration { return &o.PongTimeout })},
	{"replay_bytes", "bytes, 4096 to 1073741824", strconv.Itoa(defaultReplay),
		"How much is kept until the server has acknowledged it, to be sent again after a lost connection. All sessions of a process together keep at most 64 MiB, and each 32 KiB whatever the others keep; the log tells at the start of one that asks for more than is left.",
		number(4<<10, 1<<30, func(o *Options, n uint64) { o.ReplayBytes = int(n) })},
	{"replay_rate", "bytes a second, 0 to 1073741824", "0",
		"What was kept in an outage is sent no faster than this, for a service that takes audio in real time only; 0 is as fast as it goes. It should be more than the source brings.",
		number(0, 1<<30, func(o *Options, n uint64) { o.ReplayRate = int(n) })},
	{"min_chunk", "bytes, 0 to 16777216", "0",
		"How many bytes of a ring are worth a message: fewer wait for more, save for the last. At most the chunk size.",
		number(0, maxChunk, func(o *Options, n uint64) { o.MinChunk = int(n) })},
	{"min_chunk_wait", "milliseconds, 0 to 600000", "0",
		"How long bytes wait for `min_chunk` at most; 0 is until there are as many.",
		number(0, 600000, func(o *Options, n uint64) { o.MinChunkWait = time.Duration(n) * time.Millisecond })},
	{"max_offline", "milliseconds, 0 to 2147483647", "0",
		"How long a lost server is dialled before the session fails; 0 is for ever.",
		number(0, math.MaxInt32, func(o *Options, n uint64) { o.MaxOffline = time.Duration(n) * time.Millisecond })},
	{"on_full", "hold, drop_oldest or drop_newest", "hold",
		"What happens when an outage outlasts `replay_bytes`: `hold` lets the ring fill up, whose producer then decides; `drop_oldest` gives up the oldest bytes, for who wants now and not then; `drop_newest` gives up what comes, until the server is back. What is given up is counted and reported.",
		func(o *Options, value string) bool {
			n := slices.Index([]string{stream.Hold: "hold", stream.DropOldest: "drop_oldest", stream.DropNewest: "drop_newest"}, value)
			o.OnFull = stream.OnFull(n)
			return n >= 0
		}},
	{"wire", "raw or mux", "raw",
		"How chunks travel: `raw` is a connection of one's own, and a message for each chunk; `mux` is the firmware's own wire, on which sessions share a connection.",
		func(o *Options, value string) bool {
			o.Mux = value == "mux"
			return o.Mux || value == "raw"
		}},
	{"tls_ca", "a file of PEM certificates", "",
		"The authorities to trust for `wss://`, in place of the system's.",
		text(func(o *Options) *string { return &o.Access.CA })},
	{"tls_cert", "a PEM file", "",
		"The certificate that tells the server who we are; `tls_key` goes with it.",
		text(func(o *Options) *string { return &o.Access.Cert })},
	{"tls_key", "a PEM file", "",
		"The key of `tls_cert`.",
		text(func(o *Options) *string { return &o.Access.Key })},
	{"tls_insecure", "0 or 1", "0",
		"1 believes any certificate, and logs so each time it connects.",
		number(0, 1, func(o *Options, n uint64) { o.Access.Insecure = n == 1 })},
	{headerKey, "Name: value", "",
		"A header of the handshake, such as a token; each call adds one, an empty value removes them all. In the environment each line is one. `Authorization` takes the place of the URL's user.",
		func(o *Options, value string) bool {
			if value == "" {
				o.Access.Headers = nil
				return true
			}
			if stream.CheckHeader(value) != nil {
				return false
			}
			o.Access.Headers = append(slices.Clone(o.Access.Headers), value)
			return true
		}},
	{"subprotocol", "a name", "",
		"The WebSocket subprotocol to ask for.",
		text(func(o *Options) *string { return &o.Access.Subprotocol })},
	{"open_text", "text", "",
		"Sent after connecting, and after each reconnecting.",
		spoken(text(func(o *Options) *string { return &o.Speech.OpenText }))},
	{"idle_text", "text", "",
		"Sent whenever there was no audio for `idle_interval`.",
		spoken(text(func(o *Options) *string { return &o.Speech.IdleText }))},
	{"idle_interval", "milliseconds, 1 to 600000", "5000",
		"See `idle_text`.",
		millis(func(o *Options) *time.Duration { return &o.Speech.IdleInterval })},
	{"close_text", "text, may be empty", "",
		"Sent after the last audio, before the close.",
		spoken(message(func(o *Options) **string { return &o.Speech.CloseText }))},
	{"close_binary", "text, may be empty", "",
		"The same as a binary message.",
		message(func(o *Options) **string { return &o.Speech.CloseBinary })},
	{"linger", "milliseconds, 0 to 600000", "0",
		"How long `record_stop` then goes on hearing the server, unless that closes first; `stop_timeout` must be longer.",
		number(0, 600000, func(o *Options, n uint64) { o.Speech.Linger = time.Duration(n) * time.Millisecond })},
	{"connect", "first or later", "first",
		"`first`: `record_start` fails when the server is not there; `later`: it returns 0 and dials as in an outage, for a device that starts before its network.",
		func(o *Options, value string) bool {
			if value != "first" && value != "later" {
				return false
			}
			o.Later = value == "later"
			return true
		}},
	{"backoff_first", "milliseconds, 1 to 600000", "250",
		"The longest pause before the first attempt to dial a lost server again; it doubles with each attempt that brings nothing.",
		millis(func(o *Options) *time.Duration { return &o.BackoffFirst })},
	{"backoff_longest", "milliseconds, 1 to 600000", "30000",
		"What that pause grows to.",
		millis(func(o *Options) *time.Duration { return &o.BackoffLongest })},
	{"final_codes", "close codes and HTTP answers, such as 4001,401", "",
		"With these a server ends the session at once, besides the close codes that always do.",
		func(o *Options, value string) bool {
			codes, ok := stream.ParseCodes(value)
			if ok {
				o.FinalCodes = codes
			}
			return ok
		}},
}

func text(field func(*Options) *string) func(*Options, string) bool {
	return func(o *Options, value string) bool {
		*field(o) = value
		return true
	}
}

// spoken is for what is sent as a text message, which is UTF-8 (RFC 6455 section
// 5.6).
func spoken(set func(*Options, string) bool) func(*Options, string) bool {
	return func(o *Options, value string) bool { return utf8.ValidString(value) && set(o, value) }
}

func message(field func(*Options) **string) func(*Options, string) bool {
	return func(o *Options, value string) bool {
		*field(o) = &value
		return true
	}
}

func millis(field func(*Options) *time.Duration) func(*Options, string) bool {
	return number(1, 600000, func(o *Options, n uint64) { *field(o) = time.Duration(n) * time.Millisecond })
}

func number(least, most uint64, keep func(*Options, uint64)) func(*Options, string) bool {
	return func(o *Options, value string) bool {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n < least || n > most {
			return false
		}
		keep(o, n)
		return true
	}
}

// apply sets the row's option, and changes nothing where the value does not
// fit: the row's set works on a copy.
func (row Option) apply(o *Options, value string) error {
	changed := *o
	if !row.set(&changed, value) {
		if row.Key == headerKey { // which may hold a secret
			return fmt.Errorf("%s: %w", row.Key, stream.CheckHeader(value))
		}
		return fmt.Errorf("%s: %q will not do: give %s: %w", row.Key, value, row.Kind, syscall.EINVAL)
	}
	*o = changed
	return nil
}

// Set sets one option.
func (o *Options) Set(key, value string) error {
	for _, row := range OptionTable {
		if row.Key == key {
			return row.apply(o, value)
		}
	}
	hint := ""
	if meant := near.Name(key, optionKeys()); meant != "" {
		hint = "did you mean " + meant + "? "
	}
	return fmt.Errorf("%s: there is no such option: %sthe README has the table: %w", key, hint, syscall.ENOENT)
}

func optionKeys() []string {
	keys := make([]string, len(OptionTable))
	for i, row := range OptionTable {
		keys[i] = row.Key
	}
	return keys
}
