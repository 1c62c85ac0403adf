"""A receiver: reports 239.1.1.1 by IGMP again and again, whenever a router comes to listen."""

import socket
import time

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
index = socket.if_nametoindex("eth0")
request = socket.inet_aton("239.1.1.1") + socket.inet_aton("0.0.0.0") + index.to_bytes(4, "little")
end = time.monotonic() + 90
while time.monotonic() < end:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    time.sleep(1)
    if time.monotonic() < end - 88:
        # Only at first: a router that came up late has missed the first report.
        s.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, request)
    else:
        break
time.sleep(90)
