// SPDX-License-Identifier: MIT

package capitest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestSessionsWithCallbacksRunSideBySide(t *testing.T) {
	const rounds, size = 300, 2560
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			path := filepath.Join(dir, fmt.Sprint(i))
			if line := StreamThroughCallbacks(path, rounds, size); line != 0 {
				t.Errorf("capitest.go:%d failed", line)
				return
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{7}, rounds*size)) {
				t.Errorf("%d bytes arrived of %d, %v", len(got), rounds*size, err)
			}
		})
	}
	wg.Wait()
}
