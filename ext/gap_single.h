/* Products of the GAP kernel in single precision, for sets that gap_set_split() has split.
 *
 * Weights of sparse points are large and cancel, and so would the rounding of float32. But spectra differ by little, and
 * along few directions v_k: with a_sk = x_s.v_k and what is left of x_s, r_s = x_s - sum_k a_sk v_k,
 *
 *     q.x_s = sum_k (q.v_k) a_sk + q.r_s        de/dq = sum_k v_k sum_s S_s a_sk + sum_s S0_s r_s + sum_s (S_s - S0_s) r_s
 *
 * where S_s = de/d(q.x_s) and S0_s is that of the mean sparse point. Only q.r_s and the last sum are float32, powers and
 * the rest float64. Twice as many centres as elsewhere are in a tile of float32: two groups, `half` 0 and 1.
 */
#ifndef KERNELFF_GAP_SINGLE_H
#define KERNELFF_GAP_SINGLE_H

enum {
    BOTH = 2 * GROUP,
    FLUSH = 4 /* blocks whose sums stay in float32 */
};

typedef float half_vec __attribute__((vector_size(LANES * sizeof(float)), aligned(LANES * sizeof(float)), may_alias));
#define WIDER(x) __builtin_convertvector(x, vec)
#define NARROWER(x) __builtin_convertvector(x, half_vec)

typedef struct {
    float *Q, *K, *G; /* [n_features][BOTH] what the directions leave, [BLOCK][BOTH], [n_features][BOTH] */
    double *B, *D;    /* [2][n_lead][GROUP] q.v_k, de/d(q.v_k) */
    double *S;        /* [2][BLOCK][GROUP] */
} split_scratch;

static void layout_split(split_scratch *s, char **at, int64_t n_features, int64_t n_lead)
{
    int64_t f = sizeof(float), d = sizeof(double);
    s->Q = carve(at, n_features * BOTH, f), s->K = carve(at, BLOCK * BOTH, f), s->G = carve(at, n_features * BOTH, f);
    s->B = carve(at, n_lead * BOTH, d), s->D = carve(at, n_lead * BOTH, d), s->S = carve(at, BLOCK * BOTH, d);
}

/* Largest number of directions of the sets, 0: none is split. */
static int64_t most_lead(const gap_plan *plan)
{
    int64_t most = 0;
    for (int k = 0; k < plan->n_sets; k++)
        most = plan->sets[k].n_lead > most ? plan->sets[k].n_lead : most;
    return most;
}

/* s->B and s->Q of one half with n > 0 centres; `other` [n_features][GROUP] is overwritten. */
static void take_apart(const gap_set *set, int64_t n_features, int64_t n, int half, const double *Q, double *other,
                       split_scratch *s)
{
    double *B = s->B + half * set->n_lead * GROUP;
    values_of(n, set->n_lead / GAP_PANEL, n_features, set->directions, Q, B);
    slopes_of(n, set->n_lead / GAP_PANEL, n_features, set->directions, B, other, 0);
    for (int64_t f = 0; f < n_features; f++)
        for (int64_t v = 0; v < n && v < GROUP; v += LANES) {
            vec left = *(const vec *)(Q + f * GROUP + v) - *(const vec *)(other + f * GROUP + v);
            *(half_vec *)(s->Q + f * BOTH + half * GROUP + v) = NARROWER(left);
        }
}

/* G [n_features][GROUP] = sum_s S0_s r_s. */
static void begin_slopes(const gap_set *set, int64_t n_features, double *G)
{
    for (int64_t f = 0; f < n_features; f++)
        for (int v = 0; v < GROUP; v += LANES)
            *(vec *)(G + f * GROUP + v) = ZERO + set->constant[f];
}

/* K and S of one half -> S - S0 and S in place; e += w k^zeta. */
INLINE void weigh_split(const int wide, const int whole, double zeta, int64_t n_rows, const double *w,
                        const double *usual, float *K, double *S, vec *e)
{
    for (int64_t s = 0; s < n_rows; s++, K += BOTH, S += GROUP)
#pragma GCC unroll 3
        for (int v = 0; v < wide; v++) {
            half_vec *left = (half_vec *)(K + v * LANES);
            vec k = *(vec *)(S + v * LANES) + WIDER(*left), slope = w[s] * power_below(k, whole, zeta);
            e[v] += slope * k;
            slope *= zeta;
            *(vec *)(S + v * LANES) = slope;
            *left = NARROWER(slope - usual[s]);
        }
}

static void weigh_half(int64_t n, double zeta, int64_t n_rows, const double *w, const double *usual, float *K, double *S,
                       vec *e)
{
    int whole = whole_of(zeta);
#define CASE(z) \
    if (n > 2 * LANES && whole == z) { \
        weigh_split(WIDE, z, zeta, n_rows, w, usual, K, S, e); \
        return; \
    }
    CASE(2) CASE(3) CASE(4)
#undef CASE
    weigh_split(n > 2 * LANES ? 3 : n > LANES ? 2 : 1, whole, zeta, n_rows, w, usual, K, S, e);
}

/* One block of panels for both halves; n[half] centres in each. */
static void split_block(const gap_set *set, int64_t n_features, int64_t p, const int64_t n[2], split_scratch *s, vec *e)
{
    int64_t count = set->n_panels - p < PANELS ? set->n_panels - p : PANELS, n_lead = set->n_lead;
    const double *lead = set->lead + p * n_lead * GAP_PANEL, *w = set->weights + p * GAP_PANEL;
    const float *rest = set->rest + p * n_features * GAP_PANEL;
    values_of_single(n[0] + n[1], count, n_features, rest, s->Q, s->K);
    for (int half = 0; half < 2 && n[half] > 0; half++) {
        double *S = s->S + half * BLOCK * GROUP;
        values_of(n[half], count, n_lead, lead, s->B + half * n_lead * GROUP, S);
        weigh_half(n[half], set->zeta, count * GAP_PANEL, w, set->usual + p * GAP_PANEL, s->K + half * GROUP, S,
                   e + half * WIDE);
        slopes_of(n[half], count, n_lead, lead, S, s->D + half * n_lead * GROUP, p > 0);
    }
    slopes_of_single(n[0] + n[1], count, n_features, rest, s->K, s->G, p / PANELS % FLUSH > 0);
}

static void flush(int64_t n_features, int64_t n, const float *from, double *G)
{
    for (int64_t f = 0; f < n_features; f++)
        for (int64_t v = 0; v < n && v < GROUP; v += LANES)
            *(vec *)(G + f * GROUP + v) += WIDER(*(const half_vec *)(from + f * BOTH + v));
}

/* products() for a set that is split. */
static void split_products(const gap_set *set, int64_t n_features, int64_t n_centres, const double *Q, split_scratch *s,
                           double *G, vec *e)
{
    int64_t size = n_features * GROUP;
    for (int64_t g = 0; g * GROUP < n_centres; g += 2) {
        int64_t left = n_centres - g * GROUP, n[2] = {left < GROUP ? left : GROUP, left - GROUP};
        n[1] = n[1] < 0 ? 0 : n[1] < GROUP ? n[1] : GROUP;
        for (int v = 0; v < WIDE * (n[1] ? 2 : 1); v++)
            e[g * WIDE + v] = ZERO;
        for (int half = 0; half < 2 && n[half] > 0; half++) {
            take_apart(set, n_features, n[half], half, Q + (g + half) * size, G + (g + half) * size, s);
            begin_slopes(set, n_features, G + (g + half) * size);
        }
        for (int64_t p = 0; p < set->n_panels; p += PANELS) {
            split_block(set, n_features, p, n, s, e + g * WIDE);
            if (p / PANELS % FLUSH == FLUSH - 1 || p + PANELS >= set->n_panels)
                for (int half = 0; half < 2 && n[half] > 0; half++)
                    flush(n_features, n[half], s->G + half * GROUP, G + (g + half) * size);
        }
        for (int half = 0; half < 2 && n[half] > 0; half++)
            slopes_of(n[half], set->n_lead / GAP_PANEL, n_features, set->directions, s->D + half * set->n_lead * GROUP,
                      G + (g + half) * size, 1);
    }
}

#endif
