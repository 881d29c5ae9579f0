/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kaplan and Meier, "Nonparametric estimation from incomplete observations", Journal of the American Statistical Association 53, 1958,
 * by classes of age, in which what is censored counts as half at risk (the life table: Cutler and Ederer 1958). The age of an object
 * that is live at the end is where it is censored: so objects allocated late weigh for what they tell, and no more.
 *
 * The curve's last value is what counts: it falls no more behind the oldest age at which anything was freed. In the class of that age
 * nothing that is censored counts, as it is younger. The variance is Greenwood's (1926). The interval is Wilson's for a share of as
 * many independent objects as have that variance (Rothman, Journal of Chronic Diseases 31, 1978), so it stays within 0 and 1, and
 * says something where nothing was ever freed.
 */
#include "survival.h"

#include <math.h>

#define ROUNDING 1e-9 /* sums of weights depend on their order by less than that */

#define Z95 1.959963985

/* Wilson's interval for a share of n. */
static struct survival interval(double share, double n)
{
    double z2 = Z95 * Z95, middle = (share + z2 / (2 * n)) / (1 + z2 / n);
    double half = Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n);

    return (struct survival){share, fmax(0, fmin(share, middle - half)), fmin(1, fmax(share, middle + half))};
}

struct survival survival_of(const struct survival_ages *freed, const struct survival_live *live, double weight)
{
    double risk = live->beyond, share = 1, greenwood = 0;
    unsigned last = 0;

    for (unsigned k = 0; k < SURVIVAL_AGES; k++) {
        risk += freed->count[k] + live->ages.count[k];
        last = freed->count[k] > 0 ? k : last;
    }
    double exposed = risk;
    if (!(risk > 0) || isinf(risk))
        return (struct survival){NAN, NAN, NAN};
    for (unsigned k = 0; k <= last; k++) {
        double deaths = freed->count[k], censored = live->ages.count[k];
        if (deaths > 0)
            exposed = risk - (k == last ? censored : censored / 2);
        if (deaths > 0 && deaths < exposed * (1 - ROUNDING)) {
            share *= 1 - deaths / exposed;
            greenwood += deaths / (exposed * (exposed - deaths));
        } else if (deaths > 0) {
            share = 0;
        }
        risk = fmax(0, risk - deaths - censored);
    }
    double variance = share * share * greenwood * weight;
    double n = variance > 0 && share < 1 ? share * (1 - share) / variance : exposed / weight;
    return interval(share, fmax(n, 1e-9));
}
