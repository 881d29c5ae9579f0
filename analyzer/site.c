/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites are kept in one growing array, their frames in blocks that are never moved. Each site carries its own samples:
 * all are taken at the same times, at most 64 however long the run, so a tick costs one pass over the sites and there
 * are few ticks: each doubling of the run's length adds half of the samples.
 */
#include "site.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_FRAMES 8192
#define FRAMES_MAX 1024 /* deeper stacks are cut */

struct frame_block {
    struct frame_block *next;
    size_t used;
    uint64_t frames[BLOCK_FRAMES];
};

void site_table_free(struct site_table *t)
{
    while (t->blocks) {
        struct frame_block *next = t->blocks->next;
        free(t->blocks);
        t->blocks = next;
    }
    idmap_reset(&t->by_stack);
    free(t->sites);
    *t = (struct site_table){0};
}

static uint32_t site_add(struct site_table *t, uint64_t stack, uint32_t proc)
{
    if (t->count == SITE_NONE)
        return SITE_NONE;
    if (t->count == t->room) {
        size_t room = t->room ? t->room + t->room / 2 : 64;
        struct site *grown = realloc(t->sites, room * sizeof *grown);
        if (!grown)
            return SITE_NONE;
        t->sites = grown;
        t->room = room;
    }
    if (idmap_put(&t->by_stack, stack, (uint32_t)t->count) < 0)
        return SITE_NONE;
    t->sites[t->count] = (struct site){.stack = stack, .proc = proc};
    return (uint32_t)t->count++;
}

uint32_t site_index(struct site_table *t, uint64_t stack, uint32_t proc)
{
    uint32_t index = idmap_get(&t->by_stack, stack);

    return index != IDMAP_NONE ? index : site_add(t, stack, proc);
}

static uint64_t *frames_room(struct site_table *t, size_t n)
{
    struct frame_block *block = t->blocks;

    if (!block || block->used + n > BLOCK_FRAMES) {
        block = malloc(sizeof *block);
        if (!block)
            return NULL;
        block->next = t->blocks;
        block->used = 0;
        t->blocks = block;
    }
    block->used += n;
    return block->frames + block->used - n;
}

int site_define(struct site_table *t, uint64_t stack, uint32_t proc, uint32_t flags, const uint8_t *data, size_t bytes)
{
    size_t n = bytes / 8 < FRAMES_MAX ? bytes / 8 : FRAMES_MAX;
    uint32_t index = n ? site_index(t, stack, proc) : 0;

    if (!n)
        return 0;
    if (index == SITE_NONE)
        return -1;
    struct site *site = site_at(t, index);
    if (site->frames)
        return 0;
    uint64_t *frames = frames_room(t, n);
    if (!frames)
        return -1;
    for (size_t i = 0; i < n; i++) {
        uint64_t raw;
        memcpy(&raw, data + 8 * i, sizeof raw);
        frames[i] = le64toh(raw);
    }
    site->frames = frames;
    site->frame_count = (uint32_t)n;
    site->flags = flags;
    site->proc = proc;
    return 0;
}

/* Keeps samples 1, 3, 5... of each site: those whose times are multiples of the doubled interval. */
static void samples_thin(struct site_table *t)
{
    for (size_t s = 0; s < t->count; s++) {
        double *sample = t->sites[s].sample;
        for (size_t i = 0; i < SITE_SAMPLES / 2; i++)
            sample[i] = sample[2 * i + 1];
        memset(sample + SITE_SAMPLES / 2, 0, SITE_SAMPLES / 2 * sizeof *sample);
    }
    t->samples = SITE_SAMPLES / 2;
    t->interval_shift++;
}

int64_t site_sample(struct site_table *t, int64_t time_ns)
{
    while (time_ns >= site_sample_ns(t, t->samples)) {
        if (t->samples == SITE_SAMPLES) {
            samples_thin(t);
            continue;
        }
        for (size_t s = 0; s < t->count; s++)
            t->sites[s].sample[t->samples] = t->sites[s].sums.live_bytes;
        t->samples++;
    }
    return site_sample_ns(t, t->samples);
}

int64_t site_sample_ns(const struct site_table *t, size_t i)
{
    return (int64_t)(i + 1) * ((int64_t)SITE_INTERVAL_NS << t->interval_shift);
}
