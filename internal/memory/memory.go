// SPDX-License-Identifier: MIT

// Package memory reads and writes memory of this process at addresses that
// nobody has checked: through system calls, which answer EFAULT where a plain
// access would end the process.
package memory

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read fills p from an address of this process.
func Read(p []byte, address uintptr) error {
	return move(p, address, unix.ProcessVMReadv, readThroughPipe(p, address))
}

// Write copies p to an address of this process.
func Write(address uintptr, p []byte) error {
	return move(p, address, unix.ProcessVMWritev, writeThroughPipe(address, p))
}

func readThroughPipe(p []byte, address uintptr) func(r, w int) error {
	return func(r, w int) error {
		for done := 0; done < len(p); {
			n, err := rawIO(unix.SYS_WRITE, w, address+uintptr(done), min(len(p)-done, pipeRoom))
			if err != nil {
				return err
			}
			if _, err := unix.Read(r, p[done:done+n]); err != nil {
				return err
			}
			done += n
		}
		return nil
	}
}

func writeThroughPipe(address uintptr, p []byte) func(r, w int) error {
	return func(r, w int) error {
		for done := 0; done < len(p); {
			n, err := unix.Write(w, p[done:min(done+pipeRoom, len(p))])
			if err != nil {
				return err
			}
			for n > 0 {
				moved, err := rawIO(unix.SYS_READ, r, address+uintptr(done), n)
				if err != nil {
					return err
				}
				done += moved
				n -= moved
			}
		}
		return nil
	}
}

// pipeRoom is what an empty pipe takes without blocking, whatever its size.
const pipeRoom = 4096

// move tries one call for the whole piece, and a pipe where the kernel
// or a sandbox has no such call: write(2) and read(2) answer EFAULT as well.
func move(p []byte, address uintptr,
	whole func(pid int, local []unix.Iovec, remote []unix.RemoteIovec, flags uint) (int, error),
	throughPipe func(r, w int) error) error {
	local := []unix.Iovec{{Base: unsafe.SliceData(p)}}
	local[0].SetLen(len(p))
	n, err := whole(os.Getpid(), local, []unix.RemoteIovec{{Base: address, Len: len(p)}}, 0)
	switch err {
	case nil:
		if n < len(p) {
			return syscall.EFAULT
		}
		return nil
	case unix.ENOSYS, unix.EPERM:
		var fd [2]int
		if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("no descriptors for a pipe to move memory through: %w", err)
		}
		defer unix.Close(fd[0])
		defer unix.Close(fd[1])
		return throughPipe(fd[0], fd[1])
	}
	return err
}

// rawIO is read(2) or write(2) on an address that Go must not see as a pointer.
func rawIO(call uintptr, fd int, address uintptr, n int) (int, error) {
	for {
		moved, _, errno := unix.Syscall(call, uintptr(fd), address, uintptr(n))
		switch errno {
		case 0:
			return int(moved), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
