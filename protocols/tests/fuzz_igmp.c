/* Fuzzing IGMP: packets as a packet socket gives them, first one parser and then the other, and what is sound goes on to the
 * groups. An input is a series of packets, each behind its length (two octets). */
#include "../common/net.h"
#include "../igmp/link.h"
#include <arpa/inet.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static igmp_link *fresh_link(void)
{
    static igmp_link *l;
    if (l == NULL) {
        igmp_settings settings = igmp_defaults;
        iface *i = iface_named("lan");
        settings.max_groups = 64;
        settings.max_sources = 32;
        log_level = LEVEL_OFF;
        i->index = 1;
        i->mtu = 1500;
        igmp_use(i, &settings);
        l = igmp_links;
    }
    groups_drop(l);
    l->querier = true;
    return l;
}

static void message(igmp_link *l, const uint8_t *octets, size_t size)
{
    uint8_t mended[65536];
    igmp_message m;
    igmp_record record;
    if (size < 8 || igmp_parse(octets, size, &m) == NULL)
        return;
    /* The fuzzer need not guess checksums. */
    memcpy(mended, octets, size);
    put16(mended + 2, 0);
    put16(mended + 2, ip_checksum(mended, size));
    if (igmp_parse(mended, size, &m) != NULL)
        return;
    if (m.type == IGMP_QUERY)
        querier_heard(l, htonl(0x0a000001), &m), group_lower(l, &m, 1000);
    else if (m.type == IGMP_V2_LEAVE)
        group_leave(l, m.group);
    else if (m.type != IGMP_V3_REPORT)
        group_old_report(l, m.group, m.type == IGMP_V1_REPORT ? 1 : 2);
    else
        while (igmp_next_record(&m, &record))
            group_record(l, &record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    igmp_link *l = fresh_link();
    while (size >= 2) {
        size_t length = get16(data);
        uint8_t mended[65536];
        ip_packet packet;
        data += 2;
        size -= 2;
        if (length > size)
            length = size;
        memcpy(mended, data, length);
        if (length >= 20) {
            size_t header = 4 * (size_t)(mended[0] & 15);
            put16(mended + 10, 0);
            put16(mended + 10, ip_checksum(mended, header >= 20 && header <= length ? header : 20));
        }
        if (ip_parse(mended, length, &packet) == NULL)
            message(l, packet.data, packet.size);
        message(l, data, length); /* without a header as well */
        data += length;
        size -= length;
    }
    return 0;
}
