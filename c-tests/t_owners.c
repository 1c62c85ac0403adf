/* Which interfaces a plane of the host's own has while IGMP leaves and an owner comes.
 * apart: no, the functions of a plane stay in the host. */
#include <mgm_host.h>

#include "check.h"
#include <string.h>

static char calls[200]; /* what the plane was asked to do, a line each */
static HANDLE owner, igmps[2];
static HANDLE leaves;   /* IGMP that releases 7 when the host's clock is read next */
static int enabled;     /* how often ENABLE_IGMP came */

static void note(const char *what, DWORD index)
{
    char line[32];
    snprintf(line, sizeof line, "%s %u\n", what, (unsigned)index);
    strncat(calls, line, sizeof calls - strlen(calls) - 1);
}

static DWORD add_interface(PVOID context, DWORD index, DWORD next_hop)
{
    CHECK(context == NULL && next_hop == 0);
    note("add", index);
    return NO_ERROR;
}

static void remove_interface(PVOID context, DWORD index, DWORD next_hop)
{
    CHECK(context == NULL && next_hop == 0);
    note("remove", index);
}

static DWORD set_mfe(PVOID context, DWORD source, DWORD group, DWORD in, DWORD in_hop, DWORD count,
                     const MIB_IPMCAST_OIF *out)
{
    (void)context, (void)source, (void)group, (void)in, (void)in_hop, (void)count, (void)out;
    return NO_ERROR;
}

static DWORD delete_mfe(PVOID context, DWORD source, DWORD group)
{
    (void)context, (void)source, (void)group;
    return NO_ERROR;
}

/* Nothing is locked here: it may call the library. */
static ULONGLONG clock_read(PVOID context)
{
    HANDLE igmp = leaves;
    (void)context;
    leaves = NULL;
    if (igmp != NULL)
        CHECK_CODE(MgmReleaseInterfaceOwnership(igmp, 7, 0), NO_ERROR);
    return 1000;
}

/* (*,*) */
static DWORD join(HANDLE who, DWORD index)
{
    return MgmAddGroupMembershipEntry(who, 0, 0, 0, 0, index, 0, MGM_JOIN_STATE_FLAG);
}

static DWORD leave(HANDLE who, DWORD index)
{
    return MgmDeleteGroupMembershipEntry(who, 0, 0, 0, 0, index, 0, MGM_JOIN_STATE_FLAG);
}

static DWORD leave_it(DWORD index, DWORD next_hop)
{
    CHECK_CODE(MgmReleaseInterfaceOwnership(igmps[0], index, next_hop), NO_ERROR);
    return NO_ERROR;
}

static DWORD leave_it_to_the_other(DWORD index, DWORD next_hop)
{
    leave_it(index, next_hop);
    CHECK_CODE(MgmTakeInterfaceOwnership(igmps[1], index, next_hop), NO_ERROR);
    CHECK_CODE(join(igmps[1], index), ERROR_CAN_NOT_COMPLETE);
    return NO_ERROR;
}

static DWORD join_again(DWORD index, DWORD next_hop)
{
    CHECK(next_hop == 0);
    enabled++;
    CHECK_CODE(join(igmps[1], index), NO_ERROR);
    return NO_ERROR;
}

/* What the plane was asked since the last time. */
static void expect_calls(const char *expected)
{
    CHECK_TEXT(calls, expected);
    calls[0] = 0;
}

/* The first of two IGMPs is on interface 7, and calls this when it is disabled. */
static void start(PMGM_DISABLE_IGMP_CALLBACK disable)
{
    MGM_HOST_FORWARDER table;
    MGM_HOST_CONFIG config;
    ROUTING_PROTOCOL_CONFIG callbacks;
    memset(&table, 0, sizeof table);
    table.dwSize = (DWORD)sizeof table;
    table.pfnAddInterface = add_interface;
    table.pfnRemoveInterface = remove_interface;
    table.pfnSetMfe = set_mfe;
    table.pfnDeleteMfe = delete_mfe;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwForwarder = MGM_FORWARDER_CUSTOM;
    config.dwLogLevel = MGM_LOG_OFF;
    config.pfnClock = clock_read;
    config.pForwarder = &table;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    memset(&callbacks, 0, sizeof callbacks);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 100, 1, &owner), NO_ERROR);
    callbacks.pfnDisableIgmpCallback = disable;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, MS_IP_IGMP, 1, &igmps[0]), NO_ERROR);
    callbacks.pfnDisableIgmpCallback = NULL;
    callbacks.pfnEnableIgmpCallback = join_again;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, MS_IP_IGMP, 2, &igmps[1]), NO_ERROR);
    calls[0] = 0;
    CHECK_CODE(MgmTakeInterfaceOwnership(igmps[0], 7, 0), NO_ERROR);
    expect_calls("add 7\n");
}

/* Between the look at the interface and the take: the plane has given it up. */
static void igmp_leaves_before_the_take(void)
{
    start(NULL);
    leaves = igmps[0];
    CHECK_CODE(MgmTakeInterfaceOwnership(owner, 7, 0), NO_ERROR);
    expect_calls("remove 7\nadd 7\n");
    CHECK_CODE(MgmReleaseInterfaceOwnership(owner, 7, 0), NO_ERROR);
    expect_calls("remove 7\n");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* The plane keeps the interface. */
static void c3_igmp_leaves_while_it_is_told(void)
{
    start(leave_it);
    CHECK_CODE(MgmTakeInterfaceOwnership(owner, 7, 0), NO_ERROR);
    CHECK_CODE(join(owner, 7), NO_ERROR);
    expect_calls("");
    CHECK_CODE(MgmReleaseInterfaceOwnership(owner, 7, 0), NO_ERROR);
    expect_calls("remove 7\n");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* The plane keeps the interface, and whoever is there afterwards is enabled. */
static void c3_another_igmp_comes_while_the_first_is_told(void)
{
    start(leave_it_to_the_other);
    enabled = 0;
    CHECK_CODE(MgmTakeInterfaceOwnership(owner, 7, 0), NO_ERROR);
    CHECK_EQ(enabled, 1);
    CHECK_CODE(leave(igmps[1], 7), NO_ERROR);
    CHECK_CODE(MgmReleaseInterfaceOwnership(igmps[1], 7, 0), NO_ERROR);
    expect_calls("");
    CHECK_CODE(MgmReleaseInterfaceOwnership(owner, 7, 0), NO_ERROR);
    expect_calls("remove 7\n");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

int main(void)
{
    RUN(igmp_leaves_before_the_take);
    RUN(c3_igmp_leaves_while_it_is_told);
    RUN(c3_another_igmp_comes_while_the_first_is_told);
    return check_summary();
}
