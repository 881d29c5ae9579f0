/* SPDX-License-Identifier: Apache-2.0 */
/* The workloads. What is not said is as usual: see workload.h. At 1000 requests a second a route has 100 of them. */
#include "deeds.h"

#define JEMALLOC "libjemalloc.so.2"
#define TCMALLOC "libtcmalloc_minimal.so.4"

/* A row of deeds: when, what, how much, how often. */
#define DO(when, what, ...) {when, #what, what, __VA_ARGS__}

struct workload workloads[] = {
    /* --- leaks --- */
    {"leak-1", LEAKS, .deed = {DO("/basket", keep_malloc, 1)}, .load = {.rate = 2000, .hot = "/basket"}},
    {"leak-10", LEAKS, .deed = {DO("/login", keep_malloc, 10)}, .load = {.rate = 2000, .hot = "/login"}},
    {"leak-100", LEAKS, .deed = {DO("/orders", keep_malloc, 100)}},
    {"leak-1000", LEAKS, .deed = {DO("/search", keep_malloc, 1000)}},
    {"leak-100-rare-route", LEAKS, .deed = {DO("/upload", keep_malloc, 1000)}, .load = {.hot = "/health"}},
    {"leak-errors", LEAKS, .deed = {DO("/checkout", keep_malloc, 2000, .each = 20, .fails = true)}},
    {"leak-thousandth", LEAKS, .deed = {DO("/profile", keep_malloc, 60000, .each = 1000)},
     .load = {.rate = 2000, .hot = "/profile"}},
    {"leak-two-sites", LEAKS, .deed = {DO("/account", keep_malloc, 100), DO("/account", keep_another, 300)}},
    {"leak-two-routes", LEAKS, .deed = {DO("/login", keep_malloc, 200), DO("/orders", keep_another, 600, .each = 3)}},
    {"leak-one-site-two-routes", LEAKS, .deed = {DO("/login", keep_malloc, 200), DO("/upload", keep_malloc, 400)}},
    {"leak-calloc", LEAKS, .deed = {DO("/basket", keep_calloc, 250)}},
    {"leak-aligned", LEAKS, .deed = {DO("/catalog", keep_aligned, 320)}},
    {"leak-strdup", LEAKS, .deed = {DO("/search", keep_strdup, 150)}},
    {"leak-cache-unbounded", LEAKS, .deed = {DO("/catalog", keep_in_map, 300)}},
    {"leak-until-exit", LEAKS, .deed = {DO("/profile", keep_until_exit, 500), DO(AT_EXIT, free_at_exit)}},
    {"leak-realloc", LEAKS, .deed = {DO("/upload", grow_array, 300, .unrouted = true)}},
    {"leak-realloc-by-half", LEAKS, .deed = {DO("/upload", grow_by_half, 1000, .unrouted = true)}, .lumpy = true},
    {"leak-forgotten-by-another-thread", LEAKS, .deed = {DO("/orders", forget_some, 2000)}},
    {"leak-in-another-thread", LEAKS, .deed = {{"/checkout", "keep_what_is_wanted", keep_elsewhere, 400, .unrouted = true}}},
    {"leak-connection", LEAKS, .deed = {DO(AT_CONNECT, keep_malloc, 2000)}, .load = {.life = 20}},
    {"leak-timer", LEAKS, .deed = {DO(AT_TIMER, keep_malloc, 1000)}},
    {"leak-beside-sawtooth", LEAKS, .deed = {DO("/upload", keep_malloc, 400), DO("/search", batch, 200000)}},
    {"leak-beside-lru", LEAKS, .deed = {DO("/account", keep_malloc, 200), DO("/search", cache_lru, 1000)}},
    {"leak-after-warm-up", LEAKS, .deed = {DO("/account", keep_malloc, 400), DO("/search", set_up_lazily, 500000)}},
    {"leak-under-ramp", LEAKS, .deed = {DO("/basket", keep_malloc, 300)}, .load = {.shape = RAMP}},
    {"leak-stop-and-go", LEAKS, .deed = {DO("/basket", keep_malloc, 300)}, .load = {.shape = STOP_AND_GO}},
    {"leak-up-and-down", LEAKS, .deed = {DO("/basket", keep_malloc, 300)}, .load = {.shape = UP_AND_DOWN}},
    {"leak-with-churn", LEAKS, .deed = {DO("/login", keep_malloc, 250)}, .load = {.life = 10}},
    {"leak-many-connections", LEAKS, .deed = {DO("/login", keep_malloc, 250)}, .load = {.connections = 100}},
    {"leak-jemalloc", LEAKS, .deed = {DO("/login", keep_malloc, 300)}, .allocator = JEMALLOC},
    {"leak-tcmalloc", LEAKS, .deed = {DO("/login", keep_malloc, 300)}, .allocator = TCMALLOC},
    {"leak-map", LEAKS, .deed = {DO("/upload", map_keep, 16384, .each = 5)}},
    {"leak-map-half", LEAKS, .deed = {DO("/upload", map_rest, 32768, .each = 5)}},
    {"leak-map-grown", LEAKS, .deed = {DO("/upload", map_grow, 16384, .each = 5)}},
    {"leak-thread-stack", LEAKS, .deed = {DO("/orders", thread_not_joined, 8192, .each = 5)}},

    /* --- leaks of threads and descriptors --- */
    {"leak-thread", .threads = LEAKS, .deed = {DO("/orders", thread_keep, 65536, .each = 10)}},
    {"leak-file", .descriptors = LEAKS, .deed = {DO("/upload", open_file, .each = 10)}},
    {"leak-stream", .descriptors = LEAKS, .deed = {DO("/upload", open_stream, .each = 10)}},
    {"leak-directory", LEAKS, LEAKS, .deed = {DO("/catalog", open_directory, .each = 10)}},
    {"leak-socket", .descriptors = LEAKS, .deed = {DO("/search", open_socket, .each = 10)}},
    {"leak-pipe", .descriptors = LEAKS, .deed = {DO("/checkout", open_pipe, .each = 10)}},
    {"leak-eventfd", .descriptors = LEAKS, .deed = {DO("/basket", open_eventfd, .each = 10)}},
    {"leak-epoll", .descriptors = LEAKS, .deed = {DO("/login", open_epoll, .each = 10)}},
    {"leak-timerfd", .descriptors = LEAKS, .deed = {DO("/health", open_timerfd, .each = 10)}},
    {"leak-memfd", .descriptors = LEAKS, .deed = {DO("/profile", open_memfd, .each = 10)}},
    {"leak-inotify", .descriptors = LEAKS, .deed = {DO("/profile", open_inotify, .each = 25)}},
    {"leak-signalfd", .descriptors = LEAKS, .deed = {DO("/account", open_signalfd, .each = 10)}},
    {"leak-copy", .descriptors = LEAKS, .deed = {DO("/account", open_copy, .each = 10)}},
    {"leak-file-on-errors", .descriptors = LEAKS, .deed = {DO("/orders", open_file, .each = 15, .fails = true)}},

    /* --- healthy --- */
    {"plain", .deed = {DO("/upload", borrow, 20000)}},
    {"plain-jemalloc", .deed = {DO("/upload", borrow, 20000)}, .allocator = JEMALLOC},
    {"plain-tcmalloc", .deed = {DO("/upload", borrow, 20000)}, .allocator = TCMALLOC},
    {"plain-churn", .deed = {DO("/upload", borrow, 20000)}, .load = {.life = 5}},
    {"cache-lru", .deed = {DO("/catalog", cache_lru, 2000)}},
    {"cache-lru-jemalloc", .deed = {DO("/catalog", cache_lru, 2000)}, .allocator = JEMALLOC},
    {"cache-ttl", .deed = {DO("/login", cache_ttl, 3000)}},
    {"cache-ttl-under-ramp", .deed = {DO("/login", cache_ttl, 3000)}, .load = {.shape = UP_AND_DOWN}},
    {"cache-fills", FILLS, .deed = {DO("/catalog", cache_fill, 4000)}},
    {"lazy-set-up", .deed = {DO("/account", set_up_lazily, 400000)}},
    {"long-warm-up", .deed = {DO("/account", warm_up, 4000000)}},
    {"pool-up-and-down", .deed = {DO("/upload", pool_follow, 16000)}, .load = {.shape = UP_AND_DOWN}},
    {"sawtooth", .deed = {DO("/search", batch, 150000)}},
    {"sawtooth-long", .deed = {DO("/search", batch_long, 1000)}},
    {"handed-over", .deed = {DO("/orders", hand_over, 2000)}},
    {"ramp", .deed = {DO("/upload", borrow, 20000)}, .load = {.shape = RAMP}},
    {"stop-and-go", .deed = {DO("/login", cache_ttl, 3000)}, .load = {.shape = STOP_AND_GO}},
    {"map-returned", .deed = {DO("/upload", map_return, 65536, .each = 5)}},
    {"threads-joined", .deed = {DO("/orders", thread_joined, 0, .each = 20)}},
    {"descriptors-closed", .deed = {DO("/upload", open_and_close, 0)}},
    {"descriptor-pool", .deed = {DO("/upload", open_pool, 0)}},

    /* --- healthy, and hard to see --- */
    {"connections-grow", CONNECTIONS, .deed = {DO(AT_CONNECT, session_begin, 16000), DO(AT_DISCONNECT, session_end)},
     .load = {.connections = 200, .growing = true}},
    {"connections-grow-little", CONNECTIONS, .load = {.connections = 120, .growing = true}},
    {"peak", .deed = {DO(AT_TIMER, peak_once, 40000000)}},
    {"peak-jemalloc", .deed = {DO(AT_TIMER, peak_once, 40000000)}, .allocator = JEMALLOC},
    {"peak-tcmalloc", .deed = {DO(AT_TIMER, peak_once, 40000000)}, .allocator = TCMALLOC},
    {"peaks-of-arenas", .deed = {DO(AT_TIMER, peak_in_turn, 20000000)}, .seconds = 90},
    {"peaks-of-arenas-jemalloc", .deed = {DO(AT_TIMER, peak_in_turn, 20000000)}, .allocator = JEMALLOC, .seconds = 90},
    {"churn", .deed = {DO("/basket", churn, 8000000)}, .seconds = 90},
    {"churn-jemalloc", .deed = {DO("/basket", churn, 8000000)}, .allocator = JEMALLOC, .seconds = 90},
    {"churn-tcmalloc", .deed = {DO("/basket", churn, 8000000)}, .allocator = TCMALLOC, .seconds = 90},
    {"fragments", FRAGMENTS, .deed = {DO(AT_TIMER, shred, 2000000, .each = 10)}, .seconds = 90},
};
const size_t workload_count = sizeof workloads / sizeof workloads[0];
