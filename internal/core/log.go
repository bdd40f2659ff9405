// SPDX-License-Identifier: MIT

package core

// Levels of log.h.
const (
	LogError = 1
	LogWarn  = 2
)

// Log writes one line; the boundary sets it before the first session.
var Log = func(level int, line string) {}
