/* Who wants what: for each (S,G) and (*,G) the interfaces whose hosts want it, and whether other clients of the group manager
 * do. What comes of it for a group goes to the host side (RFC 4605 section 4.1: the merged subscription). */
#ifndef PROXY_WANTS_H
#define PROXY_WANTS_H

#include <stdbool.h>
#include <stdint.h>

enum { MAX_SLOTS = 31 }; /* downstream interfaces; the kernel has 32 in all */

/* Hosts on the interface of this slot (0 to 30) want it, or no longer; source 0 is (*,G). */
void wants_local(unsigned slot, uint32_t source, uint32_t group, bool wanted);
/* The interface has gone, and all its hosts with it. */
void wants_no_slot(unsigned slot);

/* Other clients want it, as the last alert says. `certain` is false for what was read from the list of groups, which does not
 * tell whose a membership is: wants_check drops such that are not on the list any more. */
void wants_others(uint32_t source, uint32_t group, bool wanted, bool certain);
void wants_no_others(void); /* the group manager has gone, and nothing is known of them */
bool wants_uncertain(void); /* is there anything for wants_check to look at? */
void wants_check(bool (*listed)(uint32_t source, uint32_t group));

/* For some seconds what goes is not reported: the group manager was restarted, and members are told again one by one. */
void wants_hold(bool hold);

#endif
