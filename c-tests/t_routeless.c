/* Flows without a route, or without an owner toward their source: who asks for them gets them (rule E5). */
#include "check.h"
#include "host.h"

static int asked, route_was_null, answer_index;
static DWORD upstream_was, in_was;
static char log_line[600];
static int warned;

static DWORD rpf(DWORD source, DWORD sm, DWORD group, DWORD gm, PDWORD index, PDWORD hop, PDWORD upstream, DWORD n,
                 PBYTE header, PBYTE route)
{
    (void)source, (void)sm, (void)group, (void)gm, (void)hop, (void)n, (void)header;
    asked++;
    route_was_null = route == NULL;
    upstream_was = *upstream;
    in_was = *index;
    if (answer_index >= 0)
        *index = (DWORD)answer_index;
    return 0;
}

static DWORD no_route(PVOID context, DWORD source, PMGM_ROUTE route)
{
    (void)context, (void)source, (void)route;
    return ERROR_NOT_FOUND;
}

static void note(PVOID context, DWORD level, const char *line)
{
    (void)context;
    if (level == MGM_LOG_WARN && strstr(line, "239.1.1.1") != NULL) {
        warned++;
        snprintf(log_line, sizeof log_line, "%s", line);
    }
}

static int oifs_of(int last)
{
    MIB_IPMCAST_MFE key, found;
    DWORD size = sizeof found;
    memset(&key, 0, sizeof key);
    memset(&found, 0, sizeof found);
    key.dwGroup = the_group();
    key.dwSource = ip4(10, 0, 0, last);
    key.dwSrcMask = ALL_ONES;
    if (MgmGetMfe(&key, &size, (PBYTE)&found) != NO_ERROR)
        return -1;
    return (int)found.ulNumOutIf;
}

static void begin(DWORD flags)
{
    MGM_HOST_CONFIG config = plain_host();
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE client;
    config.pfnRoute = no_route;
    config.pfnLog = note;
    config.dwLogLevel = MGM_LOG_WARN;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnRpfCallback = rpf;
    callbacks.dwCallbackFlags = flags;
    asked = warned = 0;
    answer_index = -1;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 1, 1, &client), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 2, 0), NO_ERROR);
    CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, the_group(), ALL_ONES, 2, 0, MGM_JOIN_STATE_FLAG), NO_ERROR);
}

static void end(void) { CHECK_CODE(MgmHostStop(), NO_ERROR); }

static void e5_a_protocol_that_asks_for_routeless_flows_gets_them(void)
{
    begin(MGM_ROUTELESS_FLOWS);
    CHECK_CODE(packet_from(9), NO_ERROR);
    CHECK_EQ(asked, 1);
    CHECK(route_was_null);
    CHECK_EQ(in_was, 1);
    CHECK_EQ(upstream_was, ip4(10, 0, 0, 9));
    CHECK_EQ(oifs_of(9), 1);
    end();
}

static void e5_it_may_refuse_one(void)
{
    begin(MGM_ROUTELESS_FLOWS);
    answer_index = 0;
    CHECK_CODE(packet_from(9), NO_ERROR);
    CHECK_EQ(asked, 1);
    CHECK_EQ(oifs_of(9), 0);
    CHECK_CODE(packet_from(9), NO_ERROR);
    CHECK_EQ(asked, 1);
    end();
}

static void e5_others_get_a_line_in_the_log(void)
{
    int n;
    begin(0);
    for (n = 1; n < 20; n++)
        CHECK_CODE(packet_from(n), NO_ERROR);
    CHECK_EQ(asked, 0);
    CHECK_EQ(oifs_of(1), 0);
    CHECK_EQ(warned, 1); /* one in ten seconds */
    CHECK(strstr(log_line, "10.0.0.1") != NULL);
    CHECK(strstr(log_line, "interface 1") != NULL);
    end();
}

int main(void)
{
    RUN(e5_a_protocol_that_asks_for_routeless_flows_gets_them);
    RUN(e5_it_may_refuse_one);
    RUN(e5_others_get_a_line_in_the_log);
    return check_summary();
}
