// SPDX-License-Identifier: MIT

package main

func (b *bench) ring() []group {
	rings := func(what ...string) []entry {
		return []entry{{name: ours, argv: append([]string{"rings"}, what...)}}
	}
	beside := func(r results, title, unit, what, peer, theirs string) row {
		return r.ratio(title, unit, ours, named("ours_"+what), peer, ours, named(theirs+"_"+what))
	}
	const alone, asleep = "nobody waits", "a session sleeps on the ring"
	above := func(clock string) metric {
		return func(f figures) float64 { return f["ring_p999_"+clock] - f["memcpy_p999_"+clock] }
	}
	return []group{
		{
			title: "The ring, a write and a read of 2560 B in one thread", quick: true,
			entries: rings("cycle"),
			rows: func(r results) []row {
				rows := []row{beside(r, "ring, write and read", "ns", "ns", "two memcpy", "memcpy")}
				if !b.quick {
					rows = append(rows, beside(r, "ring, write and read", "ns", "ns", "JACK", "jack"),
						beside(r, "ring, write and read", "ns", "ns", "PortAudio", "portaudio"))
				}
				return rows
			},
		},
		{
			title:   "The ring between two threads, 2560 B a piece",
			entries: rings("two"),
			rows: func(r results) []row {
				const title = "ring, two threads"
				return []row{
					beside(r, title, "GiB/s", "gib_s", "one memcpy thread, in its cache", "memcpy"),
					r.ratio(title, "GiB/s", ours, named("ours_gib_s"), "one memcpy thread, from memory", ours, named("memory_gib_s")),
					beside(r, title, "GiB/s", "gib_s", "indices in lines of their own", "apart"),
					beside(r, title, "GiB/s", "gib_s", "JACK", "jack"),
					beside(r, title, "GiB/s", "gib_s", "PortAudio", "portaudio"),
				}
			},
		},
		{
			title: "ringbuffer_write, no reader parked", quick: true, rounds: 1,
			entries: []entry{{name: ours, argv: []string{"writes", "quiet"}}},
			rows: func(r results) []row {
				if r[ours][0]["missing"] != 0 {
					return remark("system calls in a million writes", "no seccomp here to count with")
				}
				return []row{r.alone("system calls in a million writes", "", ours, named("killed"))}
			},
		},
		{
			title: "How long ringbuffer_write takes, a piece of 2560 B each 50 µs",
			entries: []entry{
				{name: alone, argv: []string{"writes", "own", "4"}},
				{name: asleep, argv: []string{"writes", "own", "4", "session"}},
			},
			rows: func(r results) []row {
				write := func(title, unit, name, figure, peer, theirs string) row {
					return r.ratio(title, unit, name, named("ring_"+figure), peer, name, named(theirs+"_"+figure))
				}
				const bare = "memcpy and write to an eventfd"
				return []row{
					write(alone+", median", "µs", alone, "p50_us", "memcpy", "memcpy"),
					write(alone+", p99.9", "µs", alone, "p999_us", "memcpy", "memcpy"),
					r.alone(alone+", p99.9 above memcpy's", "µs", alone, above("us")),
					write(asleep+", median", "µs", asleep, "p50_us", bare, "bare"),
					write(asleep+", p99.9", "µs", asleep, "p999_us", bare, "bare"),
					r.alone(asleep+", p99.9 above memcpy's", "µs", asleep, above("us")),
					write(asleep+", median of its CPU time", "µs", asleep, "p50_cpu_us", bare, "bare"),
					r.alone(asleep+", p99.9 of its CPU time above memcpy's", "µs", asleep, above("cpu_us")),
				}
			},
		},
	}
}
