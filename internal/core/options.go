// SPDX-License-Identifier: MIT

package core

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options are what a session can be told by record_set_option or the
// environment.
type Options struct {
	ConnectTimeout time.Duration
	StopTimeout    time.Duration
}

// An Option is one row of the table that the call, the environment, the
// README and the tests read.
type Option struct {
	Key     string
	Kind    string // what a value looks like
	Default string
	Doc     string
	set     func(o *Options, value string) error
}

// OptionTable is all there is to set.
var OptionTable = []Option{
	{"connect_timeout", "milliseconds, 1 to 600000", "5000",
		"How long `record_start` waits for the server.",
		millis(func(o *Options) *time.Duration { return &o.ConnectTimeout })},
	{"stop_timeout", "milliseconds, 1 to 600000", "3000",
		"How long `record_stop` goes on delivering; then it returns `-ETIMEDOUT` and says how many bytes it left.",
		millis(func(o *Options) *time.Duration { return &o.StopTimeout })},
}

const maxMillis = 600000

func millis(field func(*Options) *time.Duration) func(*Options, string) error {
	return func(o *Options, value string) error {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n == 0 || n > maxMillis {
			return fmt.Errorf("%q is not a number of milliseconds from 1 to %d: %w", value, maxMillis, syscall.EINVAL)
		}
		*field(o) = time.Duration(n) * time.Millisecond
		return nil
	}
}

// Set sets one option.
func (o *Options) Set(key, value string) error {
	for _, row := range OptionTable {
		if row.Key == key {
			if err := row.set(o, value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%s: there is no such option: the README has the table: %w", key, syscall.ENOENT)
}

// defaults are the table's, then the environment's.
func defaults() (Options, error) {
	var o Options
	for _, row := range OptionTable {
		if err := row.set(&o, row.Default); err != nil {
			return o, err
		}
		name := "MSP_RECORD_" + strings.ToUpper(row.Key)
		if value := os.Getenv(name); value != "" {
			if err := row.set(&o, value); err != nil {
				return o, fmt.Errorf("environment variable %s: %w", name, err)
			}
		}
	}
	return o, nil
}
