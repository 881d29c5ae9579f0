/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel SDM vol. 3, 18.17.1: CPUID 80000007H EDX bit 8 says that the counter runs at a constant rate in all states. The
 * kernel checks it against other clocks, and leaves it for hpet or acpi_pm when it drifts or differs between sockets.
 */
#include "clock.h"

#include <cpuid.h>
#include <fcntl.h>

#include "raw.h"

bool clock_uses_tsc;

bool clock_tsc_is_sound(void)
{
    unsigned a, b, c, d;
    char source[8] = "";

    if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & 1u << 8))
        return false;
    long fd = raw3(SYS_open, (long)"/sys/devices/system/clocksource/clocksource0/current_clocksource",
                   O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return true;
    raw3(SYS_read, fd, (long)source, sizeof source - 1);
    raw1(SYS_close, fd);
    return source[0] == 't' || source[0] == 'k' || source[0] == 0; /* tsc, kvm-clock, unreadable */
}
