/* The packets of a source come from another neighbour now: */
#include "example.h"

static void example(HANDLE me)
{
    static const BYTE packet[28] = PACKET; /* from 10.0.0.1 to 239.1.1.1 */
    MIB_IPMCAST_MFE entry = {0}, now;
    DWORD size = sizeof now;
    struct in_addr in;

    must(MgmHostReceive(1, 0, packet, sizeof packet)); /* the entry is made */
    entry.dwSource = inet_addr("10.0.0.1");
    entry.dwGroup = inet_addr("239.1.1.1");
    entry.dwUpStrmNgbr = inet_addr("10.0.0.254");
    must(MgmSetMfe(me, &entry));
    must(MgmGetMfe(&entry, &size, (PBYTE)&now));
    in.s_addr = now.dwUpStrmNgbr;
    printf("from %s\n", inet_ntoa(in));
}
/* prints
from 10.0.0.254
*/
