/* mgm.h needs nothing before it. Compiled, not run. */
#include <mgm.h>

static DWORD on_join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL update)
{
    (void)source_mask, (void)group_mask, (void)update;
    return source == group ? ERROR_NOT_FOUND : NO_ERROR;
}

int main(void)
{
    ROUTING_PROTOCOL_CONFIG config = {0, 0, 0, 0, on_join, 0, 0, 0, 0, 0};
    HANDLE protocol;
    return MgmRegisterMProtocol(&config, MS_IP_IGMP, 1, &protocol) == NO_ERROR ? 0 : 1;
}
