/* Rule A8 taken at its word: clients in shared objects of their own are deregistered while other
 * threads go on causing alerts for them, and are then really unmapped. A callback that came later,
 * or was still running, would end this process.
 *
 * usage: unload CLIENT.so COPY.so: two files, so that two threads can each load one of their own. */
#include "fixture.h"
#include "unload.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { PATIENCE = 60, ROUNDS = 60, SIDES = 2 }; /* seconds for each life */

static const char *files[SIDES];
static int go_on;
static long unloaded, while_inside;
/* One side's code may come to lie where the other's was. The loader has a lock of its own, which
 * ThreadSanitizer does not see: this one tells it that what was done there before is over. */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static int is_mapped(const char *file)
{
    char line[4096];
    int found = 0;
    const char *name = strrchr(file, '/');
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!CHECK(maps != NULL))
        return 0;
    while (fgets(line, sizeof line, maps) != NULL)
        found |= strstr(line, name != NULL ? name : file) != NULL;
    fclose(maps);
    return found;
}

/* Alerts of all kinds for whoever is there: Join and Prune, new flows, the wrong interface. */
static void *cause_alerts(void *argument)
{
    client *who = *(client **)argument;
    DWORD mine = who == &A ? 1 : 2;
    unsigned n = 0;
    char source[32];
    while (__atomic_load_n(&go_on, __ATOMIC_SEQ_CST)) {
        CHECK_CODE(add(who, "*", G1, mine, JOIN), NO_ERROR);
        snprintf(source, sizeof source, "10.%u.%u.%u", 11 + n % 2, n / 200 % 200, 2 + n % 200);
        n++;
        CHECK_CODE(packet_in(11 + n % 2, source, G1), NO_ERROR);
        CHECK_CODE(packet_in(mine, source, G1), NO_ERROR);
        CHECK_CODE(drop(who, "*", G1, mine, JOIN), NO_ERROR);
    }
    return NULL;
}

static int load(const int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }

/* Lets a callback that is held inside go on once the client is being taken out: its handle is
 * worth nothing from then on. */
typedef struct {
    HANDLE handle;
    unload_shared *shared;
} held_client;

static void *let_go_when_it_leaves(void *argument)
{
    held_client *held = (held_client *)argument;
    HANDLE rows;
    while (MgmGroupEnumerationStart(held->handle, ANY_SOURCE, &rows) == NO_ERROR) {
        MgmGroupEnumerationEnd(rows); /* it may have ended with its client meanwhile */
        sched_yield();
    }
    __atomic_store_n(&held->shared->hold, 0, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Loads, registers, waits until it is called, deregisters and unloads. `hold`: while one of its
 * callbacks is certainly inside; else wherever the others happen to be. */
static void one_life(int side, DWORD round, int hold)
{
    static unload_shared all[SIDES];
    unload_shared *shared = &all[side];
    held_client held;
    pthread_t helper;
    void *code;
    union {
        void *object;
        unload_register_fn function;
    } entry; /* C has no cast from the one to the other */
    HANDLE handle = NULL;
    DWORD mine = 11 + (DWORD)side;
    memset(shared, 0, sizeof *shared);
    pthread_mutex_lock(&loading);
    code = dlopen(files[side], RTLD_NOW | RTLD_LOCAL);
    pthread_mutex_unlock(&loading);
    if (!CHECK(code != NULL)) {
        printf("  %s\n", dlerror());
        return;
    }
    CHECK(is_mapped(files[side]));
    entry.object = dlsym(code, "unload_register");
    if (!CHECK(entry.object != NULL))
        return;
    shared->hold = hold;
    CHECK_CODE(entry.function(shared, round * SIDES + (DWORD)side, &handle), NO_ERROR);
    if (!hold) { /* with an interface it gets RPF questions and WRONG_IF too */
        CHECK_CODE(MgmTakeInterfaceOwnership(handle, mine, 0), NO_ERROR);
        CHECK_CODE(MgmAddGroupMembershipEntry(handle, 0, 0, ip(G1), ALL_ONES, mine, 0, JOIN),
                   NO_ERROR);
    }
    while (load(&shared->calls) == 0)
        sched_yield(); /* the alarm ends what never comes */
    if (hold) {
        held.handle = handle;
        held.shared = shared;
        CHECK_EQ(pthread_create(&helper, NULL, let_go_when_it_leaves, &held), 0);
    } else {
        CHECK_CODE(MgmReleaseInterfaceOwnership(handle, mine, 0), NO_ERROR);
    }
    if (load(&shared->inside) != 0)
        __atomic_add_fetch(&while_inside, 1, __ATOMIC_SEQ_CST);
    CHECK_CODE(MgmDeRegisterMProtocol(handle), NO_ERROR);
    CHECK_EQ(load(&shared->inside), 0);
    if (hold)
        pthread_join(helper, NULL);
    pthread_mutex_lock(&loading);
    CHECK_EQ(dlclose(code), 0);
    pthread_mutex_unlock(&loading);
    CHECK(!is_mapped(files[side]));
    __atomic_add_fetch(&unloaded, 1, __ATOMIC_SEQ_CST);
    alarm(PATIENCE); /* a busy machine makes lives long, and only a fault makes one endless */
}

static void *live_again_and_again(void *argument)
{
    int side = *(int *)argument;
    DWORD round;
    for (round = 0; round < ROUNDS; round++)
        one_life(side, round, round % 4 == 3);
    return NULL;
}

static void a8_code_can_be_unloaded_after_deregistering(void)
{
    static const DWORD on_1[] = {1, 0}, on_2[] = {2, 0};
    client *causes[] = {&A, &B};
    pthread_t alerting[2], living[SIDES];
    int sides[SIDES], n;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    go_on = 1;
    alarm(PATIENCE);
    for (n = 0; n < 2; n++)
        CHECK_EQ(pthread_create(&alerting[n], NULL, cause_alerts, &causes[n]), 0);
    for (n = 0; n < SIDES; n++) {
        sides[n] = n;
        CHECK_EQ(pthread_create(&living[n], NULL, live_again_and_again, &sides[n]), 0);
    }
    for (n = 0; n < SIDES; n++)
        pthread_join(living[n], NULL);
    __atomic_store_n(&go_on, 0, __ATOMIC_SEQ_CST);
    for (n = 0; n < 2; n++)
        pthread_join(alerting[n], NULL);
    alarm(0);
    CHECK_EQ(unloaded, SIDES * ROUNDS);
    CHECK(while_inside >= SIDES * (ROUNDS / 4));
    printf("unloaded %ld times, %ld times while a callback was running\n", unloaded, while_inside);
    stop_host();
}

int main(int argc, char **argv)
{
    if (argc != 1 + SIDES) {
        fprintf(stderr, "usage: unload CLIENT.so COPY.so\n");
        return 2;
    }
    files[0] = argv[1];
    files[1] = argv[2];
    RUN(a8_code_can_be_unloaded_after_deregistering);
    return check_summary();
}
