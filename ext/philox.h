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

/* Four independent normal deviates by Box and Muller. */
static inline void philox_normals(philox_words words, double normals[4])
{
    for (int k = 0; k < 4; k += 2) {
        double size = sqrt(-2.0 * log(philox_uniform(words.word[k])));
        double angle = 6.283185307179586476925 * philox_uniform(words.word[k + 1]);
        normals[k] = size * cos(angle), normals[k + 1] = size * sin(angle);
    }
}

#endif
