// SPDX-License-Identifier: MIT

package core

import "sync"

// Handles are counted up and never used again, so a stale one is found out.
var table = struct {
	sync.RWMutex
	last     uint64
	sessions map[uint64]*Session
}{sessions: map[uint64]*Session{}}

// handleStep keeps handles aligned as the pointers that C takes them for.
const handleStep = 16

func enroll(s *Session) {
	table.Lock()
	defer table.Unlock()
	table.last += handleStep
	s.Handle = table.last
	table.sessions[s.Handle] = s
}

// strike forgets a session, and tells whether it was there.
func strike(s *Session) bool {
	table.Lock()
	defer table.Unlock()
	_, found := table.sessions[s.Handle]
	delete(table.sessions, s.Handle)
	return found
}

// Lookup finds a session.
func Lookup(handle uint64) (*Session, error) {
	table.RLock()
	defer table.RUnlock()
	if s := table.sessions[handle]; s != nil {
		return s, nil
	}
	return nil, errNoSession
}
