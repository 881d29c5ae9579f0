/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile is put together as protobuf-c's structs: tables that grow, whose rows are told apart by their index, and at the end lists of
 * pointers into them, as protobuf-c takes them. Equal texts, functions, places and mappings are one row each.
 *
 * Each file is mapped where the process that was asked about first had it, so that addresses and build ids fit each other although the
 * profile is of many processes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "export.h"
#include "idmap.h"
#include "profile.pb-c.h"
#include "utf8.h"

#define FRAMES_MAX 64 /* inlined into each other at one place */
#define VALUES 4

typedef Perfshim__Profile__Profile Profile;
typedef Perfshim__Profile__ValueType ValueType;
typedef Perfshim__Profile__Sample Sample;
typedef Perfshim__Profile__Mapping Mapping;
typedef Perfshim__Profile__Location Location;
typedef Perfshim__Profile__Line Line;
typedef Perfshim__Profile__Function Function;

/* What a sample's values are. The last one is what is shown first. */
static const struct {
    const char *type, *unit;
    enum place_figure figure;
} values[VALUES] = {
    {"alloc_objects", "count", PLACE_ALLOC_COUNT},
    {"alloc_space", "bytes", PLACE_ALLOC_BYTES},
    {"inuse_objects", "count", PLACE_LIVE_OBJECTS},
    {"inuse_space", "bytes", PLACE_LIVE_BYTES},
};

/* Rows of one message, and the list of pointers to them. */
struct table {
    void *rows;
    size_t count, room;
    void **list;
};

struct builder {
    struct symbols *symbols;
    struct table strings, mappings, functions, locations, samples;
    struct idmap string_of, mapping_of, function_of, location_of, bare_of;
    bool failed; /* memory was short */
};

/* A new row of zeros; NULL if memory is short. */
static void *table_add(struct builder *b, struct table *t, size_t bytes)
{
    if (t->count == t->room) {
        size_t room = 2 * t->room + 64;
        void *grown = realloc(t->rows, room * bytes);
        if (!grown) {
            b->failed = true;
            return NULL;
        }
        t->rows = grown;
        t->room = room;
    }
    return memset((char *)t->rows + bytes * t->count++, 0, bytes);
}

static void *table_list(struct builder *b, struct table *t, size_t bytes)
{
    t->list = malloc((t->count + 1) * sizeof *t->list);
    if (!t->list)
        b->failed = true;
    for (size_t i = 0; t->list && i < t->count; i++)
        t->list[i] = (char *)t->rows + bytes * i;
    return t->list;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15;
    return h ^ h >> 32;
}

static void put(struct builder *b, struct idmap *map, uint64_t key, size_t index)
{
    if (idmap_put(map, key, (uint32_t)index) < 0)
        b->failed = true;
}

/* --- texts --- */

static int64_t string(struct builder *b, const char *text)
{
    uint64_t key = 0;

    for (const char *s = text; *s; s++)
        key = mix(key, (uint8_t)*s);
    for (uint32_t known; (known = idmap_get(&b->string_of, key)) != IDMAP_NONE; key++)
        if (strcmp(((char **)b->strings.rows)[known], text) == 0)
            return known;
    char *own = strdup(text), **row = own ? table_add(b, &b->strings, sizeof *row) : NULL;
    if (!row) {
        free(own);
        b->failed = true;
        return 0;
    }
    *row = own;
    put(b, &b->string_of, key, b->strings.count - 1);
    return (int64_t)b->strings.count - 1;
}

/* Of a text that may be any bytes. */
static int64_t clean_string(struct builder *b, const char *text)
{
    char *clean = utf8_clean(text ? text : "");
    int64_t index = clean ? string(b, clean) : 0;

    b->failed |= !clean;
    free(clean);
    return index;
}

/* --- code --- */

static uint64_t function(struct builder *b, const char *name, const char *file)
{
    int64_t n = clean_string(b, name), f = clean_string(b, file);
    uint64_t key = (uint64_t)n << 32 | (uint64_t)f;
    uint32_t known = idmap_get(&b->function_of, key);

    if (known != IDMAP_NONE)
        return known + 1;
    Function *row = table_add(b, &b->functions, sizeof *row);
    if (!row)
        return 0;
    perfshim__profile__function__init(row);
    row->id = b->functions.count;
    row->name = row->system_name = n;
    row->filename = f;
    put(b, &b->function_of, key, b->functions.count - 1);
    return row->id;
}

static int64_t build_id(struct builder *b, const struct symbol_mapping *m)
{
    char text[2 * BUILD_ID_MAX + 1] = "";

    for (uint32_t i = 0; i < m->build_id_bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", m->build_id[i]);
    return string(b, text);
}

/* All have names, even if only "module+0x12": or pprof would look for some in what is at that path now. */
static uint64_t mapping(struct builder *b, struct symbol_place place, const struct symbol_mapping *m)
{
    uint64_t key = (uint64_t)place.file << 48 | (m->file_offset & ((1ull << 48) - 1));
    uint32_t known = idmap_get(&b->mapping_of, key);

    if (known != IDMAP_NONE)
        return known + 1;
    Mapping *row = table_add(b, &b->mappings, sizeof *row);
    if (!row)
        return 0;
    perfshim__profile__mapping__init(row);
    row->id = b->mappings.count;
    row->memory_start = m->start;
    row->memory_limit = m->end;
    row->file_offset = m->file_offset;
    row->filename = clean_string(b, m->path);
    row->build_id = build_id(b, m);
    row->has_functions = row->has_filenames = row->has_line_numbers = row->has_inline_frames = true;
    put(b, &b->mapping_of, key, b->mappings.count - 1);
    return row->id;
}

static void location_lines(struct builder *b, Location *location, const struct symbol_frame *frame, size_t n)
{
    Line *line = calloc(n, sizeof *line);

    location->line = calloc(n, sizeof *location->line);
    for (size_t i = 0; line && location->line && i < n; i++) {
        perfshim__profile__line__init(&line[i]);
        line[i].function_id = function(b, frame[i].function, frame[i].file);
        line[i].line = frame[i].line;
        location->line[location->n_line++] = &line[i];
    }
    if (location->n_line < n) {
        b->failed = true;
        free(line);
    }
}

/* A location of these lines; 0 if memory is short. */
static uint64_t add_location(struct builder *b, uint64_t mapping_id, uint64_t address, const struct symbol_frame *frame, size_t n)
{
    Location *row = table_add(b, &b->locations, sizeof *row);

    if (!row)
        return 0;
    perfshim__profile__location__init(row);
    row->id = b->locations.count;
    row->mapping_id = mapping_id;
    row->address = address;
    location_lines(b, row, frame, n);
    return row->id;
}

static uint64_t location(struct builder *b, struct symbol_place place)
{
    struct symbol_frame frame[FRAMES_MAX];
    struct idmap *map = place.file ? &b->location_of : &b->bare_of;
    uint64_t key = place.file ? (uint64_t)place.file << 48 | place.offset : place.offset;
    uint32_t known = idmap_get(map, key);

    if (known != IDMAP_NONE)
        return known + 1;
    struct symbol_mapping m = symbols_mapping(b->symbols, place);
    uint64_t address = m.path ? m.start + (place.offset - m.file_offset) : place.file ? 0 : place.offset;
    size_t n = symbols_at(b->symbols, place, frame, FRAMES_MAX);
    uint64_t id = add_location(b, m.path ? mapping(b, place, &m) : 0, address, frame, n);
    put(b, map, key, b->locations.count - 1);
    return id;
}

/* What is wrong with a stack, in the place of its callers. */
static uint64_t fault_location(struct builder *b, const char *fault)
{
    const struct symbol_frame frame = {.function = (char *)fault};
    uint64_t key = ~(uint64_t)string(b, fault);
    uint32_t known = idmap_get(&b->bare_of, key);

    if (known != IDMAP_NONE)
        return known + 1;
    uint64_t id = add_location(b, 0, 0, &frame, 1);
    put(b, &b->bare_of, key, b->locations.count - 1);
    return id;
}

/* --- samples --- */

static void add_sample(struct builder *b, const struct place *place)
{
    Sample *row = table_add(b, &b->samples, sizeof *row);

    if (!row)
        return;
    perfshim__profile__sample__init(row);
    row->value = calloc(VALUES, sizeof *row->value);
    row->location_id = calloc(place->depth + 1, sizeof *row->location_id);
    if (!row->value || !row->location_id) {
        b->failed = true;
        return;
    }
    row->n_value = VALUES;
    for (size_t i = 0; i < VALUES; i++)
        row->value[i] = llround(place->sum[values[i].figure].value);
    for (size_t i = 0; i < place->depth && !b->failed; i++)
        row->location_id[row->n_location_id++] = location(b, place->code[i]);
    if (export_fault(place))
        row->location_id[row->n_location_id++] = fault_location(b, export_fault(place));
}

static void builder_free(struct builder *b)
{
    struct table *tables[] = {&b->strings, &b->mappings, &b->functions, &b->locations, &b->samples};

    for (size_t i = 0; i < b->strings.count; i++)
        free(((char **)b->strings.rows)[i]);
    for (size_t i = 0; i < b->locations.count; i++) {
        Location *l = &((Location *)b->locations.rows)[i];
        if (l->n_line)
            free(l->line[0]); /* they are one block */
        free(l->line);
    }
    for (size_t i = 0; i < b->samples.count; i++) {
        free(((Sample *)b->samples.rows)[i].value);
        free(((Sample *)b->samples.rows)[i].location_id);
    }
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        free(tables[i]->rows);
        free(tables[i]->list);
    }
    idmap_reset(&b->string_of);
    idmap_reset(&b->mapping_of);
    idmap_reset(&b->function_of);
    idmap_reset(&b->location_of);
    idmap_reset(&b->bare_of);
}

/* --- the file --- */

static int write_gzip(const uint8_t *bytes, size_t n, FILE *out)
{
    uint8_t packed[65536];
    z_stream z = {.next_in = (uint8_t *)bytes};
    int result = Z_OK;

    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -1;
    while (result == Z_OK) {
        size_t left = n - (size_t)(z.next_in - bytes);
        z.avail_in = left < 1u << 30 ? (uInt)left : 1u << 30;
        z.next_out = packed;
        z.avail_out = sizeof packed;
        result = deflate(&z, z.avail_in == left ? Z_FINISH : Z_NO_FLUSH);
        if (fwrite(packed, 1, sizeof packed - z.avail_out, out) != sizeof packed - z.avail_out)
            result = Z_ERRNO;
    }
    deflateEnd(&z);
    return result == Z_STREAM_END && fflush(out) == 0 ? 0 : -1;
}

static int write_profile(struct builder *b, Profile *profile, FILE *out)
{
    profile->n_string_table = b->strings.count;
    profile->string_table = b->strings.rows;
    profile->n_mapping = b->mappings.count;
    profile->mapping = table_list(b, &b->mappings, sizeof(Mapping));
    profile->n_function = b->functions.count;
    profile->function = table_list(b, &b->functions, sizeof(Function));
    profile->n_location = b->locations.count;
    profile->location = table_list(b, &b->locations, sizeof(Location));
    profile->n_sample = b->samples.count;
    profile->sample = table_list(b, &b->samples, sizeof(Sample));
    if (b->failed)
        return -1;
    size_t n = perfshim__profile__profile__get_packed_size(profile);
    uint8_t *bytes = malloc(n);
    int failed = !bytes;
    if (bytes) {
        perfshim__profile__profile__pack(profile, bytes);
        failed = write_gzip(bytes, n, out);
    }
    free(bytes);
    return failed;
}

int export_pprof(const struct places *places, struct symbols *symbols, const struct export_run *run, FILE *out)
{
    struct builder b = {.symbols = symbols};
    ValueType type[VALUES], *types[VALUES], period = PERFSHIM__PROFILE__VALUE_TYPE__INIT;
    Profile profile = PERFSHIM__PROFILE__PROFILE__INIT;

    string(&b, "");
    for (size_t i = 0; i < VALUES; i++) {
        perfshim__profile__value_type__init(&type[i]);
        type[i].type = string(&b, values[i].type);
        type[i].unit = string(&b, values[i].unit);
        types[i] = &type[i];
    }
    struct symbol_mapping program = symbols_mapping(symbols, run->program);
    if (program.path) /* the first one names the profile */
        mapping(&b, run->program, &program);
    for (size_t i = 0; i < places->count && !b.failed; i++)
        add_sample(&b, &places->place[i]);
    period.type = string(&b, "space");
    period.unit = string(&b, "bytes");
    profile.n_sample_type = VALUES;
    profile.sample_type = types;
    profile.period_type = &period;
    profile.period = 1;
    profile.time_nanos = run->start_wall_ns;
    profile.duration_nanos = run->duration_ns;
    profile.default_sample_type = type[VALUES - 1].type;
    int failed = b.failed || write_profile(&b, &profile, out);
    builder_free(&b);
    return failed ? -1 : 0;
}
