/* ipmib.h: of all that it has on Windows, the multicast records, which mgm.h defines. */
#ifndef MGM_COMPAT_IPMIB_H
#define MGM_COMPAT_IPMIB_H

#include <mgm.h>

#endif /* MGM_COMPAT_IPMIB_H */
