"""A receiver: reports 239.1.1.1 by IGMPv2 twice a second, so that a router learns of it whenever it
comes to listen. Runs until it is killed."""

import socket
import time

GROUP = socket.inet_aton("239.1.1.1")
REPORT = b"\x16\x00"
ROUTER_ALERT = b"\x94\x04\x00\x00"


def checksum(data):
    total = sum(int.from_bytes(data[at:at + 2], "big") for at in range(0, len(data), 2))
    return (0xFFFF - (total >> 16) - (total & 0xFFFF)).to_bytes(2, "big")


s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
via = bytes(8) + socket.if_nametoindex("eth0").to_bytes(4, "little")
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, via)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, ROUTER_ALERT)
while True:
    s.sendto(REPORT + checksum(REPORT + GROUP) + GROUP, (socket.inet_ntoa(GROUP), 0))
    time.sleep(0.5)
