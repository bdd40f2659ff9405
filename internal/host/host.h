/* SPDX-License-Identifier: MIT
 *
 * host.h - what the library takes from the process that it lives in, and how it
 * asks first. Go's runtime ends the process where it cannot get a thread, a
 * descriptor or address space that it wants: what can be asked for before is.
 */
#ifndef MSP_HOST_H
#define MSP_HOST_H

/* Puts /dev/null in the place of each standard descriptor (0, 1, 2) that the
 * program has closed: what the library opens next would get that number, and
 * be written to by whoever prints. */
void msp_host_keep_standard(void);

/* Returns 0 where `count` more descriptors can be open at once, or an errno. */
int msp_host_try_descriptors(int count);

/* Returns 0 where `count` more threads can live at once, or an errno. */
int msp_host_try_threads(int count);

/* The processors that Go's runtime may use at once. */
int msp_host_processors(void);

/* The threads that the Go side makes ahead: one for each of those processors,
 * and MSP_HOST_SPARE for calls that block. None where addresses are short. */
#define MSP_HOST_SPARE 10
int msp_host_threads(void);

/* Tries for the addresses that Go's runtime reserves, and for those of so many
 * threads besides the ones made ahead. Where that is too much it does without
 * the latter. Returns the MiB that are missing at the least, 0 for none. */
int msp_host_try_addresses(int threads);

#endif
