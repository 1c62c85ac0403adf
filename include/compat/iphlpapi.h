/* iphlpapi.h: of all that it has on Windows, the multicast records of ipmib.h, which mgm.h defines. */
#ifndef MGM_COMPAT_IPHLPAPI_H
#define MGM_COMPAT_IPHLPAPI_H

#include <mgm.h>

#endif /* MGM_COMPAT_IPHLPAPI_H */
