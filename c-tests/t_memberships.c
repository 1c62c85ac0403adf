/* Rules D1 to D9: memberships, and the alerts and forwarding lists that follow from them. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_1_2[] = {1, 2, 0};
static const DWORD on_2[] = {2, 0};
static const DWORD on_2_3[] = {2, 3, 0};
static const DWORD on_3[] = {3, 0};
static const DWORD on_4[] = {4, 0};
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

static void d7_first_and_second_client(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&B, on_3);
    enrol_with(&C, on_4);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR); /* 0 to 1: all others */
    CHECK_LINES(A, "");
    CHECK_LINES(B, "JOIN (*,239.1.1.1) member\n");
    CHECK_LINES(C, "JOIN (*,239.1.1.1) member\n");
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR); /* a client already counted */
    CHECK_LINES(B, "");
    CHECK_LINES(C, "");
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR); /* 1 to 2: the first */
    CHECK_LINES(A, "JOIN (*,239.1.1.1) member\n");
    CHECK_LINES(B, "");
    CHECK_LINES(C, "");
    CHECK_CODE(add(&C, "*", G1, 4, JOIN), NO_ERROR); /* 2 to 3: nobody */
    CHECK_LINES(A, "");
    CHECK_LINES(B, "");
    CHECK_LINES(C, "");
    stop_host();
}

static void d7_last_but_one_and_last_client(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&B, on_3);
    enrol_with(&C, on_4);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);
    CHECK_CODE(add(&C, "*", G1, 4, JOIN), NO_ERROR);
    forget_all();
    CHECK_CODE(drop(&B, "*", G1, 3, JOIN), NO_ERROR); /* 3 to 2: nobody */
    CHECK_LINES(A, "");
    CHECK_LINES(C, "");
    CHECK_CODE(drop(&A, "*", G1, 1, JOIN), NO_ERROR); /* still counted by interface 2 */
    CHECK_LINES(C, "");
    CHECK_CODE(drop(&A, "*", G1, 2, JOIN), NO_ERROR); /* 2 to 1: the one that remains */
    CHECK_LINES(A, "");
    CHECK_LINES(B, "");
    CHECK_LINES(C, "PRUNE (*,239.1.1.1) if 2 member\n");
    CHECK_CODE(drop(&C, "*", G1, 4, JOIN), NO_ERROR); /* 1 to 0: all others */
    CHECK_LINES(A, "PRUNE (*,239.1.1.1) if 4 member\n");
    CHECK_LINES(B, "PRUNE (*,239.1.1.1) if 4 member\n");
    CHECK_LINES(C, "");
    stop_host();
}

/* Each key stands alone: (*,*) counts for no group. */
static void d7_wildcard_memberships(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    enrol_with(&C, on_none);
    CHECK_CODE(add(&A, "*", "*", 1, JOIN), NO_ERROR);
    CHECK_LINES(A, "");
    CHECK_LINES(B, "JOIN (*,*) member\n");
    CHECK_LINES(C, "JOIN (*,*) member\n");
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "JOIN (*,239.1.1.1) member\n");
    CHECK_LINES(C, "JOIN (*,239.1.1.1) member\n");
    CHECK_CODE(add(&B, "*", "*", 2, JOIN), NO_ERROR); /* holders of (*,*) from 1 to 2 */
    CHECK_LINES(A, "JOIN (*,*) member\n");
    CHECK_LINES(C, "");
    CHECK_CODE(drop(&A, "*", "*", 1, JOIN), NO_ERROR);
    CHECK_LINES(B, "PRUNE (*,*) if 1 member\n");
    CHECK_LINES(C, "");
    CHECK_CODE(drop(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "PRUNE (*,239.1.1.1) if 2 member\n");
    CHECK_LINES(C, "PRUNE (*,239.1.1.1) if 2 member\n");
    CHECK_CODE(drop(&B, "*", "*", 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "PRUNE (*,*) if 2 member\n");
    CHECK_LINES(C, "PRUNE (*,*) if 2 member\n");
    CHECK_LINES(B, "");
    stop_host();
}

/* C may not take the end of (*,*) for the end of everything. */
static void d7_what_was_behind_a_wildcard_is_known_when_it_goes(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    enrol_with(&C, on_none);
    CHECK_CODE(add(&A, "*", "*", 1, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(drop(&A, "*", "*", 1, JOIN), NO_ERROR);
    CHECK_LINES(C, "JOIN (*,*) member\nJOIN (*,239.1.1.1) member\nPRUNE (*,*) if 1 member\n");
    stop_host();
}

static void d7_source_specific(void)
{
    start_host();
    enrol_with(&A, on_1); /* owns the interface toward S1 */
    enrol_with(&B, on_2);
    enrol_with(&C, on_3);
    CHECK_CODE(add(&B, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "JOIN (10.1.0.2,239.1.1.1) member\n");
    CHECK_LINES(C, "");
    CHECK_CODE(add(&C, S1, G1, 3, JOIN), NO_ERROR); /* not the first */
    CHECK_LINES(A, "");
    CHECK_LINES(B, "");
    CHECK_CODE(drop(&B, S1, G1, 2, JOIN), NO_ERROR); /* not the last */
    CHECK_LINES(A, "");
    CHECK_LINES(C, "");
    CHECK_CODE(drop(&C, S1, G1, 3, JOIN), NO_ERROR);
    CHECK_LINES(A, "PRUNE (10.1.0.2,239.1.1.1) if 3 member\n");
    CHECK_LINES(B, "");
    stop_host();
}

static void d7_source_specific_while_the_group_is_wanted(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    enrol_with(&C, on_3);
    CHECK_CODE(add(&B, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&C, "*", G1, 3, JOIN), NO_ERROR);
    CHECK_CODE(add(&C, "*", "*", 3, JOIN), NO_ERROR);
    forget_all();
    CHECK_CODE(drop(&B, S1, G1, 2, JOIN), NO_ERROR); /* other keys do not matter */
    CHECK_LINES(A, "PRUNE (10.1.0.2,239.1.1.1) if 2 member\n");
    CHECK_CODE(add(&B, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "JOIN (10.1.0.2,239.1.1.1) member\n");
    stop_host();
}

static void d7_an_owner_that_holds_the_source_itself(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&A, S1, G1, 1, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, S1, G1, 2, JOIN), NO_ERROR); /* the first besides A */
    CHECK_LINES(A, "JOIN (10.1.0.2,239.1.1.1) member\n");
    CHECK_CODE(drop(&B, S1, G1, 2, JOIN), NO_ERROR); /* and the last */
    CHECK_LINES(A, "PRUNE (10.1.0.2,239.1.1.1) if 2 member\n");
    CHECK_CODE(add(&B, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(drop(&A, S1, G1, 1, JOIN), NO_ERROR);
    CHECK_CODE(drop(&B, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "JOIN (10.1.0.2,239.1.1.1) member\n"
                   "PRUNE (10.1.0.2,239.1.1.1) if 2 member\n");
    CHECK_LINES(B, "");
    stop_host();
}

static void d7_source_specific_to_nobody(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&A, S1, G1, 1, JOIN), NO_ERROR); /* A itself owns the interface toward S1 */
    CHECK_LINES(A, "");
    CHECK_LINES(B, "");
    CHECK_CODE(add(&A, S4, G1, 1, JOIN), NO_ERROR); /* interface 4 has no owner */
    CHECK_LINES(B, "");
    route_via(2, 0);
    CHECK_CODE(add(&A, S2, G1, 1, JOIN), NO_ERROR); /* no route */
    CHECK_LINES(B, "");
    stop_host();
}

static DWORD lifetime_of_the_entry(void)
{
    MIB_IPMCAST_MFE mfe;
    CHECK(mfe_of(S1, G1, &mfe));
    return mfe.ulTimeOut;
}

static void d8_the_timeout_of_a_member_prune_means_nothing(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2_3);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 3, FORWARD), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(add(&B, S1, G1, 3, FORWARD), NO_ERROR);
    CHECK_OIFS(S1, G1, "2 3");
    forget_all();
    A.prune_timeout = 77;
    CHECK_CODE(drop(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "PRUNE (*,239.1.1.1) if 2 member\n");
    CHECK_EQ(lifetime_of_the_entry(), 900);
    CHECK_CODE(drop(&B, S1, G1, 3, FORWARD), NO_ERROR);
    CHECK_LINES(A, "PRUNE (10.1.0.2,239.1.1.1) if 3 flow\n");
    CHECK_EQ(lifetime_of_the_entry(), 77);
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

/* The route toward S1 moves, with an entry and without one. */
static void d10_a_source_moves(void)
{
    int entry;
    for (entry = 0; entry < 2; entry++) {
        start_host();
        enrol_with(&A, on_1);
        enrol_with(&B, on_2);
        enrol_with(&C, on_3);
        CHECK_CODE(add(&B, S1, G1, 2, JOIN), NO_ERROR);
        if (entry)
            CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
        forget_all();
        route_via(1, 3);
        CHECK_CODE(route_changed(1), NO_ERROR);
        if (entry) {
            CHECK_LINES(A, "PRUNE (10.1.0.2,239.1.1.1) if 1 member\n"
                           "PRUNE (10.1.0.2,239.1.1.1) if 1 flow\n");
            CHECK_LINES(C, "JOIN (10.1.0.2,239.1.1.1) member\n"
                           "RPF (10.1.0.2,239.1.1.1) iif 3 upstream 10.1.0.2\n"
                           "JOIN (10.1.0.2,239.1.1.1) flow\n");
        } else {
            CHECK_LINES(A, "PRUNE (10.1.0.2,239.1.1.1) if 1 member\n");
            CHECK_LINES(C, "JOIN (10.1.0.2,239.1.1.1) member\n");
        }
        CHECK_CODE(drop(&B, S1, G1, 2, JOIN), NO_ERROR);
        CHECK_LINES(A, "");
        CHECK_LINES(C, entry ? "PRUNE (10.1.0.2,239.1.1.1) if 2 member\n"
                               "PRUNE (10.1.0.2,239.1.1.1) if 2 flow\n"
                             : "PRUNE (10.1.0.2,239.1.1.1) if 2 member\n");
        stop_host();
    }
}

/* Whoever takes the interface enumerates what is there, and hears of it when it goes. */
static void d10_a_take_and_a_release_are_silent(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    enrol_with(&C, on_none);
    CHECK_CODE(add(&B, S1, G1, 2, JOIN), NO_ERROR);
    forget_all();
    CHECK_CODE(release(&A, 1), NO_ERROR);
    CHECK_CODE(take(&C, 1), NO_ERROR);
    CHECK_LINES(A, "");
    CHECK_LINES(C, "");
    CHECK_CODE(drop(&B, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "");
    CHECK_LINES(C, "PRUNE (10.1.0.2,239.1.1.1) if 2 member\n");
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
    RUN(d7_first_and_second_client);
    RUN(d7_last_but_one_and_last_client);
    RUN(d7_wildcard_memberships);
    RUN(d7_what_was_behind_a_wildcard_is_known_when_it_goes);
    RUN(d7_source_specific);
    RUN(d7_source_specific_while_the_group_is_wanted);
    RUN(d7_an_owner_that_holds_the_source_itself);
    RUN(d7_source_specific_to_nobody);
    RUN(d8_the_timeout_of_a_member_prune_means_nothing);
    RUN(d9_igmp_is_local_to_the_owner);
    RUN(d9_the_owner_may_leave_first);
    RUN(d9_source_specific_local_join);
    RUN(d9_an_owner_without_local_join_leaves_it_to_igmp);
    RUN(d9_igmp_alone_is_an_ordinary_client);
    RUN(d10_a_source_moves);
    RUN(d10_a_take_and_a_release_are_silent);
    return check_summary();
}
