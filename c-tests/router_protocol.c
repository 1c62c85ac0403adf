/* The routing protocol of the router: it owns every interface, accepts the route toward a source
 * as the way in, and lets IGMP's members in by its local-join callback. It has no neighbours to
 * tell of joins and prunes, so it prints them.
 *
 * Callbacks come on any thread, one at a time (rule A7). They touch nothing but mgm.h and `say`. */
#include "router.h"
#include "mgm_host.h"
#include <string.h>

#define WHO "protocol"

static HANDLE protocol;

static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index,
                 PDWORD next_hop, PDWORD upstream, DWORD header_size, PBYTE header, PBYTE route)
{
    (void)source_mask;
    (void)group_mask;
    (void)next_hop;
    (void)header_size;
    (void)header;
    (void)route;
    say(WHO, "new flow %s: accepted in %s, upstream %s", entry_text(source, group),
        interface_name(*index), address_text(*upstream));
    return NO_ERROR;
}

static DWORD creation_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                            DWORD index, DWORD next_hop, DWORD count, PMGM_IF_ENTRY out)
{
    char list[256] = "";
    DWORD n;
    (void)source_mask;
    (void)group_mask;
    (void)next_hop;
    for (n = 0; n < count; n++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, " %s%s", interface_name(out[n].dwIfIndex),
                 out[n].bIGMP ? "" : " (without IGMP)");
    }
    say(WHO, "entry %s: in %s, out%s", entry_text(source, group), interface_name(index), list);
    return NO_ERROR;
}

static DWORD prune_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                         DWORD index, DWORD next_hop, BOOL member, PDWORD timeout)
{
    (void)source_mask;
    (void)group_mask;
    (void)next_hop;
    (void)timeout; /* the 900 seconds that it holds are right */
    if (member)
        say(WHO, "prune alert %s: the last member left %s", entry_text(source, group),
            interface_name(index));
    else
        say(WHO, "prune alert %s: forwarded to nobody", entry_text(source, group));
    return NO_ERROR;
}

static DWORD join_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                        BOOL member)
{
    (void)source_mask;
    (void)group_mask;
    say(WHO, "join alert %s: %s", entry_text(source, group),
        member ? "another client has members" : "forwarded to somebody");
    return NO_ERROR;
}

static DWORD wrong_if(DWORD source, DWORD group, DWORD index, DWORD next_hop, DWORD header_size,
                      PBYTE header)
{
    (void)next_hop;
    (void)header_size;
    (void)header;
    say(WHO, "wrong interface %s: a packet came in on %s", entry_text(source, group),
        interface_name(index));
    return NO_ERROR;
}

static DWORD local_join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                        DWORD index, DWORD next_hop)
{
    MUST(MgmAddGroupMembershipEntry(protocol, source, source_mask, group, group_mask, index,
                                    next_hop, MGM_JOIN_STATE_FLAG));
    say(WHO, "local join %s on %s: membership added", entry_text(source, group),
        interface_name(index));
    return NO_ERROR;
}

static DWORD local_leave(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                         DWORD index, DWORD next_hop)
{
    MUST(MgmDeleteGroupMembershipEntry(protocol, source, source_mask, group, group_mask, index,
                                       next_hop, MGM_JOIN_STATE_FLAG));
    say(WHO, "local leave %s on %s: membership deleted", entry_text(source, group),
        interface_name(index));
    return NO_ERROR;
}

HANDLE protocol_handle(void) { return protocol; }

DWORD protocol_register(void)
{
    ROUTING_PROTOCOL_CONFIG config;
    DWORD code;
    int n;
    memset(&config, 0, sizeof config);
    config.pfnRpfCallback = rpf;
    config.pfnCreationAlertCallback = creation_alert;
    config.pfnPruneAlertCallback = prune_alert;
    config.pfnJoinAlertCallback = join_alert;
    config.pfnWrongIfCallback = wrong_if;
    config.pfnLocalJoinCallback = local_join;
    config.pfnLocalLeaveCallback = local_leave;
    config.dwCallbackFlags = apart ? MGM_DISPATCHED : 0;
    code = MgmRegisterMProtocol(&config, ROUTER_PROTOCOL, 1, &protocol);
    if (code != NO_ERROR)
        return code;
    for (n = 0; n < interface_count; n++) {
        DWORD owner = 0, component = 0;
        if (!apart) { /* else IGMP starts when it likes */
            MUST(MgmGetProtocolOnInterface(interfaces[n].index, 0, &owner, &component));
            must(owner == MS_IP_IGMP ? NO_ERROR : ERROR_ALREADY_EXISTS, NO_ERROR,
                 "IGMP alone on the interface");
        }
        MUST(MgmTakeInterfaceOwnership(protocol, interfaces[n].index, 0));
        say(WHO, "owns %s (interface %u)", interfaces[n].name, (unsigned)interfaces[n].index);
    }
    return NO_ERROR;
}

void protocol_stop(void)
{
    int n;
    for (n = 0; n < interface_count; n++) /* its memberships there go with it: rule C4 */
        MUST(MgmReleaseInterfaceOwnership(protocol, interfaces[n].index, 0));
    MUST(MgmDeRegisterMProtocol(protocol));
    say(WHO, "released its interfaces and deregistered");
}
