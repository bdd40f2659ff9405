// SPDX-License-Identifier: MIT

// Package archive is the directory of recordings: what may be a name in it,
// the notes beside the files, and reading, checking and mending what is there.
package archive

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	MaxName      = 1024 // bytes in a name, directories included
	MaxComponent = 255  // bytes between two slashes, what file systems take
)

// NameError says why a name from the network is not used.
type NameError string

func (e NameError) Error() string { return string(e) }

// CheckName returns a NameError unless name is one that may become a file:
// relative, below the directory, not hidden, and harmless on a terminal.
func CheckName(name string) error {
	switch {
	case name == "":
		return NameError("the name is empty")
	case len(name) > MaxName:
		return NameError(fmt.Sprintf("the name is longer than %d bytes", MaxName))
	case !utf8.ValidString(name):
		return NameError("the name is not UTF-8")
	case name[0] == '/':
		return NameError("the name is an absolute path")
	}
	for _, r := range name {
		// U+2028 and U+2029 break lines; the bidirectional controls would let
		// a name show as another one.
		if unicode.IsControl(r) || r == 0x2028 || r == 0x2029 || unicode.Is(unicode.Bidi_Control, r) {
			return NameError(fmt.Sprintf("the name has a control character, %U", r))
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" && strings.HasSuffix(name, "/"):
			return NameError("nothing follows the last / of the name")
		case part == "":
			return NameError("the name has an empty part, //")
		case part == "..":
			return NameError("the name has a .. in it")
		case part[0] == '.':
			return NameError("a part of the name begins with a dot")
		case strings.HasSuffix(part, noteSuffix):
			return NameError("names that end in " + noteSuffix + " are the receiver's own")
		case len(part) > MaxComponent:
			return NameError(fmt.Sprintf("a part of the name is longer than %d bytes", MaxComponent))
		}
	}
	return nil
}
