/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program file is, as far as it decides whether the shim can record it. Facts only, read from the file; nothing is run.
 */
#ifndef PERFSHIM_PROGRAM_H
#define PERFSHIM_PROGRAM_H

#include <stdbool.h>

#include "error.h"

#define PROGRAM_INTERPRETER_BYTES 256

struct program {
    bool script;       /* "#!": only interpreter and argument are told */
    bool elf;
    bool x86_64;       /* 64-bit code for x86-64 */
    bool executable;   /* a program, no object file or core */
    bool linker;       /* the dynamic linker itself */
    char interpreter[PROGRAM_INTERPRETER_BYTES]; /* of "#!" or PT_INTERP; "" if there is none */
    char argument[PROGRAM_INTERPRETER_BYTES];    /* behind the interpreter of "#!" */
    bool set_user, set_group, capabilities;
    bool go;
    bool defines_malloc;
    bool has_allocator;                /* jemalloc, mimalloc or tcmalloc inside, under names of their own */
    bool defines_tls;                  /* SSL_read or gnutls_record_recv is inside */
};

/* 0 and *p, or -1 with *e if the file cannot be read. */
int program_read(struct program *p, const char *path, struct error *e);

#endif
