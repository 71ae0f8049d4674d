/* Random numbers from counters, Philox4x32-10: J. K. Salmon et al., Proc. SC11, 16 (2011), doi:10.1145/2063384.2063405.
 * The numbers of a step follow from seed, step and place alone, so that a run needs no state of a generator. */
#ifndef KERNELFF_PHILOX_H
#define KERNELFF_PHILOX_H

#include <math.h>
#include <stdint.h>

typedef struct {
    uint32_t word[4];
} philox_words;

static inline philox_words philox(uint64_t seed, uint64_t step, uint32_t place, uint32_t stream)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    philox_words c = {{place, stream, (uint32_t)step, (uint32_t)(step >> 32)}};
    for (int round = 0; round < 10; round++) {
        uint64_t one = (uint64_t)0xD2511F53u * c.word[0], two = (uint64_t)0xCD9E8D57u * c.word[2];
        philox_words next = {{(uint32_t)(two >> 32) ^ c.word[1] ^ key0, (uint32_t)two,
                              (uint32_t)(one >> 32) ^ c.word[3] ^ key1, (uint32_t)one}};
        c = next;
        key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
    }
    return c;
}

static inline double philox_uniform(uint32_t word) { return (word + 0.5) * 0x1p-32; } /* never 0, never 1 */

/* log x of 0 < x < 1, to 1e-14: x = 2^e m with m near 1, series of artanh((m - 1) / (m + 1)). */
static inline double philox_log(double x)
{
    union { double x; uint64_t bits; } u = {x};
    uint64_t bits = u.bits + (UINT64_C(0x3FF0000000000000) - UINT64_C(0x3FE6A09E667F3BCD));
    double e = (double)(int32_t)(bits >> 52) - 1023.0;
    u.bits = (bits & UINT64_C(0x000FFFFFFFFFFFFF)) + UINT64_C(0x3FE6A09E667F3BCD);
    double t = (u.x - 1.0) / (u.x + 1.0), q = t * t;
    double p = 1.0 / 7 + q * (1.0 / 9 + q * (1.0 / 11 + q * (1.0 / 13 + q * (1.0 / 15 + q * (1.0 / 17)))));
    return e * 0.69314718055994530942 + 2.0 * t * (1.0 + q * (1.0 / 3 + q * (1.0 / 5 + q * p)));
}

/* cos and sin of 2 pi x, 0 <= x <= 1, to 1e-12. */
static inline void philox_turn(double x, double *cosine, double *sine)
{
    int32_t quarter = (int32_t)(4.0 * x + 0.5);
    double f = (4.0 * x - quarter) * 1.57079632679489661923, q = f * f;
    double s = f * (1 + q * (-1.0 / 6 + q * (1.0 / 120 + q * (-1.0 / 5040 + q * (1.0 / 362880 + q * (-1.0 / 39916800))))));
    double c = 1 + q * (-1.0 / 2 + q * (1.0 / 24 + q * (-1.0 / 720 + q * (1.0 / 40320 + q * (-1.0 / 3628800 + q / 479001600)))));
    double one = quarter & 1 ? s : c, two = quarter & 1 ? c : s;
    *cosine = (quarter + 1) & 2 ? -one : one;
    *sine = quarter & 2 ? -two : two;
}

/* Four independent normal deviates by Box and Muller. */
static inline void philox_normals(philox_words words, double normals[4])
{
    for (int k = 0; k < 4; k += 2) {
        double size = sqrt(-2.0 * philox_log(philox_uniform(words.word[k])));
        philox_turn(philox_uniform(words.word[k + 1]), &normals[k], &normals[k + 1]);
        normals[k] *= size, normals[k + 1] *= size;
    }
}

enum { PHILOX_BATCH = 16 };

/* Three of them for each of PHILOX_BATCH places: without branches and calls, so that the compiler makes vectors of it. */
static inline void philox_batch(uint64_t seed, uint64_t step, const int32_t *places, uint32_t stream,
                                double normals[3][PHILOX_BATCH])
{
    for (int u = 0; u < PHILOX_BATCH; u++) {
        philox_words words = philox(seed, step, (uint32_t)places[u], stream);
        double four[4];
        philox_normals(words, four);
        normals[0][u] = four[0], normals[1][u] = four[1], normals[2][u] = four[2];
    }
}

#endif
