/* Molecular dynamics of any sum of centre_kernels, in plain C without Python.
 *
 *     md_system s = {...};                     sizes, arrays and settings; what md.c keeps is zero
 *     const md_loops *loops = md_loops_find("avx512");
 *     loops->compute(&s);                      energy, forces, virial of the positions
 *     loops->run(&s, n_steps);                 0, or an md_status with culprits, worst
 *     loops->release(&s);
 *
 * Units: Angstrom, eV, amu, and with them Angstrom sqrt(amu / eV) for time. Vectors of atoms are rows of four numbers,
 * the fourth is not used. Results are the same to the last bit for the same number of threads, for any number to
 * rounding. A step is a list of stages, each the exact or time-reversible solution of a part of the equations of motion.
 */
#ifndef KERNELFF_MD_H
#define KERNELFF_MD_H

#include "centres.h"
#include "uncertainty.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MD_MAX_TERMS = 64, MD_MAX_THREADS = 256, MD_MAX_STAGES = 16, MD_CHAIN = 4 };

typedef enum {
    MD_FORCES,      /* energy, forces and virial at the positions */
    MD_KICK,        /* velocities by forces, and by the motion of the cell */
    MD_DRIFT,       /* positions by velocities, and with the cell */
    MD_NOISE,       /* friction and noise on every atom: Ornstein-Uhlenbeck, exact */
    MD_RESCALE,     /* stochastic velocity rescaling, exact */
    MD_CHAIN_STEP,  /* Nose-Hoover chain of the atoms */
    MD_CELL_KICK,   /* velocity of the cell by the pressure */
    MD_CELL_NOISE,  /* friction and noise on it */
    MD_CELL_CHAIN   /* Nose-Hoover chain of the cell */
} md_stage_kind;

typedef struct {
    int32_t kind;
    double part;                     /* of the time step */
} md_stage;

typedef enum {
    MD_OK,
    MD_NO_MEMORY,
    MD_NOT_FINITE,  /* force of atom culprits[0] */
    MD_FORCE,       /* force of atom culprits[0] above most_force: worst */
    MD_STEP,        /* displacement of atom culprits[0] in one step above most_step: worst */
    MD_CLOSE,       /* culprits[0] and [1] closer than least_distance: worst */
    MD_VOLUME,      /* volume, worst, left least_volume .. most_volume */
    MD_SHAPE,       /* height culprits[0] of the cell changed by more than most_stretch: worst */
    MD_CROWDED,     /* too many atoms and images for the list */
    MD_REST,        /* the caller's own terms failed */
    MD_UNCERTAIN    /* uncertainty of atom culprits[0] above its limit: worst */
} md_status;

typedef struct {
    const centre_kernel *kernel;
    const void *plan;
    double reach;                    /* where pairs are farther apart the term is nothing, of a pair potential; else 0 */
    const centre_kernel *row_kernel; /* for uncertainties: the same kernel, or that of double precision; NULL: no rows */
    const void *row_plan;
    int64_t column;                  /* where the functions of the term begin in a row */
} md_term;

/* A number of every atom (uncertainty.h) in the steps that are multiples of `every`, and before the first. */
typedef struct {
    int64_t every;                   /* 0: never */
    const uncertainty_loops *loops;
    const uncertainty_plan *plan;
    int64_t n_functions;             /* of all terms together */
    int (*ask)(void *context, double *numbers); /* in place of a plan, where a term has no rows; with md_system.context */
    double *numbers;                 /* [n] in the order of the atoms */
    double most;                     /* the run stops above it */
    int64_t done;                    /* step that the numbers are of; < 0: none yet */
    int64_t at;                      /* md.c's own: the step that is under way, and whether it is one of those */
    int now;
} md_uncertainty;

typedef enum { MD_CELL_FIXED, MD_CELL_ISOTROPIC, MD_CELL_ANISOTROPIC, MD_CELL_FLEXIBLE } md_cell_motion;

typedef struct {
    double position[MD_CHAIN], velocity[MD_CHAIN];
} md_chain;

struct md_private;

typedef struct {
    int64_t n;                       /* atoms */
    double *x, *v, *f;               /* [n][4] */
    const double *mass;              /* [n] 0: the atom does not move */
    const int32_t *numbers, *ids;    /* [n] element as the kernels know it; place in the caller's order */
    int32_t *images;                 /* [n][3] cell vectors that were taken from the path of an atom */
    double cell[9];                  /* rows; along directions that are not periodic any vector that spans space */
    int32_t periodic[3], one_element;

    int32_t n_terms, n_threads;
    md_term terms[MD_MAX_TERMS];
    double cutoff, skin;             /* of all terms; the list reaches cutoff + skin */
    /* Terms that have no kernel: add to energy, forces [n][4] and virial [9]; NULL: none. */
    int (*rest)(void *context, double *energy, double *forces, double *virial);
    void *context;

    int32_t n_stages;
    md_stage stages[MD_MAX_STAGES];
    double timestep, kt[2], pressure[2]; /* first and last, linear in between */
    int64_t step, n_ramp;            /* steps done, step at which a ramp ends */
    double freedom;                  /* degrees of freedom of the atoms */
    double friction, relaxation;     /* of MD_NOISE; time of MD_RESCALE and of the chains */
    uint64_t seed;
    md_cell_motion motion;
    double cell_mass, cell_friction, cell_relaxation;
    double rate[9];                  /* symmetric velocity gradient of the cell */
    md_chain chain, cell_chain;
    double heat;                     /* that friction, noise and rescaling have added */

    double most_force, most_step, least_distance, least_volume, most_volume;
    double heights[3], most_stretch; /* of the cell at the start of the run */
    int64_t culprits[2];
    double worst;

    double energy, virial[9], kinetic[9]; /* of the last compute() or run(); kinetic = sum m v v' */
    int64_t n_rebuilds, n_pairs;
    double rebuild_time, force_time; /* s, by the wall clock */
    md_uncertainty uncertainty;
    struct md_private *own;
} md_system;

typedef struct {
    const char *isa;
    int lanes;
    int (*compute)(md_system *);
    int (*run)(md_system *, int64_t n_steps);
    void (*release)(md_system *);
} md_loops;

const md_loops *md_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */
double md_conserved(const md_system *);         /* energy with that of thermostat and barostat */
double md_pressure_now(const md_system *);      /* that the barostat aims at */
double md_kt_now(const md_system *);
double md_volume(const md_system *);
double md_cell_freedom(const md_system *);      /* degrees of freedom */

#ifdef __cplusplus
}
#endif
#endif
