"""Answers questions about ESP and AH packets with scapy, an implementation that shares nothing with ours.

Standard input: one JSON object a line with "op" ("protect" or "open"), "packet" (hexadecimal), "sas" in the order of
outbound processing, "mode", "outer" (tunnel endpoints), "udp" (ports) and "sequence".
Standard output: one JSON object a line, {"packet": hexadecimal} or {"error": text}.
"""

import json
import sys

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, ESP, SecurityAssociation
from scapy.packet import bind_layers, split_layers


def ip_packet(data):
    return (IPv6 if data[0] >> 4 == 6 else IP)(data)


def associations(question):
    """Only the innermost SA of a bundle makes the tunnel header."""
    outer = question.get("outer")
    udp = question.get("udp")
    for index, sa in enumerate(question["sas"]):
        options = {
            "auth_algo": sa.get("hash"),
            "auth_key": bytes.fromhex(sa["integrityKey"]) or None,
        }
        if sa["protocol"] == "esp":
            options["crypt_algo"] = sa["encryption"]
            options["crypt_key"] = bytes.fromhex(sa["encryptionKey"]) or None
            if udp:
                options["nat_t_header"] = UDP(sport=udp[0], dport=udp[1])
        if outer and index == 0:
            family = IPv6 if ":" in outer[0] else IP
            options["tunnel_header"] = family(src=outer[0], dst=outer[1])
        yield SecurityAssociation(ESP if sa["protocol"] == "esp" else AH, spi=sa["spi"], **options)


def protect(sa, packet, sequence):
    """AH's payload must look like plain bytes: where scapy sees ESP inside, it signs that instead."""
    if sa.proto is AH:
        split_layers(IP, ESP, proto=50)
        split_layers(IPv6, ESP, nh=50)
    try:
        protected = bytes(sa.encrypt(ip_packet(bytes(packet)), seq_num=sequence))
    finally:
        if sa.proto is AH:
            bind_layers(IP, ESP, proto=50)
            bind_layers(IPv6, ESP, nh=50)
    return ip_packet(protected)


def answer(question):
    sas = list(associations(question))
    packet = ip_packet(bytes.fromhex(question["packet"]))
    if question["op"] == "protect":
        for sa in sas:
            packet = protect(sa, packet, question["sequence"])
    else:
        for sa in reversed(sas):
            packet = sa.decrypt(packet)
            packet = ip_packet(bytes(packet))
    return {"packet": bytes(packet).hex()}


for line in sys.stdin:
    try:
        result = answer(json.loads(line))
    except Exception as error:
        result = {"error": repr(error)}
    print(json.dumps(result))
