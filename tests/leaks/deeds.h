/* SPDX-License-Identifier: Apache-2.0 */
/* What workloads do besides their work. Each function says in its name what becomes of the memory; d->bytes is in brackets. */
#ifndef LEAKS_DEEDS_H
#define LEAKS_DEEDS_H

#include "workload.h"

/* deeds_keep.c: memory that is kept for good */
void keep_malloc(struct deed *d);    /* [of an object] */
void keep_another(struct deed *d);   /* the same at another place */
void keep_calloc(struct deed *d);
void keep_aligned(struct deed *d);
void keep_strdup(struct deed *d);
void keep_in_map(struct deed *d);    /* a cache that forgets nothing [of a value] */
void keep_until_exit(struct deed *d);
void free_at_exit(struct deed *d);   /* what keep_until_exit kept */
void grow_array(struct deed *d);     /* by realloc [that it grows by] */
void grow_by_half(struct deed *d);   /* the same, with room for half as much again */
void forget_some(struct deed *d);    /* another thread frees all but one in ten */
void keep_elsewhere(struct deed *d); /* another thread allocates and keeps, on request */

/* deeds_bound.c: memory that has a bound */
void borrow(struct deed *d);         /* freed at once */
void hand_over(struct deed *d);      /* another thread frees it */
void cache_lru(struct deed *d);      /* of CACHE_ENTRIES [of an entry] */
void cache_ttl(struct deed *d);      /* of what was put in the last TTL_S seconds [of an entry] */
void cache_fill(struct deed *d);     /* of as many entries as FILL_KEYS keys, drawn at random, need [of an entry] */
void set_up_lazily(struct deed *d);  /* a table on first use, not all at once [of a table] */
void warm_up(struct deed *d);        /* fills at a steady rate for the first half [in the end] */
void pool_follow(struct deed *d);    /* of buffers, more of them in the middle of the load [of a buffer] */
void batch(struct deed *d);          /* collects objects and frees them all [of a batch] */
void batch_long(struct deed *d);     /* the same, four times in a run [of a batch] */
void session_begin(struct deed *d);  /* freed by session_end [of an object] */
void session_end(struct deed *d);

/* deeds_heap.c: what allocators are bad at */
void shred(struct deed *d);          /* blocks that do not fit into the holes that others left [of all live blocks] */
void peak_once(struct deed *d);      /* much for a short while [of the peak] */
void peak_in_turn(struct deed *d);   /* the same in one thread after the other */
void churn(struct deed *d);          /* objects of many sizes and ages [of all] */

/* deeds_system.c: what is not heap */
void map_keep(struct deed *d);       /* [of a mapping] */
void map_rest(struct deed *d);       /* gives half of each back [of a mapping] */
void map_return(struct deed *d);
void map_grow(struct deed *d);       /* by mremap [that it grows by] */
void thread_not_joined(struct deed *d); /* ends, but its stack stays */
void thread_keep(struct deed *d);    /* never ends */
void thread_joined(struct deed *d);  /* or detached; .each must be said */
void child_not_reaped(struct deed *d);
void child_reaped(struct deed *d);
void leave_open(struct deed *d);     /* a connection whose peer has gone: with .fails */
void open_file(struct deed *d);
void open_stream(struct deed *d);
void open_directory(struct deed *d);
void open_socket(struct deed *d);
void open_pipe(struct deed *d);
void open_eventfd(struct deed *d);
void open_epoll(struct deed *d);
void open_timerfd(struct deed *d);
void open_memfd(struct deed *d);
void open_inotify(struct deed *d);
void open_signalfd(struct deed *d);
void open_copy(struct deed *d);
void open_and_close(struct deed *d);
void open_pool(struct deed *d);      /* a hundred at first, which stay */

/* Those below are of the held-out workloads only. */

/* deeds_table.c: tables and caches */
void keep_in_table(struct deed *d);   /* a hash table that forgets nothing [of a value] */
void toggle_in_table(struct deed *d); /* every second request for a key takes it out again [of a value] */
void fill_slowly(struct deed *d);     /* with as many keys as half of the load's requests [of a value] */
void fill_quickly(struct deed *d);    /* with half of those [of a value] */
void fill_finely(struct deed *d);     /* with many small ones, for 150 s [of a value] */
void intern_any(struct deed *d);      /* ever fewer new strings, without end [of a string] */
void intern_words(struct deed *d);    /* of a language, frequent ones first [of a string] */
void cache_by_weight(struct deed *d); /* [of all] */

/* deeds_house.c: what servers do beside requests */
void session_table(struct deed *d);   /* swept in bursts [of a session, on average] */
void log_line(struct deed *d);        /* [after which it is written] */
void store_record(struct deed *d);    /* merged in the background [of a record] */
void run_job(struct deed *d);         /* AT_TIMER: each ten seconds, for a second [of a job] */
void arena_take(struct deed *d);      /* [of an object, on average] */
void arena_release(struct deed *d);   /* AT_DISCONNECT */
void thread_begin(struct deed *d);    /* a thread for the connection, with a cache [of an object, at most] */
void thread_end(struct deed *d);
void pool_take(struct deed *d);       /* AT_CONNECT: a buffer and a descriptor [of a buffer] */
void pool_give(struct deed *d);
void snapshot(struct deed *d);        /* fragments the heap [of all that are live] */
void grow_and_stop(struct deed *d);   /* evenly, until shortly before the end [of an object] */

/* deeds_lapse.c: paths that nobody thinks of */
void time_out(struct deed *d);
void keep_large_rarely(struct deed *d); /* one in a thousand, by chance */
void keep_from_half(struct deed *d);    /* only after half of the load */
void add_to_history(struct deed *d);    /* by realloc, twice as much each time [that is added] */
void pass_over_busy(struct deed *d);    /* nine of ten are freed a second later */
void queue_job(struct deed *d);         /* for threads that keep each second result, in do_job [of a result] */
void measure_plugin(struct deed *d);    /* AT_START, of reload_plugin */
void reload_plugin(struct deed *d);     /* dlopen without dlclose */
void prepare_refusal(struct deed *d);   /* AT_START, of be_refused */
void be_refused(struct deed *d);        /* the socket stays open */

/* deeds_owner.cc */
void keep_session(struct deed *d);      /* a std::map of strings [of a value] */
void tie_parts(struct deed *d);         /* two objects that own each other */

#endif
