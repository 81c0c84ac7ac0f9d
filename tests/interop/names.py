"""A name server of the tests' own: SRV and A records, over UDP."""

import asyncio
import ipaddress
import struct

TYPES = {"A": 1, "SRV": 33}
NO_SUCH_NAME = 3


def encoded(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def a(address):
    return ipaddress.IPv4Address(address).packed


def srv(priority, weight, port, target):
    return struct.pack("!HHH", priority, weight, port) + encoded(target)


class Names(asyncio.DatagramProtocol):
    """Answers from `records`: lists of data by name and type. `asked` tells what it was asked."""

    def __init__(self, records):
        self.records, self.asked = records, []

    async def serve(self, address):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(address, 53)
        )

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, packet, peer):
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1 : at + 1 + packet[at]].decode().lower())
            at += 1 + packet[at]
        end = at + 5
        name, (kind,) = ".".join(labels), struct.unpack("!H", packet[at + 1 : at + 3])
        self.asked.append((name, kind))
        data = self.records.get((name, kind), [])
        known = any(other == name for other, _ in self.records)
        code = 0 if known else NO_SUCH_NAME
        # An answer (QR) with authority (AA), recursion wanted (RD) and available (RA).
        header = packet[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(data), 0, 0)
        answers = (struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(part)) + part for part in data)
        self.transport.sendto(header + packet[12:end] + b"".join(answers), peer)
