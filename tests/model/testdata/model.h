/* SPDX-License-Identifier: MIT
 *
 * model.h - what the parts of the model share; model.c says what it is.
 */
#ifndef MODEL_H
#define MODEL_H

#include <inttypes.h>

#include <msp/kernel.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#define SLOTS 6
#define STOP_MS 700    /* stop_timeout of every session */
#define CONNECT_MS 600 /* connect_timeout */
#define SLACK_MS 1500  /* what a call may take besides, on a busy machine */
#define HANG_MS 20000  /* a call that takes longer never returns */

/* What a run is told. */
struct plan {
    unsigned seed;
    double seconds;
    const char *shortage; /* none, descriptors, threads or memory */
    const char *folder;   /* files go there */
    char *urls[8];        /* of servers that come and go, ending in a slash */
    int url_count;
    char *silent; /* the URL of a port that accepts and never answers */
    int meddling; /* any thread calls anything on any session */
};
extern struct plan plan;

enum source { FROM_RING, FROM_MEMORY, FROM_FILE };
enum destination { TO_SERVER, TO_NULL, TO_FILE, TO_MEMORY, TO_RING, TO_NOBODY, TO_SILENT };

/* How a data_ready callback waits. */
enum wait { WAIT_EVENT, WAIT_SHORT, WAIT_LONG, WAIT_STOPS, WAIT_ASKS };

/* A slot has one session after the other, and one thread that owns it. */
struct slot {
    int id;
    unsigned random; /* of its owner */
    char *pages;     /* the ring, its buffer, and the memory of mem:// */
    dev_ringbuf_t *ring, *into;
    rec_hdl_t rec;
    enum source from;
    enum destination to;
    char to_uri[400]; /* the destination's URI */

    /* What the reference knows of the session. */
    int chunk;
    int hidden;    /* the pages cannot be touched */
    int destroyed; /* the ring */
    int has_ready, has_release;
    enum wait wait;
    uint64_t accepted, refused; /* by the ring since start */
    uint64_t taken;             /* from the ring that is the destination */

    /* Shared with callbacks. */
    int active;   /* callbacks may come */
    int inside;   /* callbacks that run */
    int ended;    /* a callback has stopped the session */
    int visitors; /* other threads' calls on the session */
    msp_event_t wake;
};
extern struct slot slots[SLOTS];

/* Sessions that every thread may name; NULL where there is none. */
extern rec_hdl_t published[SLOTS];

extern int over; /* no slot begins another session */

/* model.c */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned draw(unsigned *random, unsigned below);
double now_ms(void);
int get(const int *p);
void set(int *p, int value);

/* calls.c: each makes one call, and fails the run where its result or its time
 * is none that the reference allows. */
rec_hdl_t call_register(struct slot *s, const char *from, const char *to);
int call_start(struct slot *s);
int call_stop(struct slot *s);
int call_unregister(struct slot *s);
int call_wait(struct slot *s, int ms);
void call_anything(unsigned *random); /* on any session */
int is_stuck(int rc);                 /* a stop found a callback that had not returned */
void watch_calls(void);               /* fails where one hangs */

/* callbacks.c */
void set_callbacks(struct slot *s);

/* slot.c */
void *own_slot(void *arg);

/* shortage.c */
void begin_shortage(int before_first_use);
void end_shortage(void);
int is_short(const char *what);

#endif
