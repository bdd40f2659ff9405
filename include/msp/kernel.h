/* SPDX-License-Identifier: MIT
 *
 * kernel.h - tasks, locks, queues, events, timers, memory and time, as the SDK
 * has them, on POSIX threads.
 *
 *     #include <msp/kernel.h>
 *
 *     static msp_event_t ready;
 *
 *     static void producer(void *arg)
 *     {
 *         (void)arg;
 *         msp_msleep(20); // fill a ring
 *         msp_event_set(&ready, 0x01, MSP_EVENT_OR);
 *     }
 *
 *     int main(void)
 *     {
 *         unsigned int flags;
 *         msp_event_new(&ready, 0);
 *         msp_task_new("producer", producer, NULL, 4096);
 *         return msp_event_get(&ready, 0x01, MSP_EVENT_OR_CLEAR, &flags, MSP_WAIT_FOREVER);
 *     }
 *
 * Handles: msp_xxx_t is a number in the coat of a pointer; functions take the
 * address of the variable that holds it. NULL, a handle of another kind and one
 * that was freed are errors everywhere, also while another thread waits in the
 * call. The variable may be copied; a freed handle is recognised in each copy.
 *
 * Threads: every function may be called from any thread, none from a signal
 * handler.
 *
 * Timeouts: milliseconds on the monotonic clock. MSP_NO_WAIT and what runs out
 * are -ETIMEDOUT. What can be had at once is had, whatever the timeout.
 *
 * Results: 0 is success, a negative errno value is failure.
 *
 * Interruption: record_stop() ends the waits of a data_ready callback that
 * blocks here; they return -EINTR, and msp_msleep() returns early. Other
 * threads never see that.
 *
 * Processes: nothing here starts the Go runtime; msp_timer_start() and a timer
 * made running start one thread, with the first timer. After fork() the child
 * has all objects as they were, with no task but the one that forked, and no
 * timer running.
 *
 * Own ports: the functions are weak symbols, so that an application with its
 * own port of one group (all of msp_event_*, say) keeps it. The shared library
 * itself goes on with the functions in it.
 */
#ifndef MSP_KERNEL_H
#define MSP_KERNEL_H

/* SDK programs count on these coming along. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MSP_WAIT_FOREVER 0xffffffffu
#define MSP_NO_WAIT 0u

#ifndef MSP_DEFAULT_APP_PRI
#define MSP_DEFAULT_APP_PRI 15
#endif

/* How msp_event_get() matches bits: any or all of them; _CLEAR takes them. */
#define MSP_EVENT_OR 0u
#define MSP_EVENT_OR_CLEAR 1u
#define MSP_EVENT_AND 2u
#define MSP_EVENT_AND_CLEAR 3u

typedef void *msp_task_t;
typedef void *msp_mutex_t;
typedef void *msp_sem_t;
typedef void *msp_queue_t;
typedef void *msp_timer_t;
typedef void *msp_event_t;

/* ---- Tasks --------------------------------------------------------------- */

/* Starts a task: a detached thread that runs fn(arg) and ends when it returns.
 * A stack meant for a microcontroller is raised to 256 KiB.
 *
 * Ownership: name is copied (31 characters; the system shows 15) and may be
 *            NULL. arg is the caller's and fn's business.
 * Threads:   any. The task inherits the caller's signal mask.
 * Returns:   0; -EINVAL without fn; -EAGAIN or -ENOMEM when no thread can be
 *            made.
 */
int msp_task_new(const char *name, void (*fn)(void *), void *arg, int stack_size);

/* The same, and tells the task's handle before fn starts. The host's scheduler
 * decides on priorities; prio is not used.
 *
 * Ownership: as msp_task_new(). *task is only written here; the handle is dead
 *            once the task has ended.
 * Threads:   as msp_task_new().
 * Returns:   as msp_task_new(), *task NULL on -EAGAIN; -EINVAL without task.
 */
int msp_task_new_ext(msp_task_t *task, const char *name, void (*fn)(void *), void *arg,
                     int stack_size, int prio);

/* Ends the calling thread. code is not used.
 *
 * Ownership: mutexes that it holds stay locked.
 * Threads:   tasks, and threads of your own; not a callback of the library.
 * Returns:   never.
 */
void msp_task_exit(int code);

/* Ends a task. NULL, or the calling task's handle: at once. Another task is
 * only marked, as a thread cannot be killed safely: it ends at its next call of
 * an msp_* function that can wait (mutex_lock, sem_wait, event_get, queue_recv,
 * msleep), at once if it waits in one; a task that makes no such call goes on.
 *
 * Ownership: mutexes that it holds stay locked.
 * Threads:   any; does not wait for the end of another task.
 * Returns:   nothing; never for the calling task. A dead handle: nothing
 *            happens.
 */
void msp_task_delete(msp_task_t *task);

/* Tells the calling task's handle.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   the handle, or NULL on a thread that no msp_task_new() made.
 */
msp_task_t msp_task_self(void);

/* Tells a task's name. As the SDK's programs do, a handle may be passed in
 * place of its address: msp_task_get_name(msp_task_self()).
 *
 * Ownership: the string is the library's, to be read while the task lives.
 * Threads:   any.
 * Returns:   the name, empty if there was none; NULL for no task.
 */
const char *msp_task_get_name(msp_task_t *task);

/* ---- Mutexes ------------------------------------------------------------- */

/* Makes a mutex. Its owner can lock it again, and unlocks it as often.
 *
 * Ownership: *mutex is a handle to free with msp_mutex_free().
 * Threads:   any.
 * Returns:   0; -EINVAL for NULL; -ENOMEM.
 */
int msp_mutex_new(msp_mutex_t *mutex);

/* Frees a mutex, locked or not, and sets *mutex to NULL. Who waits for it gets
 * -EINVAL.
 *
 * Ownership: the handle is dead.
 * Threads:   any; never blocks.
 * Returns:   nothing. A dead handle: nothing happens.
 */
void msp_mutex_free(msp_mutex_t *mutex);

/* Locks a mutex.
 *
 * Ownership: on 0 it is the calling thread's, once more.
 * Threads:   any; blocks up to timeout.
 * Returns:   0; -ETIMEDOUT; -EINVAL for no mutex, or when it is freed
 *            meanwhile; -EINTR when record_stop() ended the wait.
 */
int msp_mutex_lock(msp_mutex_t *mutex, unsigned int timeout);

/* Unlocks a mutex.
 *
 * Ownership: others can have it when it was unlocked as often as locked.
 * Threads:   its owner; never blocks.
 * Returns:   0; -EPERM when the caller does not own it; -EINVAL for no mutex.
 */
int msp_mutex_unlock(msp_mutex_t *mutex);

/* Tells whether a handle is that of a mutex.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   1 or 0.
 */
int msp_mutex_is_valid(msp_mutex_t *mutex);

/* ---- Semaphores ---------------------------------------------------------- */

/* Makes a semaphore that count waits can pass.
 *
 * Ownership: *sem is a handle to free with msp_sem_free().
 * Threads:   any.
 * Returns:   0; -EINVAL for NULL or count < 0; -ENOMEM.
 */
int msp_sem_new(msp_sem_t *sem, int count);

/* Frees a semaphore and sets *sem to NULL. Who waits for it gets -EINVAL.
 *
 * Ownership: the handle is dead.
 * Threads:   any; never blocks.
 * Returns:   nothing. A dead handle: nothing happens.
 */
void msp_sem_free(msp_sem_t *sem);

/* Takes one from the count, waiting until there is one.
 *
 * Ownership: none.
 * Threads:   any; blocks up to timeout.
 * Returns:   as msp_mutex_lock().
 */
int msp_sem_wait(msp_sem_t *sem, unsigned int timeout);

/* Adds one to the count, up to INT_MAX.
 *
 * Ownership: none.
 * Threads:   any; never blocks.
 * Returns:   nothing. A dead handle: nothing happens.
 */
void msp_sem_signal(msp_sem_t *sem);

/* Tells whether a handle is that of a semaphore.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   1 or 0.
 */
int msp_sem_is_valid(msp_sem_t *sem);

/* ---- Queues -------------------------------------------------------------- */

/* Makes a queue in a buffer of `size` bytes, for messages of up to max_msg
 * bytes. It holds size / max_msg messages, short ones too.
 *
 * Ownership: buf stays the caller's and must live until msp_queue_free() has
 *            returned. *queue is a handle to free with that.
 * Threads:   any.
 * Returns:   0; -EINVAL for NULL, max_msg <= 0 or size < max_msg; -ENOMEM.
 */
int msp_queue_new(msp_queue_t *queue, void *buf, unsigned int size, int max_msg);

/* The same, with a buffer of its own. options is reserved and not used.
 *
 * Ownership: *queue is a handle to free with msp_queue_free(), which frees the
 *            buffer too.
 * Threads:   any.
 * Returns:   as msp_queue_new().
 */
int msp_queue_create(msp_queue_t *queue, size_t size, size_t max_msg, uint32_t options);

/* Frees a queue and what is in it, and sets *queue to NULL. Who waits for a
 * message gets -EINVAL. After this returns, the buffer is not touched.
 *
 * Ownership: the handle is dead; the buffer given to msp_queue_new() is the
 *            caller's alone.
 * Threads:   any; blocks while a message is copied.
 * Returns:   nothing. A dead handle: nothing happens.
 */
void msp_queue_free(msp_queue_t *queue);

/* Adds a message behind the others. A full queue is an error at once: this
 * never waits for room.
 *
 * Ownership: msg is copied.
 * Threads:   any.
 * Returns:   0; -EAGAIN when it is full; -EMSGSIZE for more than max_msg bytes;
 *            -EINVAL for no queue, NULL or size 0.
 */
int msp_queue_send(msp_queue_t *queue, void *msg, unsigned int size);

/* Takes the first message, waiting until there is one.
 *
 * Ownership: msg has room for max_msg bytes. *size is only written, 0 on
 *            failure, and size may be NULL.
 * Threads:   any; blocks up to ms.
 * Returns:   as msp_mutex_lock().
 */
int msp_queue_recv(msp_queue_t *queue, unsigned int ms, void *msg, unsigned int *size);

/* Tells whether a handle is that of a queue.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   1 or 0.
 */
int msp_queue_is_valid(msp_queue_t *queue);

/* Tells how many messages wait.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   the count; -EINVAL for no queue.
 */
int msp_queue_get_count(msp_queue_t *queue);

/* Tells the queue's buffer.
 *
 * Ownership: that given to msp_queue_new() is the caller's, that of
 *            msp_queue_create() the queue's.
 * Threads:   any.
 * Returns:   the buffer; NULL for no queue.
 */
void *msp_queue_buf_ptr(msp_queue_t *queue);

/* ---- Events -------------------------------------------------------------- */

/* Makes an event: a word of flags that threads set and wait for.
 *
 * Ownership: *event is a handle to free with msp_event_free().
 * Threads:   any.
 * Returns:   0; -EINVAL for NULL; -ENOMEM.
 */
int msp_event_new(msp_event_t *event, unsigned int flags);

/* Frees an event and sets *event to NULL. Who waits for it gets -EINVAL.
 *
 * Ownership: the handle is dead.
 * Threads:   any; never blocks.
 * Returns:   nothing. A dead handle: nothing happens.
 */
void msp_event_free(msp_event_t *event);

/* Waits until any (MSP_EVENT_OR) or all (MSP_EVENT_AND) of `flags` are set.
 * With the _CLEAR options those of `flags` that are set are then cleared, in
 * the same step: of several threads, one gets them.
 *
 * Ownership: *actl_flags tells all flags of the event as they were before that,
 *            or 0 where there is no event; actl_flags may be NULL.
 * Threads:   any; blocks up to timeout.
 * Returns:   as msp_mutex_lock(); -EINVAL also for no flags or another opt.
 */
int msp_event_get(msp_event_t *event, unsigned int flags, unsigned char opt,
                  unsigned int *actl_flags, unsigned int timeout);

/* Sets `flags` as well (MSP_EVENT_OR), or clears all but them (MSP_EVENT_AND).
 *
 * Ownership: none.
 * Threads:   any; never blocks.
 * Returns:   0; -EINVAL for no event or another opt.
 */
int msp_event_set(msp_event_t *event, unsigned int flags, unsigned char opt);

/* Tells whether a handle is that of an event.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   1 or 0.
 */
int msp_event_is_valid(msp_event_t *event);

/* ---- Timers -------------------------------------------------------------- */

/* Makes a timer and starts it: fn(handle, arg) is called in `ms`, and where
 * `repeat` is not 0 every `ms` from then on. All callbacks run one after the
 * other on one thread of the library, which takes none of the program's
 * signals; a slow one delays the others, and a repeating timer skips what it
 * missed. A callback may start, stop, change and free its own timer.
 *
 * Ownership: arg stays the caller's, in use until msp_timer_free() has
 *            returned. *timer is a handle to free with that.
 * Threads:   any.
 * Returns:   0; -EINVAL for NULL or ms <= 0; -ENOMEM, or -EAGAIN when the
 *            thread cannot be made.
 */
int msp_timer_new(msp_timer_t *timer, void (*fn)(void *timer, void *arg), void *arg, int ms,
                  int repeat);

/* The same, but starts the timer only if auto_run is not 0.
 *
 * Ownership: as msp_timer_new().
 * Threads:   any.
 * Returns:   as msp_timer_new().
 */
int msp_timer_new_ext(msp_timer_t *timer, void (*fn)(void *timer, void *arg), void *arg, int ms,
                      int repeat, unsigned char auto_run);

/* Stops and frees a timer and sets *timer to NULL. After this returns, its
 * callback does not run, unless it is the caller.
 *
 * Ownership: the handle is dead; arg is the caller's alone.
 * Threads:   any; waits for a callback of this timer to return, so holds no
 *            lock that the callback takes.
 * Returns:   nothing. A dead handle: nothing is freed.
 */
void msp_timer_free(msp_timer_t *timer);

/* Starts a timer: it counts from now, also if it was running.
 *
 * Ownership: none.
 * Threads:   any; never blocks.
 * Returns:   0; -EINVAL for no timer; -EAGAIN when the thread cannot be made.
 */
int msp_timer_start(msp_timer_t *timer);

/* Stops a timer. After this returns, its callback does not run, unless it is
 * the caller; msp_timer_start() starts it again.
 *
 * Ownership: none.
 * Threads:   as msp_timer_free().
 * Returns:   0, also when it was not running; -EINVAL for no timer.
 */
int msp_timer_stop(msp_timer_t *timer);

/* Sets a timer's time. One that runs counts from now.
 *
 * Ownership: none.
 * Threads:   any; never blocks.
 * Returns:   0; -EINVAL for no timer or ms <= 0.
 */
int msp_timer_change(msp_timer_t *timer, int ms);

/* Tells whether a handle is that of a timer.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   1 or 0.
 */
int msp_timer_is_valid(msp_timer_t *timer);

/* ---- Memory -------------------------------------------------------------- */

/* Allocates `size` bytes. A size of 0 gives a block like any other, here and in
 * the functions below: NULL always means exhaustion.
 *
 * Ownership: the caller frees it with msp_free() or free().
 * Threads:   any.
 * Returns:   the block; NULL when memory is exhausted.
 */
void *msp_malloc(size_t size);

/* Allocates `size` bytes of zeros.
 *
 * Ownership: as msp_malloc().
 * Threads:   any.
 * Returns:   as msp_malloc().
 */
void *msp_zalloc(size_t size);

/* Allocates zeros for n items of `size` bytes.
 *
 * Ownership: as msp_malloc().
 * Threads:   any.
 * Returns:   as msp_malloc(); NULL also when the product overflows.
 */
void *msp_calloc(size_t n, size_t size);

/* Makes a block smaller or larger, perhaps elsewhere. NULL: a new block. A size
 * of 0 does not free it.
 *
 * Ownership: mem is dead unless this returns NULL; the result is as that of
 *            msp_malloc().
 * Threads:   any.
 * Returns:   as msp_malloc().
 */
void *msp_realloc(void *mem, size_t size);

/* Frees a block; NULL: nothing happens. The last 64 blocks of at most 1 KiB
 * keep their contents until more are freed, for tasks that look once more at
 * what their creator has freed, as the SDK's example does.
 *
 * Ownership: mem is dead.
 * Threads:   any.
 * Returns:   nothing.
 */
void msp_free(void *mem);

/* Frees the block *ptr and sets *ptr to NULL. NULL: nothing happens.
 *
 * Ownership: the block is dead.
 * Threads:   any; *ptr is the calling thread's alone.
 * Returns:   nothing.
 */
void msp_freep(char **ptr);

/* msp_malloc() for who cannot go on without: when memory is exhausted, it logs
 * the size and the caller's address, and aborts the process.
 *
 * Ownership: as msp_malloc().
 * Threads:   any.
 * Returns:   the block, never NULL.
 */
void *msp_malloc_check(size_t size);

/* msp_zalloc() that logs and aborts, as msp_malloc_check().
 *
 * Ownership: as msp_malloc().
 * Threads:   any.
 * Returns:   the block, never NULL.
 */
void *msp_zalloc_check(size_t size);

/* msp_calloc() that logs and aborts, as msp_malloc_check().
 *
 * Ownership: as msp_malloc().
 * Threads:   any.
 * Returns:   the block, never NULL.
 */
void *msp_calloc_check(size_t n, size_t size);

/* msp_realloc() that logs and aborts, as msp_malloc_check().
 *
 * Ownership: as msp_realloc().
 * Threads:   any.
 * Returns:   the block, never NULL.
 */
void *msp_realloc_check(void *mem, size_t size);

/* ---- Time ---------------------------------------------------------------- */

/* Tells the monotonic clock, in milliseconds. It does not jump when the date
 * is set.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   the time since some moment in the past, that of booting usually.
 */
long long msp_now_ms(void);

/* Writes the local date and time as "MM-DD hh:mm:ss.mmm", 19 bytes with the
 * end, cut to fit in len bytes.
 *
 * Ownership: buffer is the caller's.
 * Threads:   any.
 * Returns:   buffer, untouched where it is NULL or len <= 0.
 */
char *msp_now_time_str(char *buffer, const int len);

/* Sleeps for all of ms, whatever signals arrive; not at all if ms <= 0.
 *
 * Ownership: none.
 * Threads:   any; blocks for ms, or until record_stop() ends it.
 * Returns:   nothing.
 */
void msp_msleep(int ms);

#ifdef __cplusplus
}
#endif

#endif
