/* Rule G1: packets from outside cannot exhaust the router. */
#include "fixture.h"

static const DWORD on_1[] = {1, 0};
static const DWORD on_2[] = {2, 0};

static char source_text[32];
static const char *source(int n)
{
    snprintf(source_text, sizeof source_text, "10.1.1.%d", n);
    return source_text;
}

/* A cap of 8 MFEs, so at most 2 negative ones; B has members of G1, nobody of G2. */
static void eight(void)
{
    start_host_limited(8);
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
}

static int there(int n, const char *group)
{
    MIB_IPMCAST_MFE mfe;
    return mfe_of(source(n), group, &mfe);
}

static void g1_at_most_a_quarter_is_negative(void)
{
    int n;
    eight();
    for (n = 1; n <= 5; n++)
        CHECK_CODE(packet_in(1, source(n), G2), NO_ERROR);
    CHECK_EQ(mfe_count(), 2);
    CHECK(!there(1, G2) && !there(2, G2) && !there(3, G2)); /* the oldest went first */
    CHECK(there(4, G2) && there(5, G2));
    stop_host();
}

static void g1_a_new_flow_replaces_the_oldest_negative_entry(void)
{
    int n;
    eight();
    CHECK_CODE(packet_in(1, source(101), G2), NO_ERROR);
    CHECK_CODE(packet_in(1, source(102), G2), NO_ERROR);
    for (n = 1; n <= 7; n++)
        CHECK_CODE(packet_in(1, source(n), G1), NO_ERROR);
    CHECK_EQ(mfe_count(), 8);
    CHECK(!there(101, G2));
    CHECK(there(102, G2));
    CHECK(there(7, G1));
    stop_host();
}

static void g1_positive_entries_are_never_pushed_out(void)
{
    int n;
    eight();
    for (n = 1; n <= 8; n++)
        CHECK_CODE(packet_in(1, source(n), G1), NO_ERROR);
    CHECK_EQ(mfe_count(), 8);
    forget_all();
    for (n = 9; n <= 20; n++)
        CHECK_CODE(packet_in(1, source(n), G1), NO_ERROR); /* refused: counted, not forwarded */
    CHECK_SENT("");
    CHECK_EQ(mfe_count(), 8);
    for (n = 1; n <= 8; n++)
        CHECK(there(n, G1));
    CHECK_CODE(packet_in(1, source(8), G1), NO_ERROR);
    CHECK_SENT("2 (10.1.1.8,239.1.1.1)\n"); /* established flows are untouched */
    stop_host();
}

static void g1_room_is_used_again(void)
{
    int n;
    eight();
    for (n = 1; n <= 9; n++)
        CHECK_CODE(packet_in(1, source(n), G1), NO_ERROR);
    CHECK(!there(9, G1));
    CHECK_CODE(later(900), NO_ERROR); /* idle: their packets waited for them */
    CHECK_EQ(mfe_count(), 0);
    CHECK_CODE(packet_in(1, source(9), G1), NO_ERROR);
    CHECK(there(9, G1));
    stop_host();
}

int main(void)
{
    RUN(g1_at_most_a_quarter_is_negative);
    RUN(g1_a_new_flow_replaces_the_oldest_negative_entry);
    RUN(g1_positive_entries_are_never_pushed_out);
    RUN(g1_room_is_used_again);
    return check_summary();
}
