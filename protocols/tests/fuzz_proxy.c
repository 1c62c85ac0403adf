/* Fuzzing the proxy's host side: queries and reports as they come, and changes of what is wanted in between.
 *
 * without: proxy.c manager.c
 * with: protocols/igmp/packet.c */
#include "../common/log.h"
#include "../common/net.h"
#include "../proxy/host.h"
#include "../proxy/wants.h"
#include <arpa/inet.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool sent(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *octets, size_t size)
{
    igmp_message m;
    (void)fd, (void)i, (void)source, (void)to;
    if (igmp_parse(octets, size, &m) != NULL)
        __builtin_trap(); /* what is sent is sound */
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static iface *up;
    if (up == NULL) {
        log_level = LEVEL_OFF;
        up = iface_named("uplink");
        up->index = 1;
        up->up = true;
        up->mtu = 200;
        up->address = htonl(0x0a090002);
        host_start(up, -1, sent);
    }
    /* As at the start: nothing is wanted, and no older querier known. */
    for (unsigned slot = 0; slot < MAX_SLOTS; slot++)
        wants_no_slot(slot);
    wants_no_others();
    up->up = false;
    host_changed();
    host_leave_all();
    up->up = true;
    host_changed();
    while (size >= 4) {
        uint32_t group = htonl(0xef010100u + data[1] % 16), source = data[2] % 16 ? htonl(0x0a000000u + data[2] % 16) : 0;
        uint8_t what = data[0];
        igmp_message m;
        if (what % 8 == 0)
            wants_local(data[3] % MAX_SLOTS, source, group, what & 16);
        else if (what % 8 == 1)
            wants_others(source, group, what & 16, what & 32);
        else if (what % 8 == 2)
            wants_no_slot(data[3] % MAX_SLOTS);
        else if (what % 8 == 3)
            host_leave_all();
        else if (what % 8 == 4 && (up->up = !up->up, true))
            host_changed();
        else if (igmp_parse(data + 4, size - 4, &m) == NULL) {
            host_heard(&m);
            return 0;
        } else if (size >= 12) { /* the fuzzer need not guess checksums */
            uint8_t mended[2048];
            size_t length = size - 4 > sizeof mended ? sizeof mended : size - 4;
            for (size_t n = 0; n < length; n++)
                mended[n] = data[4 + n];
            put16(mended + 2, 0);
            put16(mended + 2, ip_checksum(mended, length));
            if (igmp_parse(mended, length, &m) == NULL)
                host_heard(&m);
            return 0;
        }
        data += 4;
        size -= 4;
    }
    return 0;
}
