/* Rules E1 to E7, E10: how forwarding entries come about and change. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_1_2[] = {1, 2, 0};
static const DWORD on_1_4[] = {1, 4, 0};
static const DWORD on_2[] = {2, 0};
static const DWORD on_2_3[] = {2, 3, 0};
static const DWORD on_3[] = {3, 0};
static const DWORD on_none[] = {0};

static void e1_rpf_creation_join_and_the_first_packet(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);
    forget_all();
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n"
                   "JOIN (10.1.0.2,239.1.1.1) flow\n");
    CHECK_LINES(B, "CREATE (10.1.0.2,239.1.1.1) iif 1 oifs 2 3\n");
    CHECK_SENT("2 (10.1.0.2,239.1.1.1)\n3 (10.1.0.2,239.1.1.1)\n");
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR); /* the entry is there: no callbacks */
    CHECK_LINES(A, "");
    CHECK_LINES(B, "");
    CHECK_SENT("2 (10.1.0.2,239.1.1.1)\n3 (10.1.0.2,239.1.1.1)\n");
    stop_host();
}

static int sent_before_creation;
static void look_at_creation(client *who, callback_kind kind, DWORD index)
{
    (void)who;
    (void)index;
    if (kind == ON_CREATE && transmitted()[0] != 0)
        sent_before_creation = 1;
}

static void e1_every_creation_alert_comes_before_the_first_packet(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    enrol_with(&C, on_3);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&C, "*", G1, 3, JOIN), NO_ERROR);
    B.hook = C.hook = look_at_creation;
    sent_before_creation = 0;
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK(!sent_before_creation);
    CHECK_SENT("2 (10.1.0.2,239.1.1.1)\n3 (10.1.0.2,239.1.1.1)\n");
    stop_host();
}

static void e2_the_owner_toward_the_source_is_asked(void)
{
    start_host();
    enrol_with(&A, on_1); /* toward the source */
    enrol_with(&B, on_2); /* where the packet arrives */
    CHECK_CODE(packet_in(2, S1, G1), NO_ERROR);
    CHECK_TEXT(oifs_of(S1, G1), "");
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n"
                   "PRUNE (10.1.0.2,239.1.1.1) if 1 flow\n");
    stop_host();
}

static void e2_rpf_may_choose_another_own_interface_and_neighbour(void)
{
    MIB_IPMCAST_MFE mfe;
    start_host();
    enrol_with(&A, on_1_4);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    A.rpf_index = 4;
    A.rpf_upstream = ip("10.4.0.1");
    CHECK_CODE(packet_in(4, S1, G1), NO_ERROR);
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.dwInIfIndex, 4);
    CHECK_EQ(mfe.dwUpStrmNgbr, ip("10.4.0.1"));
    CHECK_SENT("2 (10.1.0.2,239.1.1.1)\n");
    CHECK_LINES(B, "CREATE (10.1.0.2,239.1.1.1) iif 4 oifs 2\n");
    stop_host();
}

/* The header and all the data: ports can be read. */
static void e2_e7_callbacks_get_the_whole_packet(void)
{
    BYTE sent[PACKET_SIZE];
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    make_packet(sent, S1, G1, 64);
    sent[20] = 0x13, sent[21] = 0x88; /* from port 5000 */
    CHECK_CODE(MgmHostReceive(1, 0, sent, PACKET_SIZE), NO_ERROR);
    CHECK_EQ(A.packet_size, PACKET_SIZE);
    CHECK(memcmp(A.packet, sent, PACKET_SIZE) == 0);
    sent[22] = 0x17, sent[23] = 0x70; /* to port 6000 */
    CHECK_CODE(MgmHostReceive(2, 0, sent, PACKET_SIZE), NO_ERROR);
    CHECK_EQ(B.packet_size, PACKET_SIZE);
    CHECK(memcmp(B.packet, sent, PACKET_SIZE) == 0);
    /* Where there is no packet, a header is made. */
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(later(900), NO_ERROR);
    CHECK_EQ(A.packet_size, 20);
    stop_host();
}

static void e2_interface_0_refuses_the_flow(void)
{
    MIB_IPMCAST_MFE mfe;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    forget_all();
    A.rpf_refuses = 1;
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n");
    CHECK_LINES(B, "");
    CHECK_OIFS(S1, G1, "");
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.ulTimeOut, 60);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(add(&B, S1, G1, 2, JOIN | FORWARD), NO_ERROR); /* no membership changes it */
    CHECK_OIFS(S1, G1, "");
    CHECK_SENT("");
    forget_all();
    A.rpf_refuses = 0;
    CHECK_CODE(later(60), NO_ERROR); /* one packet came in the meantime */
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n"
                   "JOIN (10.1.0.2,239.1.1.1) flow\n");
    CHECK_OIFS(S1, G1, "2");
    A.rpf_refuses = 1;
    CHECK_CODE(packet_in(1, S1B, G1), NO_ERROR);
    CHECK_CODE(later(60), NO_ERROR); /* none did */
    CHECK_OIFS(S1B, G1, "no entry");
    stop_host();
}

static void e2_a10_rpf_naming_a_foreign_interface_is_ignored(void)
{
    MIB_IPMCAST_MFE mfe;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    A.rpf_index = 2;
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_EQ(mfe.dwInIfIndex, 1);
    A.rpf_index = 99; /* does not exist */
    CHECK_CODE(packet_in(1, S1, G2), NO_ERROR);
    CHECK(mfe_of(S1, G2, &mfe));
    CHECK_EQ(mfe.dwInIfIndex, 1);
    stop_host();
}

static void e3_creation_alerts_to_each_owner_with_its_interfaces(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    enrol_with(&C, on_3);
    CHECK_CODE(take(&C, 4), NO_ERROR);
    enrol_with(&IGMP, on_3);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&IGMP, "*", G1, 3, JOIN), NO_ERROR);
    CHECK_CODE(add(&C, S1, G1, 4, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR); /* the iif: not an oif */
    forget_all();
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_LINES(B, "CREATE (10.1.0.2,239.1.1.1) iif 1 oifs 2\n");
    CHECK_LINES(C, "CREATE (10.1.0.2,239.1.1.1) iif 1 oifs 3+igmp 4\n");
    CHECK_LINES(IGMP, "");
    CHECK_OIFS(S1, G1, "2 3 4");
    stop_host();
}

static void e3_an_interface_can_be_kept_out(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);
    B.veto = 2;
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "3");
    CHECK_SENT("3 (10.1.0.2,239.1.1.1)\n");
    stop_host();
}

static void e4_no_alert_for_what_the_owner_does_itself(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n"
                   "CREATE (10.1.0.2,239.1.1.1) iif 1 oifs 2\n");
    CHECK_CODE(drop(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "");
    stop_host();
}

static void e4_first_and_last_outgoing_interface(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    forget_all();
    CHECK_CODE(add(&B, "*", G1, 2, FORWARD), NO_ERROR);
    CHECK_LINES(A, "JOIN (10.1.0.2,239.1.1.1) flow\n");
    CHECK_CODE(add(&B, "*", G1, 3, FORWARD), NO_ERROR); /* stays non-empty */
    CHECK_CODE(drop(&B, "*", G1, 2, FORWARD), NO_ERROR);
    CHECK_LINES(A, "");
    CHECK_CODE(drop(&B, "*", G1, 3, FORWARD), NO_ERROR);
    CHECK_LINES(A, "PRUNE (10.1.0.2,239.1.1.1) if 3 flow\n");
    CHECK_LINES(B, "");
    stop_host();
}

static void e4_member_alerts_come_before_flow_alerts(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    forget_all();
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "JOIN (*,239.1.1.1) member\nJOIN (10.1.0.2,239.1.1.1) flow\n");
    CHECK_CODE(drop(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "PRUNE (*,239.1.1.1) if 2 member\nPRUNE (10.1.0.2,239.1.1.1) if 2 flow\n");
    stop_host();
}

static DWORD lifetime(const char *source, const char *group)
{
    MIB_IPMCAST_MFE mfe;
    CHECK(mfe_of(source, group, &mfe));
    return mfe.ulTimeOut;
}

static void e4_the_prune_alert_sets_the_lifetime(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    A.prune_timeout = 120;
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR); /* made with no oifs */
    CHECK_EQ(lifetime(S1, G1), 120);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_EQ(lifetime(S1, G1), 900); /* DESIGN 12 */
    A.prune_timeout = 0;
    A.prune_to_zero = 1;
    CHECK_CODE(packet_in(1, S1B, G2), NO_ERROR);
    CHECK_EQ(lifetime(S1B, G2), 900); /* 0 means 900 */
    A.prune_timeout = 1000000;
    CHECK_CODE(packet_in(1, S1B, G3), NO_ERROR);
    CHECK_EQ(lifetime(S1B, G3), 86400); /* the most there is */
    stop_host();
}

static void e5_no_route_and_no_owner(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    forget_all();
    route_via(7, 0);
    CHECK_CODE(packet_in(1, "10.7.0.2", G1), NO_ERROR);
    CHECK_CODE(packet_in(1, S4, G1), NO_ERROR); /* nobody owns interface 4 */
    CHECK_OIFS("10.7.0.2", G1, "");
    CHECK_OIFS(S4, G1, "");
    CHECK_EQ(lifetime("10.7.0.2", G1), 60);
    CHECK_EQ(lifetime(S4, G1), 60);
    CHECK_LINES(A, "");
    CHECK_LINES(B, "");
    CHECK_SENT("");
    stop_host();
}

static void e5_taken_up_again(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    route_via(7, 0);
    CHECK_CODE(packet_in(1, "10.7.0.2", G1), NO_ERROR);
    CHECK_CODE(packet_in(4, S4, G1), NO_ERROR);
    forget_all();
    route_via(7, 1);
    CHECK_CODE(route_changed(7), NO_ERROR); /* a route appears */
    CHECK_LINES(A, "RPF (10.7.0.2,239.1.1.1) iif 1 upstream 10.7.0.2\n"
                   "JOIN (10.7.0.2,239.1.1.1) flow\n");
    CHECK_OIFS("10.7.0.2", G1, "2");
    forget_all();
    CHECK_CODE(take(&A, 4), NO_ERROR); /* an owner appears */
    CHECK_LINES(A, "RPF (10.4.0.2,239.1.1.1) iif 4 upstream 10.4.0.2\n"
                   "JOIN (10.4.0.2,239.1.1.1) flow\n");
    CHECK_OIFS(S4, G1, "2");
    stop_host();
}

static void e6_a_negative_entry_stops_callbacks_and_turns_positive(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_LINES(A, "RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2\n"
                   "PRUNE (10.1.0.2,239.1.1.1) if 1 flow\n");
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_LINES(A, "");
    CHECK_SENT("");
    CHECK_CODE(add(&B, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_OIFS(S1, G1, "2"); /* no packet needed */
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_SENT("2 (10.1.0.2,239.1.1.1)\n");
    stop_host();
}

static void e7_wrong_interface(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    forget_all();
    CHECK_CODE(packet_in(2, S1, G1), NO_ERROR);
    CHECK_LINES(B, "WRONG_IF (10.1.0.2,239.1.1.1) if 2\n");
    CHECK_LINES(A, "");
    CHECK_SENT("");
    CHECK_CODE(packet_in(2, S1, G1), NO_ERROR); /* at most once in 3 s */
    CHECK_LINES(B, "");
    CHECK_CODE(later(2), NO_ERROR);
    CHECK_CODE(packet_in(2, S1, G1), NO_ERROR);
    CHECK_LINES(B, "");
    CHECK_CODE(later(1), NO_ERROR);
    CHECK_CODE(packet_in(2, S1, G1), NO_ERROR);
    CHECK_LINES(B, "WRONG_IF (10.1.0.2,239.1.1.1) if 2\n");
    CHECK_CODE(packet_in(9, S1, G1), NO_ERROR); /* an interface nobody owns: nobody to tell */
    stop_host();
}

static void e7_the_limit_is_for_each_entry(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G2), NO_ERROR);
    CHECK_CODE(packet_in(2, S1, G1), NO_ERROR);
    CHECK_CODE(packet_in(2, S1, G2), NO_ERROR);
    CHECK_LINES(B, "WRONG_IF (10.1.0.2,239.1.1.1) if 2\nWRONG_IF (10.1.0.2,239.1.1.2) if 2\n");
    stop_host();
}

static DWORD set_upstream(client *who, const char *source, const char *group, const char *upstream)
{
    MIB_IPMCAST_MFE mfe;
    memset(&mfe, 0, sizeof mfe);
    mfe.dwSource = ip(source);
    mfe.dwSrcMask = ALL_ONES;
    mfe.dwGroup = ip(group);
    mfe.dwUpStrmNgbr = ip(upstream);
    mfe.dwInIfIndex = 77; /* not read: only the neighbour changes */
    mfe.ulTimeOut = 5;
    return MgmSetMfe(who->handle, &mfe);
}

static void e10_set_mfe_changes_the_upstream_neighbour(void)
{
    MIB_IPMCAST_MFE before, after;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(set_upstream(&A, S1, G1, "10.1.0.9"), ERROR_NOT_FOUND);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK(mfe_of(S1, G1, &before));
    CHECK_CODE(set_upstream(&B, S1, G1, "10.1.0.9"), ERROR_INVALID_PARAMETER);
    CHECK_CODE(set_upstream(&A, S1, G1, "10.1.0.9"), NO_ERROR);
    CHECK(mfe_of(S1, G1, &after));
    CHECK_EQ(after.dwUpStrmNgbr, ip("10.1.0.9"));
    before.dwUpStrmNgbr = after.dwUpStrmNgbr;
    CHECK(memcmp(&before, &after, SIZEOF_BASIC_MIB_MFE) == 0);
    CHECK_OIFS(S1, G1, "2");
    stop_host();
}

static void d1_link_local_groups_are_never_forwarded(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(add(&A, "*", "224.0.0.5", 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", "*", 2, JOIN), NO_ERROR);
    packet_in(1, S1, "224.0.0.5");
    CHECK_EQ(mfe_count(), 0);
    CHECK_SENT("");
    CHECK_LINES(A, "");
    stop_host();
}

static void e2_no_clients_no_callbacks(void)
{
    start_host();
    enrol_with(&A, on_none);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "");
    CHECK_LINES(A, "");
    stop_host();
}

int main(void)
{
    RUN(e1_rpf_creation_join_and_the_first_packet);
    RUN(e1_every_creation_alert_comes_before_the_first_packet);
    RUN(e2_the_owner_toward_the_source_is_asked);
    RUN(e2_rpf_may_choose_another_own_interface_and_neighbour);
    RUN(e2_e7_callbacks_get_the_whole_packet);
    RUN(e2_interface_0_refuses_the_flow);
    RUN(e2_a10_rpf_naming_a_foreign_interface_is_ignored);
    RUN(e2_no_clients_no_callbacks);
    RUN(e3_creation_alerts_to_each_owner_with_its_interfaces);
    RUN(e3_an_interface_can_be_kept_out);
    RUN(e4_no_alert_for_what_the_owner_does_itself);
    RUN(e4_first_and_last_outgoing_interface);
    RUN(e4_member_alerts_come_before_flow_alerts);
    RUN(e4_the_prune_alert_sets_the_lifetime);
    RUN(e5_no_route_and_no_owner);
    RUN(e5_taken_up_again);
    RUN(e6_a_negative_entry_stops_callbacks_and_turns_positive);
    RUN(e7_wrong_interface);
    RUN(e7_the_limit_is_for_each_entry);
    RUN(e10_set_mfe_changes_the_upstream_neighbour);
    RUN(d1_link_local_groups_are_never_forwarded);
    return check_summary();
}
