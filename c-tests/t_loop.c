/* Event loops: a client with MGM_DISPATCHED is called inside MgmHostDispatch alone (rules H). */
#include "check.h"
#include "host.h"
#include <poll.h>

static int joins, order[600], thread_of_callbacks_is_this, nested_code;
static pthread_t loop_thread;
static HANDLE loop_client, other_client;
static int nested; /* what the next join does: 1 dispatches, 2 adds a group, 3 deregisters */

static DWORD add(HANDLE client, unsigned group, DWORD interface)
{
    return MgmAddGroupMembershipEntry(client, 0, 0, ip4(225, 1, (int)(group / 256), (int)(group % 256)), ALL_ONES,
                                      interface, 0, MGM_JOIN_STATE_FLAG);
}

static DWORD join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    const BYTE *octets = (const BYTE *)&group;
    int what = nested;
    (void)source, (void)source_mask, (void)group_mask, (void)member;
    if (joins < 600)
        order[joins] = octets[2] * 256 + octets[3];
    joins++;
    if (!pthread_equal(pthread_self(), loop_thread))
        thread_of_callbacks_is_this = 0;
    nested = 0;
    if (what == 1)
        nested_code = (int)MgmHostDispatch(loop_client);
    if (what == 2)
        nested_code = (int)add(loop_client, 500, 1);
    if (what == 3) {
        nested_code = (int)MgmReleaseInterfaceOwnership(loop_client, 1, 0);
        if (nested_code == NO_ERROR)
            nested_code = (int)MgmDeRegisterMProtocol(loop_client);
    }
    return 0;
}

static int waits(HANDLE client)
{
    struct pollfd polled;
    int fd = -1;
    CHECK_CODE(MgmHostGetClientFd(client, &fd), NO_ERROR);
    polled.fd = fd;
    polled.events = POLLIN;
    return poll(&polled, 1, 0) == 1;
}

/* The loop's client on interface 1, another one on interface 2. */
static void begin(void)
{
    MGM_HOST_CONFIG config = plain_host();
    ROUTING_PROTOCOL_CONFIG callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    joins = 0;
    nested = 0;
    thread_of_callbacks_is_this = 1;
    loop_thread = pthread_self();
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 2, 1, &other_client), NO_ERROR);
    callbacks.dwCallbackFlags = MGM_DISPATCHED;
    callbacks.pfnJoinAlertCallback = join;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 1, 1, &loop_client), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(loop_client, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(other_client, 2, 0), NO_ERROR);
}

static void end(void) { CHECK_CODE(MgmHostStop(), NO_ERROR); }

static void h1_callbacks_run_inside_the_dispatch_alone(void)
{
    begin();
    CHECK_CODE(add(other_client, 1, 2), NO_ERROR);
    CHECK_CODE(add(loop_client, 2, 1), NO_ERROR);
    CHECK_EQ(joins, 0);
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_EQ(joins, 1);
    CHECK(thread_of_callbacks_is_this);
    end();
}

static void h1_flags_that_are_not_ours_are_ignored(void)
{
    static const DWORD others[] = {1, 0x4d470000u, 0x4d460001u, 0xffffffffu, 0x00010001u};
    MGM_HOST_CONFIG config = plain_host();
    size_t n;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    for (n = 0; n < sizeof others / sizeof *others; n++) {
        ROUTING_PROTOCOL_CONFIG callbacks;
        HANDLE client = NULL;
        int fd;
        memset(&callbacks, 0, sizeof callbacks);
        callbacks.dwCallbackFlags = others[n];
        CHECK_CODE(MgmRegisterMProtocol(&callbacks, 10 + (DWORD)n, 1, &client), NO_ERROR);
        CHECK_CODE(MgmHostGetClientFd(client, &fd), ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmHostDispatch(client), ERROR_INVALID_PARAMETER);
    }
    end();
}

static void h2_the_descriptor_is_readable_exactly_while_something_waits(void)
{
    int fd = -1, again = -2;
    begin();
    CHECK(!waits(loop_client));
    CHECK_CODE(add(other_client, 1, 2), NO_ERROR);
    CHECK(waits(loop_client));
    CHECK(waits(loop_client)); /* level-triggered */
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK(!waits(loop_client));
    CHECK_CODE(MgmHostGetClientFd(loop_client, &fd), NO_ERROR);
    CHECK_CODE(MgmHostGetClientFd(loop_client, &again), NO_ERROR);
    CHECK_EQ(fd, again);
    CHECK_CODE(MgmHostGetClientFd(loop_client, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmHostGetClientFd(NULL, &fd), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmHostDispatch(NULL), ERROR_INVALID_PARAMETER);
    end();
    CHECK_CODE(MgmHostDispatch(loop_client), check_apart() ? ERROR_CAN_NOT_COMPLETE /* rule P5 */
                                                           : ERROR_INVALID_PARAMETER);
}

static void h3_at_most_256_callbacks_a_dispatch(void)
{
    unsigned n;
    begin();
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_EQ(joins, 0);
    for (n = 0; n < 300; n++)
        CHECK_CODE(add(other_client, n, 2), NO_ERROR);
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_EQ(joins, 256);
    CHECK(waits(loop_client));
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_EQ(joins, 300);
    CHECK(!waits(loop_client));
    for (n = 0; n < 300; n++)
        CHECK_EQ(order[n], n);
    end();
}

static void h4_no_call_waits_for_it(void)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE igmp;
    DWORD protocol = 0, component = 0;
    begin();
    /* It is never dispatched, and each of these returns at once all the same. */
    CHECK_CODE(add(other_client, 1, 2), NO_ERROR);
    CHECK_CODE(MgmReleaseInterfaceOwnership(other_client, 2, 0), NO_ERROR);
    /* IGMP with a loop: a take changes the owner at once. */
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.dwCallbackFlags = MGM_DISPATCHED;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, PROTO_IP_IGMP, 1, &igmp), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(igmp, 2, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(other_client, 2, 0), NO_ERROR);
    CHECK_CODE(MgmGetProtocolOnInterface(2, 0, &protocol, &component), NO_ERROR);
    CHECK_EQ(protocol, 2);
    CHECK_CODE(MgmHostDispatch(igmp), NO_ERROR);
    CHECK_CODE(add(igmp, 7, 2), NO_ERROR);
    end();
}

static int asked;

static DWORD creation(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h, DWORD n, PMGM_IF_ENTRY out)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)i, (void)h, (void)n, (void)out;
    asked++;
    return 0;
}

static void h5_a_flow_waits_for_its_dispatch(void)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE client;
    MIB_IPMCAST_MFE key;
    BYTE buffer[200];
    DWORD size = sizeof buffer;
    begin();
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.dwCallbackFlags = MGM_DISPATCHED;
    callbacks.pfnCreationAlertCallback = creation;
    asked = 0;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 3, 1, &client), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 3, 0), NO_ERROR);
    CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, the_group(), ALL_ONES, 3, 0, MGM_JOIN_STATE_FLAG), NO_ERROR);
    CHECK_CODE(packet_from(9), NO_ERROR);
    memset(&key, 0, sizeof key);
    key.dwGroup = the_group();
    key.dwSource = ip4(10, 0, 0, 9);
    key.dwSrcMask = ALL_ONES;
    CHECK_CODE(MgmGetMfe(&key, &size, buffer), ERROR_NOT_FOUND);
    CHECK_EQ(asked, 0);
    /* First the RPF question to the owner of interface 1, another loop. */
    CHECK_CODE(MgmHostDispatch(client), NO_ERROR);
    CHECK_EQ(asked, 0);
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_CODE(MgmHostDispatch(client), NO_ERROR);
    CHECK_EQ(asked, 1);
    size = sizeof buffer;
    CHECK_CODE(MgmGetMfe(&key, &size, buffer), NO_ERROR);
    end();
}

static void h6_deregistering_returns_at_once(void)
{
    begin();
    CHECK_CODE(add(other_client, 1, 2), NO_ERROR);
    CHECK_CODE(MgmReleaseInterfaceOwnership(loop_client, 1, 0), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(loop_client), NO_ERROR);
    CHECK_EQ(joins, 0);
    CHECK_CODE(MgmHostDispatch(loop_client), ERROR_INVALID_PARAMETER);
    end();
    /* Inside its own callback as well: what waits is not called any more. */
    begin();
    CHECK_CODE(add(other_client, 1, 2), NO_ERROR);
    CHECK_CODE(add(other_client, 2, 2), NO_ERROR);
    nested = 3;
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_EQ(nested_code, NO_ERROR);
    CHECK_EQ(joins, 1);
    end();
}

static void h7_one_dispatch_at_a_time(void)
{
    begin();
    CHECK_CODE(add(other_client, 1, 2), NO_ERROR);
    nested = 1;
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_EQ(joins, 1);
    CHECK_EQ(nested_code, ERROR_CAN_NOT_COMPLETE);
    /* Other calls work inside it. */
    CHECK_CODE(add(other_client, 2, 2), NO_ERROR);
    nested = 2;
    CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_EQ(nested_code, NO_ERROR);
    end();
}

static void h8_alerts_of_a_loop_that_does_not_come_back_keep_their_order(void)
{
    int n;
    begin();
    for (n = 0; n < 500; n++)
        CHECK_CODE(add(other_client, (unsigned)n, 2), NO_ERROR);
    while (waits(loop_client))
        CHECK_CODE(MgmHostDispatch(loop_client), NO_ERROR);
    CHECK_EQ(joins, 500);
    for (n = 0; n < 500; n++)
        CHECK_EQ(order[n], n);
    end();
}

int main(void)
{
    RUN(h1_callbacks_run_inside_the_dispatch_alone);
    RUN(h1_flags_that_are_not_ours_are_ignored);
    RUN(h2_the_descriptor_is_readable_exactly_while_something_waits);
    RUN(h3_at_most_256_callbacks_a_dispatch);
    RUN(h4_no_call_waits_for_it);
    RUN(h5_a_flow_waits_for_its_dispatch);
    RUN(h6_deregistering_returns_at_once);
    RUN(h7_one_dispatch_at_a_time);
    RUN(h8_alerts_of_a_loop_that_does_not_come_back_keep_their_order);
    return check_summary();
}
