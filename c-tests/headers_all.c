/* Every header, in an order of its own, twice. Compiled, not run. */
#include <mgm_host.h>
#include <iphlpapi.h>
#include <routprot.h>
#include <ipmib.h>
#include <mgm.h>
#include <rtmv2.h>
#include <iprtrmib.h>
#include <windows.h>
#include <winsock2.h>
#include <mgm_host.h>
#include <mgm.h>

int main(void)
{
    MGM_HOST_CONFIG config;
    MGM_HOST_FORWARDER forwarder;
    ZeroMemory(&config, sizeof config);
    ZeroMemory(&forwarder, sizeof forwarder);
    config.dwSize = (DWORD)sizeof config;
    config.dwForwarder = MGM_FORWARDER_CUSTOM;
    config.dwLogLevel = MGM_LOG_OFF;
    config.pForwarder = &forwarder;
    forwarder.dwSize = (DWORD)sizeof forwarder;
    return MgmHostStart(&config) == ERROR_INVALID_PARAMETER ? 0 : 1;
}
