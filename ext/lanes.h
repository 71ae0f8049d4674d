/* Vectors of LANES numbers, for sources that are compiled once per instruction set: doubles, or with SINGLE floats, of
 * which an instruction takes twice as many. */
#ifndef KERNELFF_LANES_H
#define KERNELFF_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

#ifdef SINGLE
typedef float real;
typedef int32_t whole;
#else
typedef double real;
typedef int64_t whole;
#endif
enum { BYTES = LANES * sizeof(real) };

typedef real vec __attribute__((vector_size(BYTES), aligned(BYTES), may_alias));
typedef real uvec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias)); /* unaligned */
typedef whole ivec __attribute__((vector_size(BYTES), aligned(BYTES), may_alias));
#define ZERO ((vec){0})

/* x in all lanes: a load, where ZERO + x would have to turn -0 into 0. */
INLINE vec all_lanes(real x) { return x - ZERO; }

/* x where the condition holds, else 0; conditions are lanes of all ones or all zeros. */
INLINE vec where(ivec condition, vec x) { return (vec)(condition & (ivec)x); }

INLINE vec square_root(vec x)
{
    for (int u = 0; u < LANES; u++)
#ifdef SINGLE
        x[u] = sqrtf(x[u]);
#else
        x[u] = sqrt(x[u]);
#endif
    return x;
}

/* Sum across lanes, as a tree: sums in a row would wait for each other. */
INLINE real total(vec v)
{
    real lane[LANES];
    memcpy(lane, &v, sizeof v);
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int u = 0; u < half; u++)
            lane[u] += lane[u + half];
    return lane[0];
}

#define NUMBERS_2 0, 1
#define NUMBERS_4 NUMBERS_2, 2, 3
#define NUMBERS_8 NUMBERS_4, 4, 5, 6, 7
#define NUMBERS_16 NUMBERS_8, 8, 9, 10, 11, 12, 13, 14, 15

/* Lanes and rows of a square exchanged, by swapping blocks of 1, 2, 4, .. */
INLINE void transpose(vec *a)
{
    const ivec lane = {JOIN(NUMBERS_, LANES)};
#pragma GCC unroll 16
    for (int half = 1; half < LANES; half *= 2) {
        ivec low = lane + (((lane & half) != 0) & (LANES - half)), high = low + half;
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & half)
                continue;
            vec one = a[i], two = a[i + half];
            a[i] = __builtin_shuffle(one, two, low), a[i + half] = __builtin_shuffle(one, two, high);
        }
    }
}

/* Lane u is the sum across lanes of a[u], which is overwritten. */
INLINE vec totals(vec *a)
{
    const ivec lane = {JOIN(NUMBERS_, LANES)};
#pragma GCC unroll 4
    for (int half = 1; half < LANES; half *= 2) {
        ivec low = lane + (((lane & half) != 0) & (LANES - half)), high = low + half;
#pragma GCC unroll 8
        for (int i = 0; i < LANES; i += 2 * half)
            a[i] = __builtin_shuffle(a[i], a[i + half], low) + __builtin_shuffle(a[i], a[i + half], high);
    }
    return a[0];
}

#ifndef SINGLE
/* e^x for x <= 0 to 1 ulp or so: x = n ln 2 + s, |s| <= ln 2 / 2, Taylor series in s, 2^n by its bits. */
INLINE vec exponential(vec x)
{
    const double round = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to a whole number in the low bits */
    ivec low = x < -708.0;
    x = where(~low, x) + where(low, ZERO - 708.0); /* the smallest normal number, in place of 0 */
    vec shifted = x * 1.4426950408889634 + round, n = shifted - round;
    vec s = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10;
    vec p = ZERO + 1.0 / 6227020800.0;
    static const double factorials[12] = {479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0,
                                          720.0,       120.0,      24.0,      6.0,      2.0,     1.0};
#pragma GCC unroll 12
    for (int k = 0; k < 12; k++)
        p = p * s + 1.0 / factorials[k];
    p = p * s + 1.0;
    ivec power = ((ivec)shifted << 52) + (INT64_C(1023) << 52);
    return p * (vec)power;
}
#endif

#endif
