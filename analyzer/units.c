/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit is chosen after rounding to three digits, so that 999,999 bytes are "1.00 MB" and not "1000 kB".
 */
#include "units.h"

#include <math.h>
#include <stdio.h>

struct unit {
    double size;
    const char *name;
};

static double three_digits(double value)
{
    char text[UNITS_MAX];
    double rounded = value;
    snprintf(text, sizeof text, "%.2e", value);
    sscanf(text, "%lf", &rounded);
    return rounded;
}

/* Three digits of a value below 1000; more digits before the point stay. */
static char *put(char *out, double value, const char *name)
{
    double size = fabs(value);
    int decimals = size >= 100 || size == 0 ? 0 : size >= 10 ? 1 : 2;
    snprintf(out, UNITS_MAX, "%.*f%s", decimals, value, name);
    return out;
}

static char *unknown(char *out)
{
    snprintf(out, UNITS_MAX, "-");
    return out;
}

/* The units go from large to small; the smallest takes the rest. */
static char *scaled(char *out, double value, const struct unit *unit, size_t n)
{
    if (!isfinite(value))
        return unknown(out);
    size_t u = 0;
    while (u + 1 < n && three_digits(fabs(value)) < unit[u].size)
        u++;
    double v = value / unit[u].size;
    return put(out, fabs(v) < 1000 ? three_digits(v) : v, unit[u].name);
}

char *units_duration(char *out, double ns)
{
    static const struct unit unit[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    if (fabs(ns) < 1000 && ns == floor(ns)) {
        snprintf(out, UNITS_MAX, "%.0fns", ns);
        return out;
    }
    if (fabs(ns) < 999.5) {
        snprintf(out, UNITS_MAX, "%.3gns", ns);
        return out;
    }
    return scaled(out, ns, unit, sizeof unit / sizeof unit[0]);
}

char *units_clock(char *out, double seconds)
{
    if (!isfinite(seconds) || seconds < 0)
        return unknown(out);
    if (seconds < 99.95) {
        snprintf(out, UNITS_MAX, "%.3g s", seconds);
        return out;
    }
    double minutes = floor(round(seconds) / 60), hours = floor(round(seconds / 60) / 60);
    double days = floor(round(seconds / 3600) / 24);
    if (round(seconds) < 3600)
        snprintf(out, UNITS_MAX, "%.0f min %02.0f s", minutes, round(seconds) - 60 * minutes);
    else if (round(seconds / 60) < 48 * 60)
        snprintf(out, UNITS_MAX, "%.0f h %02.0f min", hours, round(seconds / 60) - 60 * hours);
    else
        snprintf(out, UNITS_MAX, "%.0f d %02.0f h", days, round(seconds / 3600) - 24 * days);
    return out;
}

char *units_bytes(char *out, double bytes)
{
    static const struct unit unit[] = {{1e15, " PB"}, {1e12, " TB"}, {1e9, " GB"}, {1e6, " MB"}, {1e3, " kB"}, {1, " B"}};
    if (isfinite(bytes) && fabs(bytes) < 999.5 && bytes == floor(bytes)) {
        snprintf(out, UNITS_MAX, "%.0f B", bytes);
        return out;
    }
    return scaled(out, bytes, unit, sizeof unit / sizeof unit[0]);
}

char *units_number(char *out, double value)
{
    static const struct unit unit[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1, ""}};
    if (isfinite(value) && fabs(value) < 1e6 && value == floor(value)) {
        snprintf(out, UNITS_MAX, "%.0f", value);
        return out;
    }
    return scaled(out, value, unit, sizeof unit / sizeof unit[0]);
}

char *units_count(char *out, double value)
{
    char digits[UNITS_MAX];
    if (!isfinite(value) || fabs(value) >= 1e18)
        return unknown(out);
    int n = snprintf(digits, sizeof digits, "%.0f", value), o = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0 && digits[i - 1] != '-')
            out[o++] = ' ';
        out[o++] = digits[i];
    }
    out[o] = '\0';
    return out;
}

char *units_percent(char *out, double share)
{
    double percent = share * 100;
    if (!isfinite(share))
        return unknown(out);
    if (percent == floor(percent) || fabs(percent) >= 99.95)
        snprintf(out, UNITS_MAX, "%.0f%%", percent);
    else
        snprintf(out, UNITS_MAX, fabs(percent) < 1 ? "%.2g%%" : "%.3g%%", percent);
    return out;
}
