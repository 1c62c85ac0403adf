/* The end of a run, and what is called from inside the host's own functions: nothing waits for
 * ever, and what the host gave may be unloaded when MgmHostStop has returned. */
#include "check.h"
#include "mgm_host.h"
#include <pthread.h>
#include <unistd.h>

#define ALL_ONES 0xffffffffu

enum { PATIENCE = 120 }; /* seconds until a test that hangs is ended as a failure */

static HANDLE a, b; /* two routing protocols: a owns 1 and 2, b owns 3 */

static DWORD ip(int o1, int o2, int o3, int o4)
{
    BYTE octets[4];
    DWORD address;
    octets[0] = (BYTE)o1, octets[1] = (BYTE)o2, octets[2] = (BYTE)o3, octets[3] = (BYTE)o4;
    memcpy(&address, octets, sizeof address);
    return address;
}

static MGM_HOST_CONFIG plain_config(void)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwLogLevel = MGM_LOG_OFF;
    return config;
}

static void enrol(HANDLE *who, DWORD protocol, PMGM_JOIN_ALERT_CALLBACK join)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnJoinAlertCallback = join;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, protocol, 1, who), NO_ERROR);
}

static void start(const MGM_HOST_CONFIG *config, PMGM_JOIN_ALERT_CALLBACK joins_of_a,
                  PMGM_JOIN_ALERT_CALLBACK joins_of_b)
{
    alarm(PATIENCE);
    CHECK_CODE(MgmHostStart(config), NO_ERROR);
    enrol(&a, 100, joins_of_a);
    enrol(&b, 200, joins_of_b);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 2, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(b, 3, 0), NO_ERROR);
}

static DWORD join(HANDLE who, int last, DWORD index)
{
    return MgmAddGroupMembershipEntry(who, 0, 0, ip(239, 1, 1, last), ALL_ONES, index, 0,
                                      MGM_JOIN_STATE_FLAG);
}

/* A packet of a flow behind interface 1. */
static DWORD packet(int last)
{
    BYTE octets[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17};
    DWORD source = ip(10, 0, 0, last), group = ip(239, 1, 1, 1);
    memcpy(octets + 12, &source, 4);
    memcpy(octets + 16, &group, 4);
    return MgmHostReceive(1, 0, octets, sizeof octets);
}

static DWORD inside; /* what a call from inside a function gave */

static void log_that_stops(PVOID context, DWORD level, const char *message)
{
    (void)context, (void)level;
    if (inside == ~0u && strstr(message, "entry (") != NULL)
        inside = MgmHostStop();
}

/* A line that was kept while the plane was programmed. */
static void a6_stopping_inside_the_log(void)
{
    MGM_HOST_CONFIG config = plain_config();
    config.pfnLog = log_that_stops;
    config.dwLogLevel = MGM_LOG_DEBUG;
    inside = ~0u;
    start(&config, NULL, NULL);
    CHECK_CODE(join(a, 1, 2), NO_ERROR);
    packet(1);
    CHECK_CODE(inside, NO_ERROR);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    alarm(0);
}

int main(void)
{
    RUN(a6_stopping_inside_the_log);
    return check_summary();
}
