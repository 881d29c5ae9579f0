/* SPDX-License-Identifier: Apache-2.0 */
/* What deeds count, and how it is told. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

#define SAMPLES_MAX 65536

void *filled(size_t bytes)
{
    void *p = malloc(bytes);

    if (!p)
        abort();
    return memset(p, 1, bytes);
}

void *truth_object(struct deed *d, void *object, size_t requested)
{
    if (!object)
        abort();
    memset(object, 1, requested);
    d->objects++;
    d->requested += requested;
    d->usable += malloc_usable_size(object);
    return object;
}

void truth_opaque(struct deed *d, void *object)
{
    d->objects++;
    d->requested += malloc_usable_size(object);
    d->usable += malloc_usable_size(object);
}

void truth_object_gone(struct deed *d, void *object, size_t requested)
{
    d->objects--;
    d->requested -= requested;
    d->usable -= malloc_usable_size(object);
}

void truth_mapping(struct deed *d, size_t bytes) { d->mapped += bytes; }

void truth_descriptor(struct deed *d, int fd, const char *kind)
{
    if (fd < 0)
        abort();
    d->descriptors++;
    d->kind = kind;
}

void truth_thread(struct deed *d) { d->threads++; }
void truth_child(struct deed *d) { d->children++; }

/* Of the usable bytes that are kept: what leaks evenly over requests need not leak evenly over time. */
static struct {
    double seconds;
    uint64_t usable;
} sample[SAMPLES_MAX];
static size_t samples;

void truth_sample(const struct workload *w, double seconds)
{
    if (samples == SAMPLES_MAX)
        return;
    sample[samples].seconds = seconds;
    for (size_t i = 0; i < DEEDS; i++)
        sample[samples].usable += w->deed[i].usable;
    samples++;
}

static const char *const subject_name[SUBJECTS] = {"memory", "descriptors", "threads", "connections", "mappings", "children"};
static const char *const label_name[LABELS] = {"healthy", "leaks", "fills", "slows", "fragments",
                                               "per connection"};

static void print_count(const char *key, uint64_t value) { printf(", \"%s\": %llu", key, (unsigned long long)value); }

static void print_deed(const struct deed *d)
{
    printf("{\"when\": \"%s\", \"site\": \"%s\", \"kind\": \"%s\", \"unrouted\": %s, \"unjudged\": %s", d->when, d->site,
           d->kind ? d->kind : "", d->unrouted ? "true" : "false", d->unjudged ? "true" : "false");
    print_count("calls", d->calls);
    print_count("objects", d->objects);
    print_count("requested", d->requested);
    print_count("usable", d->usable);
    print_count("mapped", d->mapped);
    print_count("descriptors", d->descriptors);
    print_count("threads", d->threads);
    print_count("children", d->children);
    printf("}");
}

void truth_print(const struct workload *w, const uint64_t requests[ROUTES], uint64_t connections)
{
    printf("{\"workload\": \"%s\", \"lumpy\": %s", w->name, w->lumpy || w->load.shape != STEADY ? "true" : "false");
    printf(", \"expected\": \"%s\", \"ceiling\": %.0f", w->expected ? w->expected : "", w->ceiling);
    printf(", \"labels\": {");
    for (size_t i = 0; i < SUBJECTS; i++)
        printf("%s\"%s\": \"%s\"", i ? ", " : "", subject_name[i], label_name[w->label[i]]);
    printf("}");
    print_count("connections", connections);
    printf(", \"requests\": {");
    for (size_t r = 0; r < ROUTES; r++)
        printf("%s\"%s\": %llu", r ? ", " : "", route_name[r], (unsigned long long)requests[r]);
    printf("}, \"deeds\": [");
    for (size_t i = 0; i < DEEDS && w->deed[i].act; i++) {
        printf(i ? ", " : "");
        print_deed(&w->deed[i]);
    }
    printf("], \"usable_over_time\": [");
    for (size_t i = 0; i < samples; i++)
        printf("%s[%.3f, %llu]", i ? ", " : "", sample[i].seconds, (unsigned long long)sample[i].usable);
    printf("]}\n");
    fflush(stdout);
}
