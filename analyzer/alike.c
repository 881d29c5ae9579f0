/* SPDX-License-Identifier: Apache-2.0 */
#include "alike.h"

uint64_t alike_number(const struct process *process, const uint64_t *frames, size_t n)
{
    uint64_t hash = process ? process->serial : 0;
    size_t i = 0;

    while (i < n && process_module(process, frames[i])) {
        hash = (hash ^ frames[i]) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
        i++;
    }
    return i == 0 || i == n ? 0 : hash | 1;
}
