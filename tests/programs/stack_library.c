/* SPDX-License-Identifier: Apache-2.0 */
/* A library for stack_mix, which loads two of them in turn at one place: compiled with another ROOM, its frames are of another
 * size, and its code is as long. */
#ifndef ROOM
#define ROOM 256
#endif

void call_back(void (*probe)(void), int more);

void call_back(void (*probe)(void), int more)
{
    char room[ROOM];

    __asm__ volatile("" : : "r"(room) : "memory");
    if (more)
        call_back(probe, more - 1);
    else
        probe();
    __asm__ volatile("" : : "r"(room) : "memory");
}

int main(void) { return 0; }
