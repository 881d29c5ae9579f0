/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader takes a path, so the bytes go into one memfd that is used again and again. Symbols are looked up as ever: no
 * input names a file that exists, unless the fuzzer is lucky, and then that is worth trying too.
 */
#include "pipeline.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "analysis.h"
#include "export.h"
#include "report.h"

static const char *store(const uint8_t *file, size_t bytes)
{
    static char path[64];
    static int fd = -1;

    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    MUST(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, file, bytes, 0) == (ssize_t)bytes);
    return path;
}

static void check_text(const struct report *r)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    MUST(out && report_text(r, out, false) == 0);
    fclose(out);
    for (size_t i = 0; i < n; i++)
        MUST(text[i] == '\n' || ((uint8_t)text[i] >= 0x20 && text[i] != 0x7f));
    free(text);
}

static void check_json(const struct report *r)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    MUST(out && report_json(r, out) == 0);
    fclose(out);
    cJSON *tree = cJSON_ParseWithOpts(text, NULL, true);
    MUST(cJSON_IsObject(tree));
    cJSON_Delete(tree);
    for (size_t i = 0; i < n; i++)
        MUST(text[i] == '\n' || text[i] == '\t' || (uint8_t)text[i] >= 0x20);
    free(text);
}

/* Each line of the one ends with a number; the other is there. */
static void check_exports(struct analysis *a, struct symbols *symbols)
{
    struct places *places = places_new(a->heap, a->processes, symbols);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    MUST(places && out && export_folded(places, symbols, PLACE_ALLOC_COUNT, out) == 0);
    fclose(out);
    MUST(n == 0 || (text[n - 1] == '\n' && text[n - 2] >= '0' && text[n - 2] <= '9'));
    free(text);
    out = open_memstream(&text, &n);
    MUST(out && export_pprof(places, symbols, &(struct export_run){0, 0, {0, 0}}, out) == 0);
    fclose(out);
    MUST(n > 18);
    free(text);
    places_free(places);
}

static void analyse(struct reader *reader, struct error *e)
{
    struct analysis *a = analysis_run_threads(reader, 1, e);

    if (!a) {
        MUST(e->text[0]);
        return;
    }
    struct symbols *symbols = symbols_new();
    struct report_options options = {.slowest = 5};
    struct report *r = symbols ? report_build(a, symbols, "fuzz\n\033[31m\"\xff", &options) : NULL;
    MUST(r != NULL);
    check_text(r);
    check_json(r);
    report_free(r);
    check_exports(a, symbols);
    symbols_free(symbols);
    analysis_free(a);
}

void pipeline_run(const uint8_t *file, size_t bytes)
{
    struct error e = {.text = ""};
    struct reader *reader = reader_open(store(file, bytes), &e);

    if (!reader) {
        MUST(e.text[0]);
        return;
    }
    analyse(reader, &e);
    MUST(reader_damage(reader).skipped_bytes <= bytes);
    reader_close(reader);
}
