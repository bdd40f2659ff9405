// SPDX-License-Identifier: MIT

package core

import (
	"fmt"

	"msprecord/internal/stream"
)

// warnOfShare logs a line where replay_bytes was set to more than the process
// may have left for it, since all sessions share one bound. It is called when
// the run is open and before it begins.
func (r *run) warnOfShare() {
	asked := int64(r.options.ReplayBytes)
	if r.network == nil || asked <= defaultReplay {
		return // many sessions with the default share in silence
	}
	others := askedByOthers(r.session)
	if asked+others <= stream.ProcessBound {
		return
	}
	sure := max(stream.ProcessBound-others, stream.LeastWindow)
	r.warn(fmt.Sprintf("replay_bytes is %d, of which %d are sure: all sessions of a process keep %d together, and the others that run may take %d",
		asked, sure, int64(stream.ProcessBound), others))
}

// askedByOthers sums replay_bytes of the sessions that run beside s and have a
// connection.
func askedByOthers(s *Session) (sum int64) {
	table.RLock()
	defer table.RUnlock()
	for _, other := range table.sessions {
		if other == s {
			continue
		}
		other.mu.Lock()
		if r := other.run; r != nil && other.state != StateRegistered && r.ready.Load() && r.network != nil {
			sum += int64(r.options.ReplayBytes)
		}
		other.mu.Unlock()
	}
	return sum
}
