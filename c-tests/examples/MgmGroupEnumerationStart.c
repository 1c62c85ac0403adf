/* A row for each source and for "any source", or for each group alone: */
#include "example.h"

static void count_rows(HANDLE me, MGM_ENUM_TYPES kind, const char *name)
{
    SOURCE_GROUP_ENTRY rows[16];
    DWORD count, size = sizeof rows;
    HANDLE enumeration;

    must(MgmGroupEnumerationStart(me, kind, &enumeration));
    if (MgmGroupEnumerationGetNext(enumeration, &size, (PBYTE)rows, &count) == ERROR_NO_MORE_ITEMS)
        printf("%s: %u rows\n", name, (unsigned)count);
    must(MgmGroupEnumerationEnd(enumeration));
}

static void example(HANDLE me)
{
    DWORD group = inet_addr("239.1.1.1"), source = inet_addr("10.0.0.1");

    must(MgmAddGroupMembershipEntry(me, 0, 0, group, 0xffffffff, 1, 0, MGM_JOIN_STATE_FLAG));
    must(MgmAddGroupMembershipEntry(me, source, 0xffffffff, group, 0xffffffff, 2, 0,
                                    MGM_JOIN_STATE_FLAG));
    count_rows(me, ANY_SOURCE, "groups");
    count_rows(me, ALL_SOURCES, "groups and sources");
}
/* prints
groups: 1 rows
groups and sources: 2 rows
*/
