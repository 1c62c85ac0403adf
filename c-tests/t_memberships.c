/* Rules D1 to D6, D9: memberships, the forwarding lists that follow from them, and IGMP beside an owner. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_1_2[] = {1, 2, 0};
static const DWORD on_2[] = {2, 0};
static const DWORD on_none[] = {0};

static DWORD add_raw(const char *s, const char *smask, const char *g, const char *gmask)
{
    return MgmAddGroupMembershipEntry(A.handle, ip(s), ip(smask), ip(g), ip(gmask), 1, 0, JOIN);
}

static void d1_kinds_masks_and_addresses(void)
{
    /* inet_addr gives 255.255.255.255 its value even though that is also its error code. */
    const char *all = "255.255.255.255";
    static const char *const bad[][4] = {
        {"10.1.0.0", "255.255.0.0", G1, "255.255.255.255"},  /* a range of sources */
        {"*", "*", "239.1.0.0", "255.255.0.0"},              /* a range of groups */
        {"10.1.0.2", "0.0.0.1", G1, "255.255.255.255"},
        {"10.1.0.2", "255.255.255.255", "*", "*"},           /* (S,*) */
        {"*", "*", "10.1.0.9", "255.255.255.255"},           /* not a group */
        {"*", "*", "240.0.0.1", "255.255.255.255"},
        {"*", "*", "223.255.255.255", "255.255.255.255"},
        {"239.9.9.9", "255.255.255.255", G1, "255.255.255.255"}, /* not sources */
        {"255.255.255.255", "255.255.255.255", G1, "255.255.255.255"},
        {"127.0.0.1", "255.255.255.255", G1, "255.255.255.255"},
    };
    size_t n;
    start_host();
    enrol_with(&A, on_1);
    for (n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        int ok = add_raw(bad[n][0], bad[n][1], bad[n][2], bad[n][3]) == ERROR_INVALID_PARAMETER &&
                 MgmDeleteGroupMembershipEntry(A.handle, ip(bad[n][0]), ip(bad[n][1]),
                                               ip(bad[n][2]), ip(bad[n][3]), 1, 0,
                                               JOIN) == ERROR_INVALID_PARAMETER;
        if (!CHECK(ok))
            printf("    for source %s/%s group %s/%s\n", bad[n][0], bad[n][1], bad[n][2],
                   bad[n][3]);
    }
    CHECK_CODE(add_raw(S1, all, G1, all), NO_ERROR);
    CHECK_CODE(add_raw("*", "*", G1, all), NO_ERROR);
    CHECK_CODE(add_raw("*", "*", "*", "*"), NO_ERROR);
    CHECK_CODE(add_raw("*", "*", "224.0.0.5", all), NO_ERROR); /* joined, never forwarded */
    CHECK_CODE(add_raw("*", "*", "224.0.0.0", all), NO_ERROR);
    CHECK_CODE(add_raw("*", "*", "239.255.255.255", all), NO_ERROR);
    stop_host();
}

static void d2_flags(void)
{
    start_host();
    enrol_with(&A, on_1);
    CHECK_CODE(add(&A, "*", G1, 1, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(add(&A, "*", G1, 1, 4), ERROR_INVALID_PARAMETER);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN | 0x80000000u), ERROR_INVALID_PARAMETER);
    CHECK_CODE(drop(&A, "*", G1, 1, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(drop(&A, "*", G1, 1, 8), ERROR_INVALID_PARAMETER);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 1, FORWARD), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN | FORWARD), NO_ERROR);
    CHECK_EQ(MGM_FORWARD_STATE, MGM_FORWARD_STATE_FLAG);
    stop_host();
}

static void d3_the_client_must_be_on_the_interface(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), ERROR_INVALID_PARAMETER);
    CHECK_CODE(add(&A, "*", G1, 9, JOIN), ERROR_INVALID_PARAMETER);
    CHECK_CODE(drop(&A, "*", G1, 2, JOIN), ERROR_INVALID_PARAMETER); /* only others on it */
    CHECK_CODE(drop(&A, "*", G1, 9, JOIN), ERROR_NOT_FOUND);         /* unknown */
    CHECK_LINES(B, "");
    stop_host();
}

static void d4_adding_twice_and_deleting_nothing(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_none);
    CHECK_CODE(drop(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_LINES(B, "");
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_LINES(B, "JOIN (*,239.1.1.1) member\n");
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_LINES(B, "");
    CHECK_CODE(drop(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_LINES(B, "PRUNE (*,239.1.1.1) if 1 member\n");
    CHECK_CODE(drop(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_LINES(B, "");
    stop_host();
}

static void d4_entries_follow_memberships(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(take(&A, 3), NO_ERROR);
    CHECK_CODE(take(&A, 4), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(packet_in(1, S1B, G1), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G2), NO_ERROR);
    CHECK_CODE(add(&A, S1, G1, 2, JOIN), NO_ERROR);   /* (S,G): that entry */
    CHECK_CODE(add(&A, "*", G1, 3, JOIN), NO_ERROR);  /* (*,G): the group's */
    CHECK_CODE(add(&A, "*", "*", 4, JOIN), NO_ERROR); /* (*,*): all */
    CHECK_OIFS(S1, G1, "2 3 4");
    CHECK_OIFS(S1B, G1, "3 4");
    CHECK_OIFS(S1, G2, "4");
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);  /* the iif is never an oif */
    CHECK_OIFS(S1, G1, "2 3 4");
    CHECK_CODE(drop(&A, "*", "*", 4, JOIN), NO_ERROR);
    CHECK_OIFS(S1, G1, "2 3");
    CHECK_OIFS(S1, G2, "");
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);  /* two memberships cover interface 2 */
    CHECK_CODE(drop(&A, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_OIFS(S1, G1, "2 3");
    CHECK_OIFS(S1B, G1, "2 3");
    stop_host();
}

static void d5_forward_changes_entries_only(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&B, on_none);
    CHECK_CODE(add(&A, "*", G1, 2, FORWARD), NO_ERROR); /* no entry: nothing happens */
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "");
    CHECK_CODE(add(&A, "*", G1, 2, FORWARD), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    CHECK_LINES(B, ""); /* not a membership */
    CHECK_CODE(packet_in(1, S1B, G1), NO_ERROR);
    CHECK_OIFS(S1B, G1, ""); /* existing entries only */
    CHECK_CODE(drop(&A, S1, G1, 2, FORWARD), NO_ERROR);
    CHECK_OIFS(S1, G1, "");
    CHECK_CODE(add(&A, "*", "*", 2, FORWARD), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    CHECK_OIFS(S1B, G1, "2");
    stop_host();
}

static void d5_d6_forward_delete_prunes_a_member(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    CHECK_CODE(drop(&A, "*", G1, 2, FORWARD), NO_ERROR);
    CHECK_OIFS(S1, G1, ""); /* pruned, though a member */
    CHECK_CODE(packet_in(1, S1B, G1), NO_ERROR);
    CHECK_OIFS(S1B, G1, "2"); /* the membership is there and serves new entries */
    CHECK_CODE(add(&A, "*", G1, 2, FORWARD), NO_ERROR); /* grafted again */
    CHECK_OIFS(S1, G1, "2");
    CHECK_CODE(drop(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_OIFS(S1, G1, "2"); /* forced stays */
    CHECK_OIFS(S1B, G1, "2");
    stop_host();
}

static void d6_a_new_membership_lifts_a_veto(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    A.veto = 2;
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_OIFS(S1, G1, ""); /* bIsEnabled FALSE */
    CHECK_CODE(add(&A, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_OIFS(S1, G1, "2");
    stop_host();
}

static void d9_igmp_is_local_to_the_owner(void)
{
    start_host();
    enrol_with(&A, on_2);
    enrol_with(&B, on_1);
    enrol_with(&IGMP, on_2);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    forget_all();
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "LOCAL_JOIN (*,239.1.1.1) if 2\n");
    CHECK_OIFS(S1, G1, "2"); /* forwarded at once */
    CHECK_LINES(B, "JOIN (10.1.0.2,239.1.1.1) flow\n"); /* but D7 waits for the owner */
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(B, "JOIN (*,239.1.1.1) member\n");
    CHECK_LINES(IGMP, "JOIN (*,239.1.1.1) member\n");
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "LOCAL_LEAVE (*,239.1.1.1) if 2\n");
    CHECK_LINES(B, "");
    CHECK_OIFS(S1, G1, "2"); /* the owner's membership holds it */
    CHECK_CODE(drop(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(B, "PRUNE (*,239.1.1.1) if 2 member\nPRUNE (10.1.0.2,239.1.1.1) if 2 flow\n");
    CHECK_OIFS(S1, G1, "");
    stop_host();
}

static void d9_the_owner_may_leave_first(void)
{
    start_host();
    enrol_with(&A, on_2);
    enrol_with(&B, on_1);
    enrol_with(&IGMP, on_2);
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    forget_all();
    CHECK_CODE(drop(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(B, "PRUNE (*,239.1.1.1) if 2 member\n");
    CHECK_OIFS(S1, G1, "2"); /* IGMP's membership holds it */
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "LOCAL_LEAVE (*,239.1.1.1) if 2\n");
    CHECK_LINES(B, "PRUNE (10.1.0.2,239.1.1.1) if 2 flow\n");
    CHECK_OIFS(S1, G1, "");
    stop_host();
}

static void d9_source_specific_local_join(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&IGMP, on_2);
    CHECK_CODE(add(&IGMP, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "LOCAL_JOIN (10.1.0.2,239.1.1.1) if 2\n");
    CHECK_CODE(add(&IGMP, S1, G1, 2, JOIN), NO_ERROR); /* rule D4 */
    CHECK_LINES(A, "");
    CHECK_CODE(drop(&IGMP, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "LOCAL_LEAVE (10.1.0.2,239.1.1.1) if 2\n");
    stop_host();
}

static void d9_an_owner_without_local_join_leaves_it_to_igmp(void)
{
    start_host();
    A.config.pfnLocalJoinCallback = NULL;
    enrol_with(&A, on_1_2);
    enrol_with(&B, on_none);
    enrol_with(&IGMP, on_2);
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "JOIN (*,239.1.1.1) member\n");
    CHECK_LINES(B, "JOIN (*,239.1.1.1) member\n");
    CHECK_LINES(IGMP, "");
    stop_host();
}

static void d9_igmp_alone_is_an_ordinary_client(void)
{
    start_host();
    enrol_with(&B, on_none);
    enrol_with(&IGMP, on_2);
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(B, "JOIN (*,239.1.1.1) member\n");
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(B, "PRUNE (*,239.1.1.1) if 2 member\n");
    stop_host();
}

int main(void)
{
    RUN(d1_kinds_masks_and_addresses);
    RUN(d2_flags);
    RUN(d3_the_client_must_be_on_the_interface);
    RUN(d4_adding_twice_and_deleting_nothing);
    RUN(d4_entries_follow_memberships);
    RUN(d5_forward_changes_entries_only);
    RUN(d5_d6_forward_delete_prunes_a_member);
    RUN(d6_a_new_membership_lifts_a_veto);
    RUN(d9_igmp_is_local_to_the_owner);
    RUN(d9_the_owner_may_leave_first);
    RUN(d9_source_specific_local_join);
    RUN(d9_an_owner_without_local_join_leaves_it_to_igmp);
    RUN(d9_igmp_alone_is_an_ordinary_client);
    return check_summary();
}
