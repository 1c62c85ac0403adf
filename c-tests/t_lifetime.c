/* Rules E8, E9 and MgmHostInterfaceDown: entries end, are built anew, and follow routes. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_2[] = {2, 0};
static const DWORD on_3[] = {3, 0};
static const DWORD on_4[] = {4, 0};

/* A owns 1, B 2 with a member of G1, and an entry for (S1,G1) stands. */
static void one_entry(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    forget_all();
}

static void e8_an_idle_entry_ends_after_900_seconds(void)
{
    one_entry();
    CHECK_CODE(later(899), NO_ERROR);
    CHECK_EQ(mfe_count(), 1);
    CHECK_CODE(later(1), NO_ERROR);
    /* The packet that made it waited for it, and does not count. */
    CHECK_EQ(mfe_count(), 0);
    CHECK_LINES(A, "");
    CHECK_LINES(B, "");
    stop_host();
}

static void e8_an_entry_in_use_is_built_anew_in_place(void)
{
    MIB_IPMCAST_MFE mfe;
    one_entry();
    CHECK_CODE(later(500), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_SENT("2 (10.1.0.2,239.1.1.1)\n");
    CHECK_LINES(A, "");
    CHECK_CODE(later(400), NO_ERROR);
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n");
    CHECK_LINES(B, "CREATE (10.1.0.2,239.1.1.1) iif 1 oifs 2\n");
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.ulUpTime, 900); /* goes on */
    CHECK_EQ(mfe.ulExpiryTime, 900);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_SENT("2 (10.1.0.2,239.1.1.1)\n");
    stop_host();
}

/* pdwTimeout: 60 s are 60 s, for an entry that never had oifs and for one that lost them. */
static void e8_a_pruned_entry_ends_when_its_timeout_does(void)
{
    int had_oifs;
    for (had_oifs = 0; had_oifs < 2; had_oifs++) {
        if (had_oifs) {
            one_entry();
            CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
        } else {
            start_host();
            enrol_with(&A, on_1);
        }
        A.prune_timeout = 60;
        if (had_oifs)
            CHECK_CODE(drop(&B, "*", G1, 2, JOIN), NO_ERROR);
        else
            CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
        forget_all();
        CHECK_CODE(later(59), NO_ERROR);
        CHECK_OIFS(S1, G1, "");
        CHECK_CODE(later(1), NO_ERROR);
        CHECK_EQ(mfe_count(), 0);
        CHECK_LINES(A, "");
        stop_host();
    }
}

static void e8_the_creation_alert_may_veto_when_built_anew(void)
{
    one_entry();
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    B.veto = 2;
    CHECK_CODE(later(900), NO_ERROR);
    CHECK_OIFS(S1, G1, "");
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n"
                   "PRUNE (10.1.0.2,239.1.1.1) if 2 flow\n");
    stop_host();
}

static void e5_a_flow_without_route_ends_after_60_seconds(void)
{
    start_host();
    route_via(1, 0);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_EQ(mfe_count(), 1);
    CHECK_CODE(later(59), NO_ERROR);
    CHECK_EQ(mfe_count(), 1);
    CHECK_CODE(later(1), NO_ERROR);
    CHECK_EQ(mfe_count(), 0);
    stop_host();
}

static void e9_the_route_moves(void)
{
    MIB_IPMCAST_MFE mfe;
    one_entry();
    enrol_with(&C, on_3);
    forget_all();
    route_via(1, 3);
    CHECK_CODE(route_changed(1), NO_ERROR);
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.dwInIfIndex, 3);
    CHECK_EQ(mfe.dwInIfProtocol, C.protocol);
    CHECK_OIFS(S1, G1, "2");
    CHECK_LINES(C, "RPF (10.1.0.2,239.1.1.1) iif 3 upstream 10.1.0.2\n"
                   "JOIN (10.1.0.2,239.1.1.1) flow\n");
    CHECK_LINES(B, "CREATE (10.1.0.2,239.1.1.1) iif 3 oifs 2\n");
    CHECK(strncmp(lines_of(&A), "PRUNE (10.1.0.2,239.1.1.1) if ", 30) == 0);
    CHECK_CODE(packet_in(3, S1, G1), NO_ERROR);
    CHECK_SENT("2 (10.1.0.2,239.1.1.1)\n");
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR); /* the old way is the wrong one now */
    CHECK_SENT("");
    CHECK_LINES(A, "WRONG_IF (10.1.0.2,239.1.1.1) if 1\n");
    stop_host();
}

static void e9_a_change_that_changes_nothing(void)
{
    one_entry();
    CHECK_CODE(route_changed(1), NO_ERROR);
    CHECK_CODE(route_changed(4), NO_ERROR);
    CHECK_LINES(A, "");
    CHECK_LINES(B, "");
    CHECK_OIFS(S1, G1, "2");
    stop_host();
}

static void e9_the_route_goes_away_and_comes_back(void)
{
    one_entry();
    route_via(1, 0);
    CHECK_CODE(route_changed(1), NO_ERROR);
    CHECK_OIFS(S1, G1, "");
    CHECK(strncmp(lines_of(&A), "PRUNE (10.1.0.2,239.1.1.1) if ", 30) == 0);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_SENT("");
    CHECK_LINES(A, "");
    route_via(1, 1);
    CHECK_CODE(route_changed(1), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n"
                   "JOIN (10.1.0.2,239.1.1.1) flow\n");
    stop_host();
}

/* The look-up's answer is of no use any more when the library gets it. */
static void e9_a_route_that_moves_while_it_is_looked_up(void)
{
    MIB_IPMCAST_MFE mfe;
    one_entry();
    enrol_with(&C, on_3);
    overtake_look_up(2, 3);
    CHECK_CODE(packet_in(2, S2, G1), NO_ERROR);
    CHECK(mfe_of(S2, G1, &mfe));
    CHECK_EQ(mfe.dwInIfIndex, 3);
    CHECK_EQ(mfe.dwInIfProtocol, C.protocol);
    overtake_look_up(1, 3);
    CHECK_CODE(route_changed(1), NO_ERROR);
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.dwInIfIndex, 3);
    overtake_look_up(3, 0);
    CHECK_CODE(route_changed(1), NO_ERROR);
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.dwInIfIndex, 3);
    stop_host();
}

static void host_interface_down_outgoing(void)
{
    one_entry();
    CHECK_CODE(MgmHostInterfaceDown(2, 0), NO_ERROR);
    CHECK_OIFS(S1, G1, "");
    CHECK_LINES(A, "PRUNE (10.1.0.2,239.1.1.1) if 2 flow\n"); /* DESIGN 13 */
    CHECK_LINES(B, "");
    CHECK_CODE(packet_in(2, S2, G2), NO_ERROR); /* it is up again, DESIGN 22 */
    CHECK_OIFS(S1, G1, "2");
    stop_host();
}

static void host_interface_down_incoming(void)
{
    DWORD protocol = 0, component = 0;
    one_entry();
    enrol_with(&C, on_4);
    CHECK_CODE(MgmHostInterfaceDown(1, 0), NO_ERROR);
    CHECK_EQ(mfe_count(), 0);
    CHECK_CODE(MgmGetProtocolOnInterface(1, 0, &protocol, &component), NO_ERROR);
    CHECK_EQ(protocol, A.protocol); /* ownership stays */
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    stop_host();
}

int main(void)
{
    RUN(e8_an_idle_entry_ends_after_900_seconds);
    RUN(e8_an_entry_in_use_is_built_anew_in_place);
    RUN(e8_a_pruned_entry_ends_when_its_timeout_does);
    RUN(e8_the_creation_alert_may_veto_when_built_anew);
    RUN(e5_a_flow_without_route_ends_after_60_seconds);
    RUN(e9_the_route_moves);
    RUN(e9_a_change_that_changes_nothing);
    RUN(e9_the_route_goes_away_and_comes_back);
    RUN(e9_a_route_that_moves_while_it_is_looked_up);
    RUN(host_interface_down_outgoing);
    RUN(host_interface_down_incoming);
    return check_summary();
}
