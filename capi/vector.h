/* SPDX-License-Identifier: MIT
 *
 * vector.h - the arguments and the environment that the Go runtime starts with.
 */
#ifndef MSP_VECTOR_H
#define MSP_VECTOR_H

#include <stddef.h>

/* Makes the vector: a name, and a copy of the environment as Go must see it.
 * The program's own environment stays as it is. A variable that would end or
 * mislead Go's runtime is left out; `ignored` then names it, and is empty
 * otherwise. Returns NULL without memory. Never freed: the runtime keeps it. */
char **msp_vector_make(char *ignored, size_t size);

/* The environment in it. */
#define MSP_VECTOR_ENVIRONMENT(vector) ((vector) + 2)

#endif
