/* Rules D7, D8, D10: the alerts about memberships. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_1_2[] = {1, 2, 0};
static const DWORD on_2[] = {2, 0};
static const DWORD on_2_3[] = {2, 3, 0};
static const DWORD on_3[] = {3, 0};
static const DWORD on_4[] = {4, 0};
static const DWORD on_none[] = {0};

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
    RUN(d7_first_and_second_client);
    RUN(d7_last_but_one_and_last_client);
    RUN(d7_wildcard_memberships);
    RUN(d7_what_was_behind_a_wildcard_is_known_when_it_goes);
    RUN(d7_source_specific);
    RUN(d7_source_specific_while_the_group_is_wanted);
    RUN(d7_an_owner_that_holds_the_source_itself);
    RUN(d7_source_specific_to_nobody);
    RUN(d8_the_timeout_of_a_member_prune_means_nothing);
    RUN(d10_a_source_moves);
    RUN(d10_a_take_and_a_release_are_silent);
    return check_summary();
}
