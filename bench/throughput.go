// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strconv"
)

// The programs that send one stream as fast as it goes, as the table calls them.
const (
	ours      = "msprecord"
	batched   = "TCP, 64 KiB a write"
	segment   = "TCP, 60 KiB a write" // a loopback segment holds it, which 64 KiB exceed
	perFrame  = "TCP, a write a frame"
	lws       = "libwebsockets"
	gorilla   = "gorilla"
	coalesced = "gorilla, coalesced"
	coder     = "coder"
	node      = "Node ws"
)

var sizes = []int{320, 2560, 16 << 10, 64 << 10}

func sizeName(n int) string {
	if n >= kib && n%kib == 0 {
		return fmt.Sprintf("%d KiB", n/kib)
	}
	return fmt.Sprintf("%d B", n)
}

func (b *bench) throughput() []group {
	var all []group
	for _, size := range sizes {
		seconds := "0.6"
		if b.quick {
			seconds = "0.4"
		}
		work := []string{"backlog", strconv.Itoa(size), seconds}
		entries := []entry{
			{name: ours, argv: append([]string{"ours", "URL"}, work...)},
			{name: batched, argv: append([]string{"raw", "URL", "65536"}, work...)},
			{name: lws, argv: append([]string{"lws", "URL"}, work...)},
		}
		if !b.quick {
			entries = append(entries,
				entry{name: segment, argv: append([]string{"raw", "URL", "61440"}, work...)},
				entry{name: perFrame, argv: append([]string{"raw", "URL", "0"}, work...)},
				entry{name: gorilla, argv: append([]string{"gopeer", "URL", "gorilla"}, work...)},
				entry{name: coalesced, argv: append([]string{"gopeer", "URL", "coalesced"}, work...)},
				entry{name: coder, argv: append([]string{"gopeer", "URL", "coder"}, work...)},
				entry{name: node, argv: append([]string{"node", b.source + "/node/client.mjs", "URL"}, work...)},
			)
		}
		name := sizeName(size)
		all = append(all, group{
			title:   "One stream, backlogged, " + name + " a message",
			quick:   size != 16<<10,
			entries: entries,
			rows: func(r results) []row {
				var rows []row
				for _, e := range entries[1:] {
					rows = append(rows, r.beside(name+", throughput", "MiB/s", ours, e.name, rate))
				}
				rows = append(rows, r.alone(name+", client CPU", "s/GiB", ours, cpuPerGiB))
				for _, e := range entries[1:] {
					rows = append(rows, r.beside(name+", client CPU", "s/GiB", ours, e.name, cpuPerGiB))
				}
				return rows
			},
		})
	}
	return all
}
