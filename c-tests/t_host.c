/* The host API: start and stop, packets that make no sense, and the state as text.
 * apart: no, it is about the functions that a client process has none of. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_1_2[] = {1, 2, 0};

static MGM_HOST_CONFIG plain_config(void)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwForwarder = MGM_FORWARDER_MEMORY;
    return config;
}

static void host_starts_once(void)
{
    MGM_HOST_CONFIG config = plain_config();
    start_host();
    CHECK_CODE(MgmHostStart(&config), ERROR_ALREADY_EXISTS);
    stop_host();
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static void host_configurations_that_make_no_sense(void)
{
    MGM_HOST_CONFIG config = plain_config();
    DWORD state_size = 0;
    BYTE byte[1];
    CHECK_CODE(MgmHostStart(NULL), ERROR_INVALID_PARAMETER);
    config.dwSize = 0;
    CHECK_CODE(MgmHostStart(&config), ERROR_INVALID_PARAMETER);
    config.dwSize = 4;
    CHECK_CODE(MgmHostStart(&config), ERROR_INVALID_PARAMETER);
    config = plain_config();
    config.dwForwarder = 99;
    CHECK(MgmHostStart(&config) != NO_ERROR);
    CHECK_CODE(MgmHostReceive(1, 0, byte, 1), ERROR_CAN_NOT_COMPLETE); /* none of them started it */
    CHECK(MgmHostGetState(&state_size, byte) != NO_ERROR);
}

static void host_calls_without_a_host(void)
{
    BYTE packet[PACKET_SIZE];
    make_packet(packet, S1, G1, 64);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostReceive(1, 0, packet, PACKET_SIZE), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostRouteChanged(0, 0), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostInterfaceDown(1, 0), ERROR_CAN_NOT_COMPLETE);
}

static void host_stop_ends_everything(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    forget_all();
    stop_host();
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), ERROR_INVALID_PARAMETER); /* DESIGN 26 */
    CHECK_CODE(take(&A, 3), ERROR_INVALID_PARAMETER);
    CHECK_EQ(mfe_count(), 0);
    CHECK_LINES(A, "");
    {
        HANDLE old = A.handle;
        start_host(); /* a new life: nothing of the old one shows */
        enrol_with(&A, on_1);
        CHECK_EQ(mfe_count(), 0);
        CHECK(old != A.handle);
        CHECK_CODE(MgmDeRegisterMProtocol(old), ERROR_INVALID_PARAMETER);
        stop_host();
    }
}

static DWORD hand_in(const BYTE *packet, DWORD size) { return MgmHostReceive(1, 0, packet, size); }

static void host_packets_that_cannot_be_parsed(void)
{
    BYTE packet[PACKET_SIZE];
    DWORD size;
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(add(&A, "*", "*", 2, JOIN), NO_ERROR);
    forget_all();
    CHECK_CODE(hand_in(NULL, PACKET_SIZE), ERROR_INVALID_PARAMETER);
    make_packet(packet, S1, G1, 64);
    for (size = 0; size < 20; size++)
        CHECK_CODE(hand_in(packet, size), ERROR_INVALID_PARAMETER);
    packet[0] = 0x65; /* IPv6 */
    CHECK_CODE(hand_in(packet, PACKET_SIZE), ERROR_INVALID_PARAMETER);
    packet[0] = 0x44; /* a header of 16 octets */
    CHECK_CODE(hand_in(packet, PACKET_SIZE), ERROR_INVALID_PARAMETER);
    packet[0] = 0x4f; /* a header longer than the packet */
    CHECK_CODE(hand_in(packet, PACKET_SIZE), ERROR_INVALID_PARAMETER);
    CHECK_EQ(mfe_count(), 0);
    CHECK_LINES(A, "");
    CHECK_SENT("");
    stop_host();
}

static void host_packets_that_are_not_forwarded(void)
{
    BYTE packet[PACKET_SIZE];
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(add(&A, "*", "*", 2, JOIN), NO_ERROR);
    forget_all();
    make_packet(packet, S1, G1, 1); /* TTL 1 */
    hand_in(packet, PACKET_SIZE);
    make_packet(packet, S1, G1, 0);
    hand_in(packet, PACKET_SIZE);
    make_packet(packet, S1, "10.2.0.9", 64); /* unicast */
    hand_in(packet, PACKET_SIZE);
    make_packet(packet, S1, "255.255.255.255", 64);
    hand_in(packet, PACKET_SIZE);
    make_packet(packet, S1, "224.0.0.1", 64);
    hand_in(packet, PACKET_SIZE);
    make_packet(packet, S1, "224.0.0.255", 64);
    hand_in(packet, PACKET_SIZE);
    make_packet(packet, "127.0.0.1", G1, 64); /* no sender's address */
    hand_in(packet, PACKET_SIZE);
    make_packet(packet, "127.255.255.254", G1, 64);
    hand_in(packet, PACKET_SIZE);
    CHECK_EQ(mfe_count(), 0);
    CHECK_LINES(A, "");
    CHECK_SENT("");
    make_packet(packet, S1, "224.0.1.0", 64); /* the next group is an ordinary one */
    CHECK_CODE(hand_in(packet, PACKET_SIZE), NO_ERROR);
    CHECK_SENT("2 (10.1.0.2,224.0.1.0)\n");
    make_packet(packet, S1, G1, 2);
    CHECK_CODE(hand_in(packet, PACKET_SIZE), NO_ERROR);
    CHECK(strncmp(transmitted(), "2 (10.1.0.2,239.1.1.1)\n", 23) == 0);
    stop_host();
}

static void host_next_hops_have_copies_of_their_own(void)
{
    start_host();
    enrol_with(&A, on_1);
    CHECK_CODE(MgmTakeInterfaceOwnership(A.handle, 2, ip("10.9.9.8")), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(A.handle, 2, ip("10.9.9.9")), NO_ERROR);
    CHECK_CODE(MgmAddGroupMembershipEntry(A.handle, 0, 0, ip(G1), ALL_ONES, 2, ip("10.9.9.8"),
                                          JOIN), NO_ERROR);
    CHECK_CODE(MgmAddGroupMembershipEntry(A.handle, 0, 0, ip(G1), ALL_ONES, 2, ip("10.9.9.9"),
                                          JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_SENT("2/10.9.9.8 (10.1.0.2,239.1.1.1)\n2/10.9.9.9 (10.1.0.2,239.1.1.1)\n");
    CHECK_OIFS(S1, G1, "2/10.9.9.8 2/10.9.9.9");
    stop_host();
}

static void host_without_routes_or_transmit(void)
{
    MGM_HOST_CONFIG config = plain_config();
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(enrol(&A), NO_ERROR);
    CHECK_CODE(take(&A, 1), NO_ERROR);
    CHECK_CODE(take(&A, 2), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    lines_of(&A);
    CHECK_CODE(packet_in(1, S4, G1), NO_ERROR); /* the arrival interface is the route */
    CHECK_LINES(A, "RPF (10.4.0.2,239.1.1.1) iif 1 upstream 10.4.0.2\n"
                   "CREATE (10.4.0.2,239.1.1.1) iif 1 oifs 2\n");
    CHECK_OIFS(S4, G1, "2");
    stop_host();
}

static void host_state_as_text(void)
{
    DWORD size = 0;
    BYTE none[1];
    char *text;
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(MgmHostGetState(&size, none), ERROR_INSUFFICIENT_BUFFER);
    CHECK(size > 2);
    text = (char *)calloc(size + 1, 1);
    CHECK(text != NULL);
    if (text != NULL) {
        CHECK_CODE(MgmHostGetState(&size, (PBYTE)text), NO_ERROR);
        CHECK(text[0] == '{');
        CHECK(strstr(text, S1) != NULL);
        CHECK(strstr(text, G1) != NULL);
        free(text);
    }
    CHECK_CODE(MgmHostGetState(NULL, none), ERROR_INVALID_PARAMETER);
    stop_host();
}

static int log_lines;
static void count_line(PVOID context, DWORD level, const char *message)
{
    (void)level;
    if (context == (PVOID)&log_lines && message != NULL && message[0] != 0)
        __atomic_add_fetch(&log_lines, 1, __ATOMIC_SEQ_CST);
}

static void host_log_callback(void)
{
    MGM_HOST_CONFIG config = plain_config();
    config.pvContext = &log_lines;
    config.pfnLog = count_line;
    log_lines = 0;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol((HANDLE)1), ERROR_INVALID_PARAMETER);
    CHECK(log_lines > 0);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

int main(void)
{
    RUN(host_starts_once);
    RUN(host_configurations_that_make_no_sense);
    RUN(host_calls_without_a_host);
    RUN(host_stop_ends_everything);
    RUN(host_packets_that_cannot_be_parsed);
    RUN(host_packets_that_are_not_forwarded);
    RUN(host_next_hops_have_copies_of_their_own);
    RUN(host_without_routes_or_transmit);
    RUN(host_state_as_text);
    RUN(host_log_callback);
    return check_summary();
}
