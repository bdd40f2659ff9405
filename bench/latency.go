// SPDX-License-Identifier: MIT

package main

// Three streams of 2,560 B each 80 ms, as a device with a microphone, its
// reference and the processed signal has them. Late is a message by the time
// from the write in C to its last byte at the sink.
func (b *bench) latency() []group {
	seconds, rounds := "4", 11 // many short ones: a pause of the machine spoils few
	if b.quick {
		seconds, rounds = "3", 0
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
		title: "Pauses of the machine, met by threads that only read the clock", rounds: 1,
		entries: []entry{{name: ours, argv: []string{"writes", "pauses", "10"}}},
		rows: func(r results) []row {
			return []row{
				r.alone("pauses of over a millisecond, a second", "", ours, named("pauses_s")),
				r.alone("the longest in ten seconds", "ms", ours, named("longest_ms")),
			}
		},
	}, {
		title: "Added latency, three streams of 2560 B each 80 ms", quick: true, rounds: rounds,
		entries: []entry{
			run(ours, "ours"), run(callback, "ours", "callback"),
			run(loop, "lws", "rings"), run(wake, "lws", "wake"),
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
			if !b.quick {
				for _, peer := range []string{loop, wake} {
					rows = append(rows, r.peers("three streams, polls without a wait", "a second", peer, perSecond("polls_without_wait")))
				}
			}
			return rows
		},
	}}
}
