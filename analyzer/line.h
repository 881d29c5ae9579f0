/* SPDX-License-Identifier: Apache-2.0 */
/* A line by least squares, from sums: points can be added one at a time, and the sums of some taken from those of all. Values should be
 * of a range of about 1, so that sums of squares keep their digits. */
#ifndef PERFSHIM_LINE_H
#define PERFSHIM_LINE_H

struct line {
    double n, x, y, xx, xy, yy;
};

static inline struct line line_add(struct line s, double x, double y)
{
    return (struct line){s.n + 1, s.x + x, s.y + y, s.xx + x * x, s.xy + x * y, s.yy + y * y};
}

static inline struct line line_minus(struct line a, struct line b)
{
    return (struct line){a.n - b.n, a.x - b.x, a.y - b.y, a.xx - b.xx, a.xy - b.xy, a.yy - b.yy};
}

/* Of x, squared and summed, about its mean. */
static inline double line_spread(struct line s) { return s.xx - s.x * s.x / s.n; }

static inline double line_slope(struct line s)
{
    double spread = line_spread(s);

    return spread > 0 ? (s.xy - s.x * s.y / s.n) / spread : 0;
}

static inline double line_at(struct line s, double x) { return (s.y + line_slope(s) * (s.n * x - s.x)) / s.n; }

/* Sum of squares that the line does not explain. */
static inline double line_residual(struct line s)
{
    double rest = s.yy - s.y * s.y / s.n - line_slope(s) * (s.xy - s.x * s.y / s.n);

    return rest > 0 ? rest : 0;
}

#endif
