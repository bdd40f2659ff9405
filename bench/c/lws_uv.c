/* SPDX-License-Identifier: MIT
 *
 * lws_uv.c - lws.c on an event loop of libuv. A program of its own: one that
 * links libuv takes longer to load.
 */
#define WITH_UV
#include "lws.c"
