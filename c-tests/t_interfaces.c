/* Rules C1 to C4: who owns an interface, and IGMP's disable and enable. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_1_2[] = {1, 2, 0};
static const DWORD on_none[] = {0};

static void c1_one_routing_protocol_owns_an_interface(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_none);
    CHECK_CODE(take(&B, 1), ERROR_ALREADY_EXISTS);
    CHECK_CODE(take(&A, 1), ERROR_ALREADY_EXISTS);
    CHECK_CODE(release(&A, 1), NO_ERROR);
    CHECK_CODE(take(&B, 1), NO_ERROR);
    stop_host();
}

static void c1_next_hops_are_interfaces_of_their_own(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_none);
    CHECK_CODE(MgmTakeInterfaceOwnership(B.handle, 1, ip("10.1.0.9")), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(A.handle, 1, ip("10.1.0.9")), ERROR_ALREADY_EXISTS);
    CHECK_CODE(MgmReleaseInterfaceOwnership(B.handle, 1, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmReleaseInterfaceOwnership(B.handle, 1, ip("10.1.0.9")), NO_ERROR);
    stop_host();
}

static void c1_igmp_shares_with_a_routing_protocol(void)
{
    start_host();
    enrol_with(&A, on_none);
    enrol_with(&IGMP, on_1);
    CHECK_CODE(take(&A, 1), NO_ERROR);  /* IGMP first */
    CHECK_CODE(take(&A, 2), NO_ERROR);  /* IGMP second */
    CHECK_CODE(take(&IGMP, 2), NO_ERROR);
    CHECK_CODE(take(&IGMP, 1), ERROR_ALREADY_EXISTS);
    stop_host();
}

static void expect_owner(DWORD index, DWORD protocol, DWORD component)
{
    DWORD p = 0, c = 0;
    CHECK_CODE(MgmGetProtocolOnInterface(index, 0, &p, &c), NO_ERROR);
    CHECK_EQ(p, protocol);
    CHECK_EQ(c, component);
}

static void c2_who_is_on_the_interface(void)
{
    DWORD p = 77, c = 78;
    start_host();
    CHECK_CODE(MgmGetProtocolOnInterface(1, 0, &p, &c), ERROR_NOT_FOUND);
    CHECK(p == 77 && c == 78); /* rule A2 */
    enrol_with(&IGMP, on_1);
    expect_owner(1, IGMP.protocol, IGMP.component);
    enrol_with(&A, on_1);
    expect_owner(1, A.protocol, A.component);
    CHECK_CODE(MgmGetProtocolOnInterface(1, ip("10.1.0.9"), &p, &c), ERROR_NOT_FOUND);
    CHECK_CODE(release(&IGMP, 1), NO_ERROR);
    expect_owner(1, A.protocol, A.component);
    CHECK_CODE(take(&IGMP, 1), NO_ERROR);
    CHECK_CODE(release(&A, 1), NO_ERROR);
    expect_owner(1, IGMP.protocol, IGMP.component);
    CHECK_CODE(release(&IGMP, 1), NO_ERROR);
    CHECK_CODE(MgmGetProtocolOnInterface(1, 0, &p, &c), ERROR_NOT_FOUND);
    stop_host();
}

static void c3_a_take_disables_and_enables_igmp(void)
{
    start_host();
    enrol_with(&IGMP, on_1_2);
    CHECK_LINES(IGMP, ""); /* its own take: no callbacks */
    enrol_with(&A, on_1);
    CHECK_LINES(IGMP, "DISABLE_IGMP 1\nENABLE_IGMP 1\n");
    CHECK_LINES(A, "");
    CHECK_CODE(release(&A, 1), NO_ERROR);
    CHECK_LINES(IGMP, "DISABLE_IGMP 1\nENABLE_IGMP 1\n");
    stop_host();
}

static void c3_nothing_where_igmp_is_not(void)
{
    start_host();
    enrol_with(&IGMP, on_1);
    enrol_with(&A, on_none);
    CHECK_CODE(take(&A, 2), NO_ERROR);
    CHECK_CODE(release(&A, 2), NO_ERROR);
    CHECK_LINES(IGMP, "");
    stop_host();
}

static void c3_igmp_comes_and_goes_without_callbacks(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&IGMP, on_1);
    CHECK_CODE(release(&IGMP, 1), NO_ERROR);
    CHECK_LINES(IGMP, "");
    CHECK_LINES(A, "");
    stop_host();
}

static DWORD during_add, during_drop, during_owner_code, during_owner, after_add;

static void add_in_both(client *who, callback_kind kind, DWORD index)
{
    DWORD component = 0;
    if (kind == ON_DISABLE) {
        during_add = add(who, "*", G2, index, JOIN);
        during_drop = drop(who, "*", G1, index, JOIN);
        during_owner_code = MgmGetProtocolOnInterface(index, 0, &during_owner, &component);
    } else if (kind == ON_ENABLE) {
        after_add = add(who, "*", G1, index, JOIN);
    }
}

static void c3_igmp_is_refused_while_disabled_and_adds_again_when_enabled(void)
{
    start_host();
    enrol_with(&IGMP, on_1);
    enrol_with(&A, on_none);
    CHECK_CODE(add(&IGMP, "*", G1, 1, JOIN), NO_ERROR);
    IGMP.hook = add_in_both;
    during_add = during_drop = after_add = during_owner_code = 1;
    forget_all();
    CHECK_CODE(take(&A, 1), NO_ERROR);
    CHECK_CODE(during_add, ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(during_drop, ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(during_owner_code, NO_ERROR);
    CHECK_EQ(during_owner, IGMP.protocol); /* DESIGN 2: the old owner until it changes */
    CHECK_CODE(after_add, NO_ERROR);
    /* Its old membership was dropped (a prune to the others), the new one is a local join. */
    CHECK_LINES(A, "PRUNE (*,239.1.1.1) if 1 member\nLOCAL_JOIN (*,239.1.1.1) if 1\n");
    CHECK_LINES(IGMP, "DISABLE_IGMP 1\nENABLE_IGMP 1\n");
    stop_host();
}

static void c3_memberships_that_igmp_does_not_add_again_are_gone(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&IGMP, on_1_2);
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    CHECK_CODE(release(&A, 2), NO_ERROR); /* IGMP's enable callback adds nothing */
    CHECK_OIFS(S1, G1, "");
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    stop_host();
}

static void c4_only_who_is_on_an_interface_can_release_it(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_none);
    CHECK_CODE(release(&B, 1), ERROR_INVALID_PARAMETER); /* not on it */
    CHECK_CODE(release(&B, 9), ERROR_INVALID_PARAMETER); /* unknown */
    CHECK_CODE(release(&A, 1), NO_ERROR);
    CHECK_CODE(release(&A, 1), ERROR_INVALID_PARAMETER);
    stop_host();
}

static void c4_memberships_go_with_their_alerts(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&B, on_none);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", G2, 1, JOIN), NO_ERROR);
    forget_all();
    CHECK_CODE(release(&A, 1), NO_ERROR); /* G1 stays by interface 2, G2 is gone */
    CHECK_LINES(B, "PRUNE (*,239.1.1.2) if 1 member\n");
    CHECK_CODE(release(&A, 2), NO_ERROR);
    CHECK_LINES(B, "PRUNE (*,239.1.1.1) if 2 member\n");
    CHECK_LINES(A, "");
    stop_host();
}

static void c4_entries_lose_the_interface(void)
{
    static const DWORD on_2_3[] = {2, 3, 0};
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(packet_in(2, S2, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "2 3");
    CHECK_OIFS(S2, G1, "3");
    CHECK_CODE(release(&B, 2), NO_ERROR);
    CHECK_OIFS(S1, G1, "3");       /* an outgoing interface: it leaves the list */
    CHECK_OIFS(S2, G1, "no entry"); /* the incoming interface: the entry goes */
    CHECK_CODE(release(&A, 1), NO_ERROR);
    CHECK_EQ(mfe_count(), 0);
    stop_host();
}

int main(void)
{
    RUN(c1_one_routing_protocol_owns_an_interface);
    RUN(c1_next_hops_are_interfaces_of_their_own);
    RUN(c1_igmp_shares_with_a_routing_protocol);
    RUN(c2_who_is_on_the_interface);
    RUN(c3_a_take_disables_and_enables_igmp);
    RUN(c3_nothing_where_igmp_is_not);
    RUN(c3_igmp_comes_and_goes_without_callbacks);
    RUN(c3_igmp_is_refused_while_disabled_and_adds_again_when_enabled);
    RUN(c3_memberships_that_igmp_does_not_add_again_are_gone);
    RUN(c4_only_who_is_on_an_interface_can_release_it);
    RUN(c4_memberships_go_with_their_alerts);
    RUN(c4_entries_lose_the_interface);
    return check_summary();
}
