"""A name server of some lines: one MX record for each name that it knows, and NXDOMAIN for others (RFC 1035 §4.1)."""

import socket
import struct
import threading

MX, IN, TTL = 15, 1, 60
QUERY_MAX = 4096
RESPONSE, NO_SUCH_NAME = 0x8400, 3


class FakeDns:
    """Answers from the moment that it is made; `hosts` may change: domain -> its mail host."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(QUERY_MAX)
            except OSError:
                return
            if len(query) > 12:
                self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        end = 12
        labels = []
        while query[end]:
            labels.append(query[end + 1:end + 1 + query[end]].decode().lower())
            end += 1 + query[end]
        end += 1
        (kind,) = struct.unpack("!H", query[end:end + 2])
        question = query[12:end + 4]
        host = self.hosts.get(".".join(labels))
        records = b""
        if host is not None and kind == MX:
            data = struct.pack("!H", 10) + name(host)
            records = b"\xc0\x0c" + struct.pack("!HHIH", MX, IN, TTL, len(data)) + data
        code = RESPONSE | (0 if host is not None else NO_SUCH_NAME)
        header = query[:2] + struct.pack("!HHHHH", code, 1, 1 if records else 0, 0, 0)
        return header + question + records

    def stop(self):
        self.socket.close()


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"
