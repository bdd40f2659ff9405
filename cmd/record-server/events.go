// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"time"
)

// event is a line for machines, in place of one for people.
type event struct {
	Time       time.Time `json:"time"`
	Event      string    `json:"event"` // listening, started, resumed, away, moved, ended, message, summary
	Name       string    `json:"name,omitempty"`
	Asked      string    `json:"asked,omitempty"`
	Peer       string    `json:"peer,omitempty"`
	Bytes      *int64    `json:"bytes,omitempty"`
	Seconds    float64   `json:"seconds,omitempty"`
	Reconnects int64     `json:"reconnects,omitempty"`
	Gaps       int       `json:"gaps,omitempty"`
	Missing    int64     `json:"missing,omitempty"` // bytes in the gaps
	How        string    `json:"how,omitempty"`
	Hint       string    `json:"hint,omitempty"`   // about the URL that the sender used
	Whole      *bool     `json:"closed,omitempty"` // it ended with a close
	URL        string    `json:"url,omitempty"`
	Dir        string    `json:"dir,omitempty"`
	Text       string    `json:"text,omitempty"`
}

// about is an event of a stream.
func about(what string, st *stream) event {
	n := st.bytes.Load()
	e := event{Event: what, Name: st.name, Peer: st.peer, Bytes: &n, Reconnects: st.reconnects, Gaps: len(st.gaps), Hint: st.hint}
	for _, g := range st.gaps {
		e.Missing += g.Length
	}
	if st.asked != st.name {
		e.Asked = st.asked
	}
	return e
}

// emit queues text, or e where lines are for machines. The lock is held.
func (s *status) emit(e event, text string) {
	if !s.json {
		s.queue(text)
		return
	}
	e.Time = s.now().UTC()
	p, err := json.Marshal(e)
	if err != nil {
		panic(err) // of types that all have a form in JSON
	}
	s.queue(string(p))
}
