// SPDX-License-Identifier: MIT

package core

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"msprecord/internal/near"
)

// variablePrefix and a key in capitals are the variable of an option.
const variablePrefix = "MSP_RECORD_"

func (row Option) variable() string { return variablePrefix + strings.ToUpper(row.Key) }

// defaults returns the table's defaults, changed by the environment.
func defaults() (Options, error) {
	var o Options
	for _, row := range OptionTable {
		if row.Default != "" {
			if err := row.apply(&o, row.Default); err != nil {
				return o, err
			}
		}
		for _, value := range row.fromEnvironment() {
			if err := row.apply(&o, value); err != nil {
				return o, fmt.Errorf("environment variable %s: %w", row.variable(), err)
			}
		}
	}
	return o, nil
}

// fromEnvironment returns the values that the row's variable has: of headers,
// one a line.
func (row Option) fromEnvironment() []string {
	value := os.Getenv(row.variable())
	if value == "" {
		return nil
	}
	if row.Key != headerKey {
		return []string{value}
	}
	var lines []string
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// toldVariables are the names that warnOfVariables has told of.
var toldVariables sync.Map

// warnOfVariables logs a line for each variable of the environment that has no
// meaning and looks like one that has, once in the life of a process.
func warnOfVariables() {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		meant := meantVariable(name)
		if meant == "" {
			continue
		}
		if _, told := toldVariables.LoadOrStore(name, nil); !told {
			Log(LogWarn, fmt.Sprintf("environment variable %s sets nothing: did you mean %s?", name, meant))
		}
	}
}

// meantVariable returns the variable that name was meant to be, or "" where
// name is one itself or is like none.
func meantVariable(name string) string {
	if len(name) < 3 || !strings.EqualFold(name[:3], "MSP") {
		return ""
	}
	known := []string{"MSP_LOG_LEVEL"} // capi/log.c reads it
	for _, row := range OptionTable {
		known = append(known, row.variable())
	}
	for _, k := range known {
		if name == k {
			return ""
		}
	}
	if prefix := len(variablePrefix); len(name) > prefix && strings.EqualFold(name[:prefix], variablePrefix) {
		if key := near.Name(name[prefix:], optionKeys()); key != "" {
			return variablePrefix + strings.ToUpper(key)
		}
		return ""
	}
	// The mistake is in the prefix.
	const most = 2
	for _, k := range known {
		if near.Distance(strings.ToUpper(name), k) <= most {
			return k
		}
	}
	return ""
}
