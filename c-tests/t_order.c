/* Rule A7 held against the end: threads change memberships at random, and every client's alerts,
 * played back, give the state that is there. The clients' notes are plain memory: callbacks to one
 * client come one at a time and one after the other, so that they need no lock of their own. */
#include "fixture.h"
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#ifndef MGM_ROUNDS /* fewer under tools that are slow */
#define MGM_ROUNDS 400
#endif

enum {
    PATIENCE = 120, /* seconds until a test that hangs is ended as a failure */
    CLIENTS = 5,    /* each with a thread of its own that changes its memberships */
    GROUPS = 3,     /* 239.4.0.n, joined by (*,G) */
    ROUNDS = MGM_ROUNDS
};

/* The group that carries packets of 10.1.0.2, behind interface 1: the flow's and the sources'. */
#define FLOW_GROUP "239.4.1.1"
/* Joined by (S,G) only. */
#define SOURCE_GROUP "239.4.2.1"

/* What a client's alerts last said; -1 where it had none. */
typedef struct {
    int inside, disorder;
    int wanted[GROUPS]; /* others are members */
    int flow;           /* the entry has outgoing interfaces of others */
    int source;         /* somebody wants 10.1.0.2 in SOURCE_GROUP */
} notes;

static notes told[CLIENTS];
static HANDLE handles[CLIENTS];
static int member[CLIENTS][GROUPS], wants_flow[CLIENTS], wants_source[CLIENTS];

static void tell(int *belief, notes *to, int joined)
{
    if (*belief == joined || (*belief == -1 && !joined && belief != &to->flow))
        to->disorder++; /* Join and Prune come by turns; the flow's entry begins with a Prune */
    *belief = joined;
}

static void alerted(int n, DWORD source, DWORD group, int joined, BOOL membership)
{
    notes *to = &told[n];
    unsigned last = ntohl(group) & 255;
    if (to->inside++ != 0)
        to->disorder++;
    sched_yield();
    if (group == ip(FLOW_GROUP)) {
        if (!membership)
            tell(&to->flow, to, joined);
    } else if (group == ip(SOURCE_GROUP)) {
        if (source == 0 || !membership)
            to->disorder++;
        tell(&to->source, to, joined);
    } else if (membership && source == 0 && last >= 1 && last <= GROUPS) {
        tell(&to->wanted[last - 1], to, joined);
    } else {
        to->disorder++;
    }
    if (--to->inside != 0)
        to->disorder++;
}

#define CALLBACKS(n) \
    static DWORD join_##n(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL member_update) \
    { \
        (void)sm, (void)gm; \
        alerted(n, s, g, 1, member_update); \
        return NO_ERROR; \
    } \
    static DWORD prune_##n(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h, \
                           BOOL member_delete, PDWORD timeout) \
    { \
        (void)sm, (void)gm, (void)i, (void)h, (void)timeout; \
        alerted(n, s, g, 0, member_delete); \
        return NO_ERROR; \
    }
CALLBACKS(0)
CALLBACKS(1)
CALLBACKS(2)
CALLBACKS(3)
CALLBACKS(4)

static const PMGM_JOIN_ALERT_CALLBACK joins[CLIENTS] = {join_0, join_1, join_2, join_3, join_4};
static const PMGM_PRUNE_ALERT_CALLBACK prunes[CLIENTS] = {prune_0, prune_1, prune_2, prune_3,
                                                          prune_4};

static DWORD change(int n, int adds, const char *source, const char *group)
{
    DWORD s = ip(source);
    return (adds ? MgmAddGroupMembershipEntry : MgmDeleteGroupMembershipEntry)(
        handles[n], s, s ? ALL_ONES : 0, ip(group), ALL_ONES, (DWORD)n + 1, 0, JOIN);
}

/* Client 0 owns interface 1, toward the source: its own doings make it no alerts, so it changes
 * only the first groups. */
static void *change_at_random(void *argument)
{
    int n = *(int *)argument, round;
    unsigned seed = (unsigned)n + 1;
    char group[32];
    for (round = 0; round < ROUNDS; round++) {
        unsigned what = (unsigned)rand_r(&seed) % (n == 0 ? GROUPS : GROUPS + 2);
        if (what < GROUPS) {
            snprintf(group, sizeof group, "239.4.0.%u", what + 1);
            member[n][what] = !member[n][what];
            CHECK_CODE(change(n, member[n][what], "*", group), NO_ERROR);
        } else if (what == GROUPS) {
            wants_flow[n] = !wants_flow[n];
            CHECK_CODE(change(n, wants_flow[n], "*", FLOW_GROUP), NO_ERROR);
        } else {
            wants_source[n] = !wants_source[n];
            CHECK_CODE(change(n, wants_source[n], "10.1.0.2", SOURCE_GROUP), NO_ERROR);
        }
        if (round % 16 == 0)
            CHECK_CODE(packet_in(1, "10.1.0.2", FLOW_GROUP), NO_ERROR);
    }
    return NULL;
}

/* What a client was told, where what it was never told is that nobody is there. */
static int known(int belief) { return belief == 1; }

static void a7_each_clients_last_alert_tells_the_state(void)
{
    ROUTING_PROTOCOL_CONFIG config;
    pthread_t threads[CLIENTS];
    int numbers[CLIENTS], n, other, group;
    start_host();
    memset(member, 0, sizeof member);
    for (n = 0; n < CLIENTS; n++) {
        memset(&told[n], -1, sizeof told[n]);
        told[n].inside = told[n].disorder = wants_flow[n] = wants_source[n] = 0;
        memset(&config, 0, sizeof config);
        config.pfnJoinAlertCallback = joins[n];
        config.pfnPruneAlertCallback = prunes[n];
        CHECK_CODE(MgmRegisterMProtocol(&config, 200 + (DWORD)n, 1, &handles[n]), NO_ERROR);
        CHECK_CODE(MgmTakeInterfaceOwnership(handles[n], (DWORD)n + 1, 0), NO_ERROR);
    }
    alarm(PATIENCE);
    for (n = 0; n < CLIENTS; n++) {
        numbers[n] = n;
        CHECK_EQ(pthread_create(&threads[n], NULL, change_at_random, &numbers[n]), 0);
    }
    for (n = 0; n < CLIENTS; n++)
        pthread_join(threads[n], NULL);
    alarm(0);
    for (n = 0; n < CLIENTS; n++) {
        CHECK_EQ(told[n].disorder, 0);
        for (group = 0; group < GROUPS; group++) {
            int others = 0;
            for (other = 0; other < CLIENTS; other++)
                others += other != n && member[other][group];
            if (!CHECK_EQ(known(told[n].wanted[group]), others > 0))
                printf("  client %d, group %d\n", n, group + 1);
        }
    }
    /* Only the owner of the interface toward the source hears of the flow and of the source. */
    for (n = 1, other = 0; n < CLIENTS; n++) {
        CHECK(told[n].flow == -1 && told[n].source == -1);
        other += wants_flow[n];
    }
    CHECK_EQ(known(told[0].flow), other > 0);
    for (n = 1, other = 0; n < CLIENTS; n++)
        other += wants_source[n];
    CHECK_EQ(known(told[0].source), other > 0);
    stop_host();
}

int main(void)
{
    int round;
    for (round = 0; round < 3; round++)
        RUN(a7_each_clients_last_alert_tells_the_state);
    return check_summary();
}
