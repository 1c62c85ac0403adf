/* A source as it is written on Windows compiles unchanged. Compiled, not run. */
#include <winsock2.h>
#include <windows.h>
#include <iphlpapi.h>
#include <iprtrmib.h>
#include <mgm.h>
#include <routprot.h>
#include <rtmv2.h>
#include <stdio.h>
#include <stdlib.h>

static DWORD APIENTRY Shorten(PBYTE pbRoute)
{
    PRTM_DEST_INFO pInfo = (PRTM_DEST_INFO)(LPVOID)pbRoute;
    DWORD dwNet, dwMask, dwLength;

    RTM_IPV4_GET_ADDR_AND_MASK(dwNet, dwMask, &pInfo->DestAddress);
    RTM_IPV4_LEN_FROM_MASK(dwLength, dwMask);
    if ((ntohl(dwNet) & ntohl(dwMask)) != ntohl(dwNet))
        return 0;
    return pInfo->NumberOfViews == 1 && pInfo->ViewInfo[0].ViewId == RTM_VIEW_ID_MCAST
               ? dwLength
               : 0;
}

static DWORD Rpf(DWORD dwSourceAddr, DWORD dwSourceMask, DWORD dwGroupAddr, DWORD dwGroupMask,
                 PDWORD pdwInIfIndex, PDWORD pdwInIfNextHopAddr, PDWORD pdwUpStreamNbr,
                 DWORD dwHdrSize, PBYTE pbPacketHdr, PBYTE pbRoute)
{
    UNREFERENCED_PARAMETER(dwSourceMask);
    UNREFERENCED_PARAMETER(dwGroupAddr);
    UNREFERENCED_PARAMETER(dwGroupMask);
    UNREFERENCED_PARAMETER(pdwInIfIndex);
    UNREFERENCED_PARAMETER(pdwInIfNextHopAddr);
    UNREFERENCED_PARAMETER(dwHdrSize);
    UNREFERENCED_PARAMETER(pbPacketHdr);
    *pdwUpStreamNbr = dwSourceAddr;
    return Shorten(pbRoute) <= 32 ? ERROR_SUCCESS : ERROR_INVALID_PARAMETER;
}

static VOID ShowEntries(VOID)
{
    DWORD dwSize = SIZEOF_MIB_MFE(16), dwCount = 0, dwResult;
    PBYTE pbBuffer = (PBYTE)malloc(dwSize);
    MIB_IPMCAST_MFE mimLast;

    ZeroMemory(&mimLast, sizeof(mimLast));
    dwResult = MgmGetFirstMfe(&dwSize, pbBuffer, &dwCount);
    while (dwResult == ERROR_MORE_DATA && dwCount > 0) {
        PMIB_IPMCAST_MFE pmim = (PMIB_IPMCAST_MFE)(LPVOID)pbBuffer;
        CopyMemory(&mimLast, pmim, SIZEOF_BASIC_MIB_MFE);
        dwResult = MgmGetNextMfe(&mimLast, &dwSize, pbBuffer, &dwCount);
    }
    free(pbBuffer);
}

/* Of a static route? */
static BOOL IsStatic(PMIB_MFE_STATS_TABLE pTable, DWORD dwAt)
{
    switch (pTable->table[dwAt].dwRouteProtocol) {
    case MIB_IPPROTO_NETMGMT:
    case PROTO_IP_NT_STATIC:
    case PROTO_IP_NT_STATIC_NON_DOD:
        return dwAt < pTable->dwNumEntries;
    default:
        return FALSE;
    }
}

int main(void)
{
    ROUTING_PROTOCOL_CONFIG rpcConfig;
    HANDLE hProtocol = NULL, hEnum = NULL;
    SOURCE_GROUP_ENTRY rgRows[16];
    DWORD dwSize = sizeof(rgRows), dwCount, dwResult;
    MIB_MFE_STATS_TABLE mstNone;

    ZeroMemory(&mstNone, sizeof(mstNone));
    ZeroMemory(&rpcConfig, sizeof(ROUTING_PROTOCOL_CONFIG));
    rpcConfig.pfnRpfCallback = IsStatic(&mstNone, 0) ? NULL : Rpf;
    dwResult = MgmRegisterMProtocol(&rpcConfig,
                                    PROTOCOL_ID(PROTO_TYPE_MCAST, PROTO_VENDOR_MS1, 17), 1,
                                    &hProtocol);
    if (dwResult != NO_ERROR) {
        printf("MgmRegisterMProtocol: %u\n", dwResult);
        return 1;
    }
    ShowEntries();
    if (MgmGroupEnumerationStart(hProtocol, ALL_SOURCES, &hEnum) == NO_ERROR) {
        MgmGroupEnumerationGetNext(hEnum, &dwSize, (PBYTE)rgRows, &dwCount);
        MgmGroupEnumerationEnd(hEnum);
    }
    return MgmDeRegisterMProtocol(hProtocol) == NO_ERROR ? 0 : 1;
}
