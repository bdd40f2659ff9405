// SPDX-License-Identifier: MIT

package core

import "math"

// EventType is a record_event_type_t.
type EventType int

const (
	Connected    EventType = 1
	Disconnected EventType = 2
	Finished     EventType = 3
	Failed       EventType = 4
	Overflow     EventType = 5
)

// An Event is something an app may want to hear of.
type Event struct {
	Type    EventType
	Err     int    // negative errno, or 0
	Bytes   uint64 // Overflow: bytes refused or given up since the last such event
	Offset  uint64 // Overflow: where in the stream those that were given up are missing, else nowhere
	Message string
}

// nowhere is the Offset of bytes that the ring refused: they never were in the
// stream.
const nowhere = math.MaxUint64

// merge takes a later overflow of the same kind into e.
func (e *Event) merge(later Event) {
	e.Bytes += later.Bytes
	e.Message = later.Message
}
