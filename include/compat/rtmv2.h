/* rtmv2.h: of all that it has on Windows, RTM_DEST_INFO, which mgm.h defines. */
#ifndef MGM_COMPAT_RTMV2_H
#define MGM_COMPAT_RTMV2_H

#include <mgm.h>

#endif /* MGM_COMPAT_RTMV2_H */
