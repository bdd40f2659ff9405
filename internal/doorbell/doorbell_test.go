// SPDX-License-Identifier: MIT

package doorbell

import (
	"sync"
	"testing"
	"time"
)

func TestEveryRingIsHeard(t *testing.T) {
	const sleepers, rings = 300, 200
	var wg sync.WaitGroup
	for range sleepers {
		w, err := New()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range rings {
				go ring(w.ID)
				select {
				case <-w.C:
				case <-time.After(20 * time.Second):
					t.Errorf("ring %d of sleeper %d was not heard", i, w.ID)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func TestAnIDIsUsedAgain(t *testing.T) {
	first, err := New()
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	second, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.ID != first.ID {
		t.Fatalf("ID %d was given back, and %d given out", first.ID, second.ID)
	}
}

func TestARingAllocatesNothing(t *testing.T) {
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if n := testing.AllocsPerRun(1000, func() {
		ring(w.ID)
		<-w.C
	}); n != 0 {
		t.Fatalf("%v allocations a ring", n)
	}
}
