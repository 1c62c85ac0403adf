/* Packets: what is read from the wire, and what is sent. Addresses are in network byte order. */
#ifndef COMMON_NET_H
#define COMMON_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "iface.h"

/* The Internet checksum (RFC 1071), as it stands in a packet in host byte order: over octets that hold a right checksum
 * already it is 0. */
uint16_t ip_checksum(const uint8_t *octets, size_t size);

/* Numbers in packets, which may stand anywhere. An address is read and written in network byte order. */
uint16_t get16(const uint8_t *at);
uint32_t get32(const uint8_t *at);
uint32_t get_address(const uint8_t *at);
void put16(uint8_t *at, uint16_t value);
void put32(uint8_t *at, uint32_t value);
void put_address(uint8_t *at, uint32_t address);

/* 224.0.0.0/4; 224.0.0.0/24, which no router forwards. */
bool is_multicast(uint32_t address);
bool is_link_local_group(uint32_t address);
/* Can be the source of a packet: not 0, not multicast, not broadcast, not 127/8. */
bool is_host_address(uint32_t address);

typedef struct ip_packet {
    uint32_t source, destination;
    uint8_t protocol, ttl, tos;
    bool router_alert;      /* RFC 2113 */
    size_t header_size;
    const uint8_t *data;    /* behind the header */
    size_t size;            /* of the data, as the header says: frames may be longer */
} ip_packet;

/* Reads a packet that came over a packet socket, where the kernel has not looked at it: version, lengths, checksum, no
 * fragment, sound options. NULL: it is sound and *packet is filled in; otherwise what is wrong. */
const char *ip_parse(const uint8_t *octets, size_t length, ip_packet *packet);

/* A socket that hears packets of one IP protocol on all devices, joined groups or not, with router alert or not; or -1. */
int packet_socket(uint8_t protocol);
/* From now on it hears one device alone; false: there is no such device any more. */
bool packet_hear_only(int fd, unsigned index);
/* Reads one packet of it. Gives its size, and the device it came in on; -1: nothing is there now. Packets that this machine
 * sends are passed over. `buffer` should hold 65536 octets. */
long packet_read(int fd, uint8_t *buffer, size_t size, unsigned *index);

/* A socket that only sends packets of one IP protocol, with the router alert option or without, multicasts with TTL 1 that do
 * not come back; or -1. */
int raw_socket(uint8_t protocol, bool router_alert);
/* Sends from the interface, with `source` (0: its first address). False, with errno: it was not sent. */
bool raw_send(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *data, size_t size);

#endif
