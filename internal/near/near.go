// SPDX-License-Identifier: MIT

// Package near finds the known name that a misspelled one was meant to be.
package near

import "strings"

// Name returns the known name that is nearest to name, or "" where none is
// near. Upper and lower case do not differ, nor do - and _. A name is near a known one when few
// letters are missing, too many, wrong or exchanged, or when one of the two
// begins or ends with the other.
func Name(name string, known []string) string {
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	best, least := "", 0
	for _, k := range known {
		lower := strings.ToLower(k)
		d := Distance(name, lower)
		if d > limit(len(lower)) && !borders(name, lower) && !borders(lower, name) {
			continue
		}
		if best == "" || d < least {
			best, least = k, d
		}
	}
	return best
}

// limit is the distance up to which a name is near a known one of that many
// letters. The shorter a word is, the more other words are like it.
func limit(letters int) int { return min(max(letters/4, 1), 3) }

// borders reports whether name begins or ends with part, which is long enough
// to be no coincidence.
func borders(name, part string) bool {
	const enough = 4
	return len(part) >= enough && (strings.HasPrefix(name, part) || strings.HasSuffix(name, part))
}

// Distance counts what makes b of a: 1 for a byte that is missing or too many
// and for two neighbours in the wrong order, 2 for a wrong byte.
func Distance(a, b string) int {
	// One row of the table for each byte of a: the distance of the bytes up to
	// there from the first 0, 1, 2 ... bytes of b.
	before, row, next := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			wrong := 2
			if a[i] == b[j] {
				wrong = 0
			}
			next[j+1] = min(row[j]+wrong, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		if before == nil {
			before = make([]int, len(b)+1)
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
