/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload is a server of ten routes that does a little work on each request, the deeds that it does besides, and how it is
 * loaded. Its label says which verdicts are right, and its deeds count what they keep, so that at the end the truth is known.
 *
 * A deed's function runs with a lock held: there is one at a time in the process.
 */
#ifndef LEAKS_WORKLOAD_H
#define LEAKS_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NOINLINE __attribute__((noinline)) /* of what a call stack must show */

#define ROUTES 10
extern const char *const route_name[ROUTES];

#define DEEDS 4
#define DESCRIPTORS_MAX 16384

/* What a deed is done on, besides requests of a route. */
#define AT_CONNECT "connect"
#define AT_DISCONNECT "disconnect"
#define AT_TIMER "timer" /* each TIMER_NS */
#define AT_EXIT "exit"
#define AT_START "start" /* before there are other threads */
#define TIMER_NS 10000000

struct deed {
    const char *when; /* a route, or one of the above */
    const char *site; /* name of the function: what it keeps is allocated or opened in it */
    void (*act)(struct deed *d);
    size_t bytes;   /* how much: of an object, of a cache, ...; see the function */
    unsigned each;  /* done each so many times; 0 is 1 */
    bool fails;     /* the request that it is done on is answered with an error; the connection is not closed */
    bool unrouted;  /* what it keeps cannot be told to be a request's */
    bool unjudged;  /* that requests keep it may be said or not */

    /* the truth, of what is kept for good */
    uint64_t calls, objects, requested, usable, mapped, descriptors, threads, children;
    const char *kind; /* of the descriptors */
};

/* What a verdict is on, and which one is right. */
enum subject { MEMORY, DESCRIPTORS, THREADS, CONNECTIONS, MAPPINGS, CHILDREN, SUBJECTS };
enum label {
    HEALTHY,
    LEAKS,
    FILLS,          /* grows up to a ceiling */
    SLOWS,          /* grows ever more slowly, and has no ceiling */
    FRAGMENTS,      /* resident memory grows, live heap does not */
    PER_CONNECTION, /* grows with the open connections, and for no other reason */
    LABELS
};

enum shape { STEADY, RAMP, UP_AND_DOWN, STOP_AND_GO, BURSTS };

struct load {
    enum shape shape;
    unsigned rate;        /* requests a second on average; 0: 1000 */
    const char *hot;      /* a route that gets half of the requests; the others get equally many */
    unsigned connections; /* open at once; 0: 4 */
    unsigned life;        /* requests after which a connection is closed and another opened; 0: none */
    bool growing;         /* connections: one at first, all at the end */
    bool receding;        /* connections: one at first, all in the middle, one at the end */
    bool plain;           /* requests and answers are lines of no known protocol */
};

struct workload {
    const char *name;
    enum label label[SUBJECTS];
    struct deed deed[DEEDS];
    struct load load;
    const char *allocator; /* a library to preload; NULL: the C library's */
    unsigned seconds;      /* it must run at least so long */
    bool lumpy;            /* what leaks does not come evenly: its slope is no single number */
    const char *expected;  /* of memory: the right verdict, then those that are no mistake; NULL: what the label implies */
    double ceiling;        /* FILLS: bytes when it is full */
};

extern struct workload workloads[]; /* by which the rules were made */
extern const size_t workload_count;
extern struct workload heldout[]; /* by which they were not */
extern const size_t heldout_count;

struct workload *workload_find(const char *name);

/* --- for deeds --- */

/* The share of the load's planned time that is over, from the first request on. */
double progress(void);

uint64_t random_below(uint64_t limit); /* of the calling thread */

void *filled(size_t bytes); /* an object that is written to */

/* For deeds on requests, AT_CONNECT and AT_DISCONNECT: a pointer of the connection's own, NULL at first. */
void **connection_slot(void);

/* The object, which is then written to, mapping, descriptor or thread is kept for good. */
void *truth_object(struct deed *d, void *object, size_t requested);
void truth_opaque(struct deed *d, void *object); /* that libc has made for itself */
void truth_mapping(struct deed *d, size_t bytes);
void truth_descriptor(struct deed *d, int fd, const char *kind);
void truth_thread(struct deed *d);
void truth_child(struct deed *d);

/* One of those kept is gone after all. */
void truth_object_gone(struct deed *d, void *object, size_t requested);

/* What is kept now, at that time since the server began. */
void truth_sample(const struct workload *w, double seconds);

/* On standard output, as one JSON object. */
void truth_print(const struct workload *w, const uint64_t requests[ROUTES], uint64_t connections);

int server_run(struct workload *w, double seconds);
int load_run(const struct workload *w, int port, double seconds, uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
