/* Rules F1 to F4: group enumeration. */
#include "fixture.h"

static const DWORD on_1_2[] = {1, 2, 0};
static const DWORD on_3[] = {3, 0};
static const DWORD on_none[] = {0};

/* All rows of a new enumeration as text, read `at_once` rows at a time. */
static const char *rows(client *who, MGM_ENUM_TYPES type, DWORD at_once)
{
    static char text[4096];
    HANDLE handle = NULL;
    SOURCE_GROUP_ENTRY row[16];
    DWORD code = ERROR_MORE_DATA, n;
    text[0] = 0;
    CHECK_CODE(MgmGroupEnumerationStart(who->handle, type, &handle), NO_ERROR);
    while (code == ERROR_MORE_DATA) {
        DWORD size = at_once * (DWORD)sizeof row[0], count = 0;
        code = MgmGroupEnumerationGetNext(handle, &size, (PBYTE)row, &count);
        CHECK_EQ(size, at_once * sizeof row[0]);
        CHECK(count <= at_once);
        for (n = 0; n < count; n++) {
            struct in_addr s, g;
            size_t used = strlen(text);
            char source[INET_ADDRSTRLEN], group[INET_ADDRSTRLEN];
            s.s_addr = row[n].dwSourceAddr;
            g.s_addr = row[n].dwGroupAddr;
            snprintf(text + used, sizeof text - used, "%s %s\n",
                     inet_ntop(AF_INET, &s, source, sizeof source),
                     inet_ntop(AF_INET, &g, group, sizeof group));
            CHECK_EQ(row[n].dwSourceMask, row[n].dwSourceAddr ? ALL_ONES : 0);
            CHECK_EQ(row[n].dwGroupMask, row[n].dwGroupAddr ? ALL_ONES : 0);
        }
        if (code == ERROR_MORE_DATA && count == 0)
            break; /* would go on for ever */
    }
    CHECK_CODE(code, ERROR_NO_MORE_ITEMS);
    CHECK_CODE(MgmGroupEnumerationEnd(handle), NO_ERROR);
    return text;
}

/* The rows may come in any order, so look for each, and count them. */
static int has_rows(const char *text, const char *const *expected, int count)
{
    int n, lines = 0;
    const char *p;
    for (p = text; *p; p++)
        lines += *p == '\n';
    for (n = 0; n < count; n++) {
        const char *at = strstr(text, expected[n]);
        if (at == NULL || (at != text && at[-1] != '\n') || strstr(at + 1, expected[n]) != NULL) {
            printf("    %s in the rows:\n%s", at == NULL ? "missing" : "twice or inexact", text);
            printf("    row: %s", expected[n]);
            return 0;
        }
    }
    if (lines != count)
        printf("    %d rows instead of %d:\n%s", lines, count, text);
    return lines == count;
}

static void memberships(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&B, on_3);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, "*", G1, 3, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, S1, G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, S2, G2, 3, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, S4, G2, 3, JOIN), NO_ERROR);
}

static const char *const each_group[] = {"0.0.0.0 239.1.1.1\n", "0.0.0.0 239.1.1.2\n"};
static const char *const each_source[] = {"0.0.0.0 239.1.1.1\n", "10.1.0.2 239.1.1.1\n",
                                          "10.2.0.2 239.1.1.2\n", "10.4.0.2 239.1.1.2\n"};

static void f1_any_source_gives_each_group_once(void)
{
    memberships();
    CHECK(has_rows(rows(&A, ANY_SOURCE, 16), each_group, 2));
    CHECK(has_rows(rows(&B, ANY_SOURCE, 16), each_group, 2));
    CHECK(has_rows(rows(&A, ANY_SOURCE, 1), each_group, 2));
    stop_host();
}

static void f1_all_sources_gives_each_entry_once(void)
{
    memberships();
    CHECK(has_rows(rows(&A, ALL_SOURCES, 16), each_source, 4));
    CHECK(has_rows(rows(&A, ALL_SOURCES, 3), each_source, 4));
    CHECK(has_rows(rows(&A, ALL_SOURCES, 1), each_source, 4));
    stop_host();
}

static void f1_the_wildcard_is_one_row(void)
{
    static const char *const groups[] = {"0.0.0.0 0.0.0.0\n", "0.0.0.0 239.1.1.1\n"};
    static const char *const sources[] = {"0.0.0.0 0.0.0.0\n", "10.1.0.2 239.1.1.1\n"};
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&B, on_3);
    CHECK_CODE(add(&A, "*", "*", 1, JOIN), NO_ERROR);
    CHECK_CODE(add(&B, "*", "*", 3, JOIN), NO_ERROR);
    CHECK_CODE(add(&A, S1, G1, 1, JOIN), NO_ERROR);
    CHECK(has_rows(rows(&A, ANY_SOURCE, 16), groups, 2));
    CHECK(has_rows(rows(&A, ALL_SOURCES, 16), sources, 2));
    stop_host();
}

static void f1_igmp_is_enumerated_like_any_other(void)
{
    static const char *const expected[] = {"0.0.0.0 239.1.1.3\n"};
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&IGMP, on_1_2);
    CHECK_CODE(add(&IGMP, "*", G3, 2, JOIN), NO_ERROR);
    CHECK(has_rows(rows(&IGMP, ALL_SOURCES, 16), expected, 1));
    stop_host();
}

static void f1_forward_state_is_no_membership(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(add(&A, "*", G1, 2, FORWARD), NO_ERROR);
    CHECK_TEXT(rows(&A, ALL_SOURCES, 16), "");
    stop_host();
}

static void f1_start_checks_its_arguments(void)
{
    HANDLE handle = NULL;
    start_host();
    enrol_with(&A, on_none);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, (MGM_ENUM_TYPES)2, &handle),
               ERROR_INVALID_PARAMETER);
    CHECK(handle == NULL);
    CHECK_CODE(MgmGroupEnumerationStart(NULL, ANY_SOURCE, &handle), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ANY_SOURCE, NULL), ERROR_INVALID_PARAMETER);
    stop_host();
}

static void f2_buffers(void)
{
    HANDLE handle = NULL;
    BYTE buffer[64];
    DWORD size, count, n;
    memberships();
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ALL_SOURCES, &handle), NO_ERROR);
    size = 15;
    count = 9;
    CHECK_CODE(MgmGroupEnumerationGetNext(handle, &size, buffer, &count),
               ERROR_INSUFFICIENT_BUFFER);
    CHECK_EQ(size, 16);
    CHECK_EQ(count, 0);
    size = 0;
    CHECK_CODE(MgmGroupEnumerationGetNext(handle, &size, buffer, &count),
               ERROR_INSUFFICIENT_BUFFER);
    CHECK_EQ(size, 16);
    memset(buffer, 0xee, sizeof buffer);
    size = 50; /* three rows and two octets */
    CHECK_CODE(MgmGroupEnumerationGetNext(handle, &size, buffer, &count), ERROR_MORE_DATA);
    CHECK_EQ(size, 50);
    CHECK_EQ(count, 3);
    for (n = 48; n < sizeof buffer && buffer[n] == 0xee; n++)
        ;
    CHECK_EQ(n, sizeof buffer);
    CHECK_CODE(MgmGroupEnumerationGetNext(handle, &size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 1); /* the last row comes with NO_MORE_ITEMS */
    count = 9;
    CHECK_CODE(MgmGroupEnumerationGetNext(handle, &size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 0);
    CHECK_CODE(MgmGroupEnumerationEnd(handle), NO_ERROR);
    stop_host();
}

static void f2_nothing_to_enumerate(void)
{
    start_host();
    enrol_with(&A, on_none);
    CHECK_TEXT(rows(&A, ANY_SOURCE, 4), "");
    CHECK_TEXT(rows(&A, ALL_SOURCES, 4), "");
    stop_host();
}

/* 100 groups, 1 to 100, stay throughout; 101 to 200 go and come while rows are read. */
static void f3_changes_meanwhile(void)
{
    int seen[256], n, step = 0;
    HANDLE handle = NULL;
    SOURCE_GROUP_ENTRY row[3];
    DWORD code = ERROR_MORE_DATA;
    char group[32];
    start_host();
    enrol_with(&A, on_1_2);
    for (n = 1; n <= 150; n++) {
        snprintf(group, sizeof group, "239.7.%d.%d", n % 5, n);
        CHECK_CODE(add(&A, "*", group, 1, JOIN), NO_ERROR);
    }
    memset(seen, 0, sizeof seen);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ALL_SOURCES, &handle), NO_ERROR);
    while (code == ERROR_MORE_DATA && step < 300) {
        DWORD size = sizeof row, count = 0, r;
        code = MgmGroupEnumerationGetNext(handle, &size, (PBYTE)row, &count);
        for (r = 0; r < count; r++)
            seen[ntohl(row[r].dwGroupAddr) & 255]++;
        for (n = 101 + step * 7; n <= 101 + step * 7 + 6; n++) {
            int g = 101 + (n - 101) % 100;
            snprintf(group, sizeof group, "239.7.%d.%d", g % 5, g);
            if (g <= 150)
                CHECK_CODE(drop(&A, "*", group, 1, JOIN), NO_ERROR);
            else
                CHECK_CODE(add(&A, "*", group, 1, JOIN), NO_ERROR);
        }
        step++;
    }
    CHECK_CODE(code, ERROR_NO_MORE_ITEMS);
    for (n = 1; n <= 100; n++)
        CHECK_EQ(seen[n], 1);
    for (n = 101; n <= 200; n++)
        CHECK(seen[n] <= 1);
    CHECK_CODE(MgmGroupEnumerationEnd(handle), NO_ERROR);
    stop_host();
}

static void f4_end_destroys_the_handle(void)
{
    HANDLE first = NULL, second = NULL;
    BYTE buffer[64];
    DWORD size = sizeof buffer, count = 0;
    memberships();
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ANY_SOURCE, &first), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ANY_SOURCE, &second), NO_ERROR);
    CHECK(first != second);
    CHECK_CODE(MgmGroupEnumerationEnd(first), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationEnd(first), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationGetNext(first, &size, buffer, &count), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationGetNext(second, &size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 2);
    CHECK_CODE(MgmGroupEnumerationEnd(second), NO_ERROR);
    stop_host();
}

int main(void)
{
    RUN(f1_any_source_gives_each_group_once);
    RUN(f1_all_sources_gives_each_entry_once);
    RUN(f1_the_wildcard_is_one_row);
    RUN(f1_igmp_is_enumerated_like_any_other);
    RUN(f1_forward_state_is_no_membership);
    RUN(f1_start_checks_its_arguments);
    RUN(f2_buffers);
    RUN(f2_nothing_to_enumerate);
    RUN(f3_changes_meanwhile);
    RUN(f4_end_destroys_the_handle);
    return check_summary();
}
