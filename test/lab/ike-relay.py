"""A cable between two network namespaces that can hold back IKE, and nothing else.

Arguments: for each end the process id of its namespace and the name of the device to make. Orders come on standard
input, one a line: `hold` (keep IKE datagrams from now on), `next one` or `next other` (deliver the first one kept of
that end), `release` (deliver all, in the order in which they came, and keep no more). Each datagram that is kept is told
on standard output, `held END EXCHANGE-TYPE`, after `holding`.
"""
import ctypes
import fcntl
import os
import select
import struct
import sys

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000


def open_tap(pid, name):
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def exchange_type(frame):
    """That of an IKE message over IPv4 in its first fragment, otherwise None."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    udp = 14 + (frame[14] & 15) * 4
    port = int.from_bytes(frame[udp + 2 : udp + 4], "big")
    message = frame[udp + 8 :]
    if port == 4500:
        if message[:4] != bytes(4):
            return None
        message = message[4:]
    elif port != 500:
        return None
    return message[18] if len(message) >= 28 else None


taps = {"one": open_tap(sys.argv[1], sys.argv[2]), "other": open_tap(sys.argv[3], sys.argv[4])}
far_end = {"one": taps["other"], "other": taps["one"]}
ends = {tap: end for end, tap in taps.items()}
kept = None


def deliver(end, frame):
    try:
        os.write(far_end[end], frame)
    except OSError:
        pass  # The device is down: that is what an unplugged cable does.


def obey(words):
    global kept
    if words[0] == "hold":
        kept = []
        print("holding", flush=True)
    elif words[0] == "next":
        first = next(item for item in kept if item[0] == words[1])
        kept.remove(first)
        deliver(*first)
    elif words[0] == "release":
        for item in kept or []:
            deliver(*item)
        kept = None


print("ready", flush=True)
while True:
    for source in select.select([sys.stdin.fileno(), *taps.values()], [], [])[0]:
        if source == sys.stdin.fileno():
            orders = os.read(source, 4096).decode()
            if orders == "":
                sys.exit()
            for line in orders.splitlines():
                obey(line.split())
            continue
        frame = os.read(source, 65536)
        exchange = None if kept is None else exchange_type(frame)
        if exchange is None:
            deliver(ends[source], frame)
        else:
            kept.append((ends[source], frame))
            print("held", ends[source], exchange, flush=True)
