// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net/http"
	"runtime"
)

// metrics writes what there is to count, as Prometheus reads it.
func (s *server) metrics(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	put := func(name, kind, help string, v int64) {
		fmt.Fprintf(w, "# HELP record_server_%s %s\n# TYPE record_server_%s %s\nrecord_server_%s %d\n", name, help, name, kind, name, v)
	}
	t := s.status.totals()
	put("streams", "gauge", "Streams whose sender is there.", t.live)
	put("streams_away", "gauge", "Streams whose sender is gone and waited for.", t.away)
	put("streams_total", "counter", "Streams since the start.", t.streams)
	put("stored_bytes_total", "counter", "Bytes stored since the start, headers left out.", t.bytes)
	put("reconnects_total", "counter", "Connections that went on with a stream.", t.reconnects)
	put("gaps_total", "counter", "Parts of streams that their senders could not keep.", t.gaps)
	put("missing_bytes_total", "counter", "Bytes in those parts.", t.missing)
	put("broken_total", "counter", "Streams that ended without a close.", t.broken)
	put("refused_total", "counter", "Requests that were refused.", t.refused)
	put("browsers", "gauge", "Pages that are open.", int64(s.hub.Browsers()))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	put("heap_bytes", "gauge", "Memory in use.", int64(m.HeapAlloc))
	put("goroutines", "gauge", "Goroutines that exist.", int64(runtime.NumGoroutine()))
}

// health says whether streams are taken.
func (s *server) health(w http.ResponseWriter) {
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
