// SPDX-License-Identifier: MIT

// Command libmsprecord is what the shared library is built from; the exports
// live in capi, where Go tests can reach them too.
package main

import _ "msprecord/capi"

func main() {}
