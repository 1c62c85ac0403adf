/* routprot.h: of all that it has on Windows, the protocol ids, which mgm.h defines. */
#ifndef MGM_COMPAT_ROUTPROT_H
#define MGM_COMPAT_ROUTPROT_H

#include <mgm.h>

#endif /* MGM_COMPAT_ROUTPROT_H */
