/* What the README and the manual tell authors of protocols beside the rules: each sentence with what it
 * says happening. */
#include "fixture.h"
#include <pthread.h>
#include <unistd.h>

static const DWORD on_1[] = {1, 0};
static const DWORD on_2[] = {2, 0};
static const DWORD on_2_3[] = {2, 3, 0};
static const DWORD on_none[] = {0};

/* "IGMP's FORWARD flag is accepted and means nothing where a routing protocol owns the interface." */
static void igmps_forward_flag_beside_an_owner(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    enrol_with(&IGMP, on_2);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "3");
    CHECK_CODE(add(&IGMP, "*", G1, 2, FORWARD), NO_ERROR); /* puts nothing in */
    CHECK_OIFS(S1, G1, "3");
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN | FORWARD), NO_ERROR); /* as JOIN alone */
    CHECK_OIFS(S1, G1, "2 3");
    CHECK_CODE(drop(&IGMP, "*", G1, 2, FORWARD), NO_ERROR); /* takes nothing out */
    CHECK_OIFS(S1, G1, "2 3");
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN | FORWARD), NO_ERROR);
    CHECK_OIFS(S1, G1, "3");
    stop_host();
}

/* "What a callback writes through pbRoute is not read." */
static DWORD scribble(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index,
                      PDWORD next_hop, PDWORD upstream, DWORD size, PBYTE header, PBYTE route)
{
    RTM_DEST_INFO *info = (RTM_DEST_INFO *)(void *)route;
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    (void)upstream;
    memset(header, 0xee, size);
    RTM_IPV4_SET_ADDR_AND_LEN(&info->DestAddress, inet_addr("172.16.0.0"), 12);
    info->BelongsToViews = RTM_VIEW_MASK_UCAST;
    info->ViewInfo[0].NumRoutes = 7;
    return NO_ERROR;
}

static void what_is_written_through_pbroute(void)
{
    MIB_IPMCAST_MFE before, after;
    start_host();
    enrol_with(&A, on_1);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK(mfe_of(S1, G1, &before));
    stop_host();
    start_host();
    A.config.pfnRpfCallback = scribble;
    enrol_with(&A, on_1);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK(mfe_of(S1, G1, &after));
    CHECK(after.dwRouteNetwork == before.dwRouteNetwork && after.dwRouteMask == before.dwRouteMask);
    CHECK(after.dwRouteProtocol == before.dwRouteProtocol && after.dwInIfIndex == 1);
    CHECK(after.dwUpStrmNgbr == ip(S1) && after.dwSource == ip(S1));
    stop_host();
}

/* "ulUpTime goes on past ulTimeOut": the age is that of the entry, which is made anew in place. */
static void the_age_goes_on_past_the_lifetime(void)
{
    MIB_IPMCAST_MFE mfe;
    int n;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    for (n = 0; n < 20; n++) {
        CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
        CHECK_CODE(later(100), NO_ERROR);
    }
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.ulUpTime, 2000);
    CHECK_EQ(mfe.ulTimeOut, 900);
    stop_host();
}

/* "The packets that a negative entry drops count in ulInPkts." */
static void packets_that_a_negative_entry_drops(void)
{
    MIB_IPMCAST_MFE key;
    MIB_IPMCAST_MFE_STATS stats;
    DWORD size = SIZEOF_BASIC_MIB_MFE_STATS;
    int n;
    start_host();
    enrol_with(&A, on_1);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "");
    for (n = 0; n < 3; n++)
        CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_SENT("");
    memset(&key, 0, sizeof key);
    key.dwSource = ip(S1);
    key.dwGroup = ip(G1);
    memset(&stats, 0, sizeof stats);
    CHECK_CODE(MgmGetMfeStats(&key, &size, (PBYTE)&stats, MGM_MFE_STATS_0), NO_ERROR);
    CHECK_EQ(stats.ulNumOutIf, 0);
    CHECK_EQ(stats.ulInPkts, 4);
    CHECK_EQ(stats.ulInOctets, 4 * PACKET_SIZE);
    stop_host();
}

/* "Other clients hear of IGMP's members on an owned interface when the owner adds them too." */
static void alerts_come_when_the_owner_adds_too(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    enrol_with(&IGMP, on_2);
    forget_all();
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "");
    CHECK_LINES(B, "LOCAL_JOIN (*,239.1.1.1) if 2\n");
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "JOIN (*,239.1.1.1) member\n");
    /* And they end with the owner's. */
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "");
    CHECK_CODE(drop(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "PRUNE (*,239.1.1.1) if 2 member\n");
    stop_host();
}

/* "A member that comes later raises no creation alert. An owner that does not want it on its interface
 * deletes with FORWARD in its local-join callback." */
static void prune_local_members(client *who, callback_kind kind, DWORD index)
{
    if (kind == ON_LOCAL_JOIN)
        CHECK_CODE(drop(who, "*", G1, index, FORWARD), NO_ERROR);
}

static void a_late_member_raises_no_creation_alert(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    enrol_with(&IGMP, on_2_3);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_LINES(B, "CREATE (10.1.0.2,239.1.1.1) iif 1 oifs 3+igmp\n");
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(B, "LOCAL_JOIN (*,239.1.1.1) if 2\n"); /* and no CREATE */
    CHECK_OIFS(S1, G1, "2 3");
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    forget_all();

    B.hook = prune_local_members;
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(B, "LOCAL_JOIN (*,239.1.1.1) if 2\n");
    CHECK_OIFS(S1, G1, "3");
    CHECK_SENT("");
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_SENT("3 (10.1.0.2,239.1.1.1)\n");
    stop_host();
}

/* "Alerts are not given again to a client that registers later: it enumerates." */
static void alerts_are_not_given_again(void)
{
    SOURCE_GROUP_ENTRY row[4];
    DWORD size = sizeof row, count = 0;
    HANDLE rows = NULL;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    enrol_with(&C, on_none);
    CHECK_CODE(take(&C, 7), NO_ERROR);
    CHECK_LINES(C, "");
    CHECK_CODE(MgmGroupEnumerationStart(C.handle, ALL_SOURCES, &rows), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, (PBYTE)row, &count), ERROR_NO_MORE_ITEMS);
    CHECK(count == 1 && row[0].dwGroupAddr == ip(G1) && row[0].dwSourceAddr == 0);
    /* What changes after its registration it hears of: no change falls between the two. */
    CHECK_CODE(add(&B, "*", G2, 2, JOIN), NO_ERROR);
    CHECK_LINES(C, "JOIN (*,239.1.1.2) member\n");
    CHECK_CODE(MgmGroupEnumerationEnd(rows), NO_ERROR);
    stop_host();
}

/* ---- "pfnLog may run on several threads at once" ----------------------------------------------- */

static int inside_log, most_inside, may_log, logs_over;
static pthread_barrier_t both;

static void slow_log(PVOID context, DWORD level, const char *message)
{
    int now;
    (void)context, (void)level, (void)message;
    if (!__atomic_load_n(&may_log, __ATOMIC_SEQ_CST))
        return;
    now = __atomic_add_fetch(&inside_log, 1, __ATOMIC_SEQ_CST);
    if (now > most_inside)
        most_inside = now;
    pthread_barrier_wait(&both); /* until the other thread is in here, too: an alarm ends a wait in vain */
    __atomic_sub_fetch(&inside_log, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&logs_over, 1, __ATOMIC_SEQ_CST);
}

static void *log_once(void *unused)
{
    CHECK_CODE(MgmTakeInterfaceOwnership(NULL, 1, 0), ERROR_INVALID_PARAMETER);
    return unused;
}

/* A client process logs what its own calls get wrong itself, to standard error. */
static void the_log_function_runs_on_several_threads_at_once(void)
{
    MGM_HOST_CONFIG config;
    pthread_t other;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwLogLevel = MGM_LOG_ERROR;
    config.pfnLog = slow_log;
    CHECK(pthread_barrier_init(&both, NULL, 2) == 0);
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    __atomic_store_n(&may_log, 1, __ATOMIC_SEQ_CST);
    CHECK(pthread_create(&other, NULL, log_once, NULL) == 0);
    log_once(NULL);
    pthread_join(other, NULL);
    CHECK(most_inside == 2 && logs_over == 2);
    __atomic_store_n(&may_log, 0, __ATOMIC_SEQ_CST);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    pthread_barrier_destroy(&both);
}

int main(void)
{
    alarm(120);
    RUN(igmps_forward_flag_beside_an_owner);
    RUN(what_is_written_through_pbroute);
    RUN(the_age_goes_on_past_the_lifetime);
    RUN(packets_that_a_negative_entry_drops);
    RUN(alerts_come_when_the_owner_adds_too);
    RUN(a_late_member_raises_no_creation_alert);
    RUN(alerts_are_not_given_again);
    RUN_IN_ONE_PROCESS(the_log_function_runs_on_several_threads_at_once);
    return check_summary();
}
