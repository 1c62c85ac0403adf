/* All functions of mgm.h and mgm_host.h, found in libmgm.so.1 with dlopen and dlsym. A program
 * that is linked with this file instead of with -lmgm runs as it is, against a library that was
 * loaded. Built with gcc or clang as gnu11, whatever the program is built as. */
#include "mgm_host.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *library;

static void *find(const char *name)
{
    void *function = library ? dlsym(library, name) : NULL;
    if (function == NULL) {
        fprintf(stderr, "mgm_dl: %s\n", dlerror());
        abort();
    }
    return function;
}

/* FORWARD(name, (parameters), (arguments)) */
#define FORWARD(name, parameters, arguments) \
    DWORD name parameters \
    { \
        static __typeof__(&name) found; \
        __typeof__(&name) function = __atomic_load_n(&found, __ATOMIC_RELAXED); \
        if (function == NULL) { \
            function = (__typeof__(&name))find(#name); \
            __atomic_store_n(&found, function, __ATOMIC_RELAXED); \
        } \
        return function arguments; \
    }

/* Before other constructors, of which one may make a process that needs the library (apart.c). */
__attribute__((constructor(101))) static void open_library(void)
{
    library = dlopen("libmgm.so.1", RTLD_NOW | RTLD_LOCAL);
}

FORWARD(MgmRegisterMProtocol,
        (PROUTING_PROTOCOL_CONFIG config, DWORD protocol, DWORD component, HANDLE *handle),
        (config, protocol, component, handle))
FORWARD(MgmDeRegisterMProtocol, (HANDLE handle), (handle))
FORWARD(MgmTakeInterfaceOwnership, (HANDLE handle, DWORD index, DWORD next_hop),
        (handle, index, next_hop))
FORWARD(MgmReleaseInterfaceOwnership, (HANDLE handle, DWORD index, DWORD next_hop),
        (handle, index, next_hop))
FORWARD(MgmGetProtocolOnInterface,
        (DWORD index, DWORD next_hop, PDWORD protocol, PDWORD component),
        (index, next_hop, protocol, component))
FORWARD(MgmAddGroupMembershipEntry,
        (HANDLE handle, DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
         DWORD index, DWORD next_hop, DWORD flags),
        (handle, source, source_mask, group, group_mask, index, next_hop, flags))
FORWARD(MgmDeleteGroupMembershipEntry,
        (HANDLE handle, DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
         DWORD index, DWORD next_hop, DWORD flags),
        (handle, source, source_mask, group, group_mask, index, next_hop, flags))
FORWARD(MgmGetMfe, (PMIB_IPMCAST_MFE key, PDWORD size, PBYTE buffer), (key, size, buffer))
FORWARD(MgmGetFirstMfe, (PDWORD size, PBYTE buffer, PDWORD count), (size, buffer, count))
FORWARD(MgmGetNextMfe, (PMIB_IPMCAST_MFE key, PDWORD size, PBYTE buffer, PDWORD count),
        (key, size, buffer, count))
FORWARD(MgmGetMfeStats, (PMIB_IPMCAST_MFE key, PDWORD size, PBYTE buffer, DWORD flags),
        (key, size, buffer, flags))
FORWARD(MgmGetFirstMfeStats, (PDWORD size, PBYTE buffer, PDWORD count, DWORD flags),
        (size, buffer, count, flags))
FORWARD(MgmGetNextMfeStats,
        (PMIB_IPMCAST_MFE key, PDWORD size, PBYTE buffer, PDWORD count, DWORD flags),
        (key, size, buffer, count, flags))
FORWARD(MgmSetMfe, (HANDLE handle, PMIB_IPMCAST_MFE mfe), (handle, mfe))
FORWARD(MgmGroupEnumerationStart, (HANDLE handle, MGM_ENUM_TYPES type, HANDLE *rows),
        (handle, type, rows))
FORWARD(MgmGroupEnumerationGetNext, (HANDLE rows, PDWORD size, PBYTE buffer, PDWORD count),
        (rows, size, buffer, count))
FORWARD(MgmGroupEnumerationEnd, (HANDLE rows), (rows))

FORWARD(MgmHostStart, (const MGM_HOST_CONFIG *config), (config))
FORWARD(MgmHostStop, (void), ())
FORWARD(MgmHostReceive, (DWORD index, DWORD next_hop, const BYTE *packet, DWORD size),
        (index, next_hop, packet, size))
FORWARD(MgmHostRouteChanged, (DWORD network, DWORD mask), (network, mask))
FORWARD(MgmHostInterfaceDown, (DWORD index, DWORD next_hop), (index, next_hop))
FORWARD(MgmHostGetState, (PDWORD size, PBYTE buffer), (size, buffer))
FORWARD(MgmHostGetClientFd, (HANDLE handle, int *fd), (handle, fd))
FORWARD(MgmHostDispatch, (HANDLE handle), (handle))
