// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// A floor is what a row's value must keep: at least, or at most. The short
// form has limits of its own, wide enough for a busy machine; a row without
// one cannot fail it.
type floor struct {
	AtLeast      *float64 `json:"at_least,omitempty"`
	AtMost       *float64 `json:"at_most,omitempty"`
	QuickAtLeast *float64 `json:"quick_at_least,omitempty"`
	QuickAtMost  *float64 `json:"quick_at_most,omitempty"`
}

// floors are by the case of their row.
type floors map[string]floor

func readFloors(file string) (floors, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f := floors{}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return f, nil
}

// judge fills a row's Floor and Below.
func (f floors) judge(r *row, quick bool) {
	least, most := f[r.Case].AtLeast, f[r.Case].AtMost
	if quick {
		least, most = f[r.Case].QuickAtLeast, f[r.Case].QuickAtMost
	}
	if r.Note != "" {
		return
	}
	var limits []string
	if least != nil {
		limits = append(limits, "≥ "+digits(*least))
		r.Below = !(r.Value >= *least)
	}
	if most != nil {
		limits = append(limits, "≤ "+digits(*most))
		r.Below = r.Below || !(r.Value <= *most)
	}
	r.Floor = strings.Join(limits, ", ")
}

// verdict is an error in the short form where a ratio is below its floor.
func (f floors) verdict(rows []row, quick bool) error {
	below := 0
	for _, r := range rows {
		if r.Below {
			below++
			fmt.Fprintf(os.Stderr, "below its floor: %s is %s, and must be %s\n", r.Case, digits(r.Value), r.Floor)
		}
	}
	if below > 0 && quick {
		return fmt.Errorf("%d ratios are below the floors in bench/floors.json; to repeat: bench/run -quick", below)
	}
	return nil
}
