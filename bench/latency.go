// SPDX-License-Identifier: MIT

package main

// Three streams of 2,560 B each 80 ms, as a device with a microphone, its
// reference and the processed signal has them. Late is a message by the time
// from the write in C to its last byte at the sink.
func (b *bench) latency() []group {
	seconds := "10"
	if b.quick {
		seconds = "3"
	}
	const (
		callback = ours + ", data_ready"
		loop     = lws + ", 1 ms loop"
		wake     = lws + ", woken by each piece"
	)
	run := func(name, program string, more ...string) entry {
		argv := append([]string{program, "URL", "paced", "3", "2560", "80", seconds, "together"}, more...)
		return entry{name: name, argv: argv, stamps: true}
	}
	return []group{{
		title: "Added latency, three streams of 2560 B each 80 ms", quick: true,
		entries: []entry{
			run(ours, "ours"), run(callback, "ours", "callback"),
			run(loop, "lws", "loop"), run(wake, "lws", "wake"),
		},
		rows: func(r results) []row {
			var rows []row
			for _, us := range []string{ours, callback} {
				for _, peer := range []string{loop, wake} {
					suffix := map[string]string{ours: "no callback", callback: "data_ready"}[us]
					rows = append(rows, r.beside("latency p50, "+suffix, "µs", us, peer, named("p50_us")))
					if !b.quick {
						rows = append(rows, r.beside("latency p99, "+suffix, "µs", us, peer, named("p99_us")),
							r.beside("CPU, "+suffix, "s", us, peer, named("cpu_s")))
					}
				}
			}
			return rows
		},
	}}
}
