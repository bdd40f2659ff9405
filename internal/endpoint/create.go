// SPDX-License-Identifier: MIT

package endpoint

import (
	"fmt"
	"os"
	"syscall"
)

// create opens the file at path for writing and empties it, unless it is the
// file that source reads. Two paths can lead to one file in many ways, and
// until the last moment, so the two open files are compared, and nothing is
// emptied before that. source is nil where the source is no file.
func create(path string, source *FileSource) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := empty(file, source); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func empty(file *os.File, source *FileSource) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if source != nil {
		from, err := source.file.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(from, info) {
			return fmt.Errorf("from %s and to %s are the same file: %w", source.file.Name(), file.Name(), syscall.EINVAL)
		}
	}
	if !info.Mode().IsRegular() {
		return nil // a device or a pipe has nothing to empty
	}
	return file.Truncate(0)
}
