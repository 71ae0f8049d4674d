/* Threads that wait for work while a run lasts. They spin for some microseconds, then sleep: OpenMP's spin for
 * milliseconds and get in the way of others on a busy machine. None is left when a run returns, so fork() is safe.
 * A share of the work belongs to a rank, not to a thread: the caller takes those that no thread has begun when it is
 * through with its own, so that on a busy machine it waits for nobody who does not run, and the bits are the same. */
#ifndef KERNELFF_MD_TEAM_H
#define KERNELFF_MD_TEAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "md.h"

enum { MD_SPINS = 4000, MD_FEW_ATOMS = 8192 };

typedef void (*md_work)(md_system *, int rank);

typedef struct md_team {
    md_system *system;
    md_work work;
    int n;                           /* threads, the caller included */
    atomic_int turn, left, asleep, stop;
    atomic_int begun[MD_MAX_THREADS]; /* last turn whose share of a rank somebody has begun */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t threads[MD_MAX_THREADS];
    struct { struct md_team *team; int rank; } seats[MD_MAX_THREADS];
} md_team;

static inline void md_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static int md_team_await(md_team *team, int seen)
{
    for (int k = 0; k < MD_SPINS && atomic_load(&team->turn) == seen; k++)
        md_pause();
    if (atomic_load(&team->turn) == seen) {
        pthread_mutex_lock(&team->lock);
        atomic_fetch_add(&team->asleep, 1);
        while (atomic_load(&team->turn) == seen)
            pthread_cond_wait(&team->wake, &team->lock);
        atomic_fetch_sub(&team->asleep, 1);
        pthread_mutex_unlock(&team->lock);
    }
    return atomic_load(&team->turn);
}

/* Do the share of a rank in this turn, unless it is begun already. */
static void md_team_share(md_team *team, int rank, int turn)
{
    int before = turn - 1;
    if (!atomic_compare_exchange_strong(&team->begun[rank], &before, turn))
        return;
    team->work(team->system, rank);
    atomic_fetch_sub(&team->left, 1);
}

static void *md_team_member(void *seat_at)
{
    struct { md_team *team; int rank; } *seat = seat_at;
    md_team *team = seat->team;
    for (int turn = 0;;) {
        turn = md_team_await(team, turn);
        if (atomic_load(&team->stop))
            return NULL;
        md_team_share(team, seat->rank, turn);
    }
}

static void md_team_next(md_team *team)
{
    atomic_store(&team->left, team->n - 1);
    atomic_fetch_add(&team->turn, 1);
    if (atomic_load(&team->asleep)) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_broadcast(&team->wake);
        pthread_mutex_unlock(&team->lock);
    }
}

/* Every rank's share of the work; the caller begins with rank 0. */
static void md_team_run(md_team *team, md_work work)
{
    if (team->n > 1) {
        team->work = work;
        md_team_next(team);
    }
    work(team->system, 0);
    for (int rank = 1; rank < team->n; rank++)
        md_team_share(team, rank, atomic_load(&team->turn));
    for (int k = 0; team->n > 1 && atomic_load(&team->left); k++)
        k < MD_SPINS ? md_pause() : (void)sched_yield();
}

/* The same for work of nanoseconds per atom: with few of them not worth a wait. */
static void md_team_run_light(md_team *team, md_work work)
{
    if (team->system->n > MD_FEW_ATOMS)
        md_team_run(team, work);
    else
        for (int rank = 0; rank < team->n; rank++)
            work(team->system, rank);
}

static void md_team_end(md_team *team)
{
    if (team->n > 1) {
        atomic_store(&team->stop, 1);
        md_team_next(team);
        for (int rank = 1; rank < team->n; rank++)
            pthread_join(team->threads[rank], NULL);
    }
    pthread_mutex_destroy(&team->lock);
    pthread_cond_destroy(&team->wake);
}

static int md_team_begin(md_team *team, md_system *system)
{
    memset(team, 0, sizeof *team);
    team->system = system;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    for (team->n = 1; team->n < system->n_threads; team->n++) {
        team->seats[team->n].team = team, team->seats[team->n].rank = team->n;
        if (pthread_create(&team->threads[team->n], NULL, md_team_member, &team->seats[team->n])) {
            md_team_end(team); /* ranks without a thread would leave their share undone */
            return MD_NO_MEMORY;
        }
    }
    return MD_OK;
}

#endif
