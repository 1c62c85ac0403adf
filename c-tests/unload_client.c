/* A client in a shared object of its own, which unload.c loads and unloads. All that its callbacks
 * use is in this object: one that came or went on after dlclose would meet unmapped memory. */
#include "unload.h"
#include <sched.h>
#include <string.h>

unload_register_fn unload_entry; /* that unload_register has the type that unload.c takes it for */

static unload_shared *with;
static volatile unsigned own_data[1024];

static DWORD called(void)
{
    unsigned n;
    __atomic_add_fetch(&with->calls, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&with->inside, 1, __ATOMIC_SEQ_CST);
    do {
        for (n = 0; n < 1024; n += 64)
            own_data[n]++;
        sched_yield();
    } while (__atomic_load_n(&with->hold, __ATOMIC_SEQ_CST));
    __atomic_sub_fetch(&with->inside, 1, __ATOMIC_SEQ_CST);
    own_data[0]++;
    return NO_ERROR;
}

static DWORD on_rpf(DWORD s, DWORD sm, DWORD g, DWORD gm, PDWORD i, PDWORD h, PDWORD u, DWORD n,
                    PBYTE p, PBYTE r)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)i, (void)h, (void)u, (void)n, (void)p, (void)r;
    return called();
}

static DWORD on_create(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h, DWORD n,
                       PMGM_IF_ENTRY out)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)i, (void)h, (void)n, (void)out;
    return called();
}

static DWORD on_prune(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h, BOOL m, PDWORD t)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)i, (void)h, (void)m, (void)t;
    return called();
}

static DWORD on_join(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL m)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)m;
    return called();
}

static DWORD on_wrong_if(DWORD s, DWORD g, DWORD i, DWORD h, DWORD n, PBYTE p)
{
    (void)s, (void)g, (void)i, (void)h, (void)n, (void)p;
    return called();
}

DWORD unload_register(unload_shared *shared, DWORD component, HANDLE *handle);
DWORD unload_register(unload_shared *shared, DWORD component, HANDLE *handle)
{
    ROUTING_PROTOCOL_CONFIG config;
    unload_entry = unload_register;
    with = shared;
    memset(&config, 0, sizeof config);
    config.pfnRpfCallback = on_rpf;
    config.pfnCreationAlertCallback = on_create;
    config.pfnPruneAlertCallback = on_prune;
    config.pfnJoinAlertCallback = on_join;
    config.pfnWrongIfCallback = on_wrong_if;
    return MgmRegisterMProtocol(&config, 5000, component, handle);
}
