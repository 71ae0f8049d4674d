/* Baseline part of the uncertainties: packing of matrices, and the choice of instruction set. */
#include "dispatch.h"
#include "uncertainty.h"

#include <stdlib.h>

DISPATCH(uncertainty, uncertainty_loops)

static void *zeros(int64_t n, size_t each)
{
    void *memory = NULL;
    size_t size = (size_t)(n + 1) * each;
    return posix_memalign(&memory, 64, size) ? NULL : memset(memory, 0, size);
}

/* Functions up to the last one that is not 0 in any of the rows. */
static int64_t length_of(int64_t n, int64_t n_rows, const double *T)
{
    int64_t length = 0;
    for (int64_t k = 0; k < n_rows; k++)
        for (int64_t b = length; b < n; b++)
            if (T[k * n + b] != 0.0)
                length = b + 1;
    return length;
}

static void pack(const uncertainty_block *block, int64_t n_rows, const double *T)
{
    for (int64_t k = 0; k < n_rows; k++) {
        int64_t p = k / UNCERTAINTY_PANEL;
        double *to = block->panels + block->begins[p] + k % UNCERTAINTY_PANEL;
        for (int64_t b = 0; b < block->lengths[p]; b++)
            to[b * UNCERTAINTY_PANEL] = T[k * block->n + b];
    }
}

int uncertainty_fill(uncertainty_block *block, int64_t n, const int32_t *columns, int64_t n_rows, const double *T)
{
    int64_t size = 0, n_panels = (n_rows + UNCERTAINTY_PANEL - 1) / UNCERTAINTY_PANEL;
    memset(block, 0, sizeof *block);
    block->n = n, block->n_panels = n_panels;
    block->columns = zeros(n, sizeof(int32_t));
    block->lengths = zeros(n_panels, sizeof(int64_t)), block->begins = zeros(n_panels, sizeof(int64_t));
    if (block->columns && block->lengths && block->begins) {
        for (int64_t p = 0; p < n_panels; p++) {
            int64_t k = p * UNCERTAINTY_PANEL, rest = n_rows - k;
            block->begins[p] = size;
            block->lengths[p] = length_of(n, rest < UNCERTAINTY_PANEL ? rest : UNCERTAINTY_PANEL, T + k * n);
            size += block->lengths[p] * UNCERTAINTY_PANEL;
        }
        block->panels = zeros(size, sizeof(double));
    }
    if (!block->panels) {
        uncertainty_free(block);
        return 1;
    }
    for (int64_t b = 0; b < n; b++)
        block->columns[b] = columns[b];
    pack(block, n_rows, T);
    return 0;
}

void uncertainty_free(uncertainty_block *block)
{
    free(block->columns), free(block->lengths), free(block->begins), free(block->panels);
    memset(block, 0, sizeof *block);
}
