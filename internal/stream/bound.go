// SPDX-License-Identifier: MIT

package stream

// ProcessBound is how many bytes all windows of the process together keep, for
// who tells a user what ReplayBytes can come to.
const ProcessBound = processBound
