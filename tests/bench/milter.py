#!/usr/bin/env python3
"""A milter that gives recipients their new addresses, by a table: the peer of a rewrite plugin.

    milter.py PORT OLD=NEW…

The protocol is Sendmail's, version 6, as far as this needs it: it asks the server for RCPT and the end of a message, and
answers with the recipients to add and to remove.
"""

import asyncio
import struct
import sys

VERSION = 6
ADD_RECIPIENT, DELETE_RECIPIENT = 0x04, 0x08
# Not wanted: connect, HELO, MAIL, body, headers, end of headers, unknown commands, DATA.
LEFT_OUT = 0x01 | 0x02 | 0x04 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200
CONTINUE = b"c"
PACKET_OCTETS_MAX = 1 << 20


async def session(reader, writer, table):
    recipients = []
    try:
        while True:
            (length,) = struct.unpack("!I", await reader.readexactly(4))
            if not 0 < length <= PACKET_OCTETS_MAX:
                return
            packet = await reader.readexactly(length)
            command, data = packet[:1], packet[1:]
            if command == b"O":
                answer(writer, b"O" + struct.pack("!III", VERSION, ADD_RECIPIENT | DELETE_RECIPIENT, LEFT_OUT))
            elif command == b"R":
                recipients.append(data.split(b"\0")[0].strip(b"<>").decode())
                answer(writer, CONTINUE)
            elif command == b"E":
                for old in recipients:
                    if new := table.get(old.lower()):
                        answer(writer, b"-<" + old.encode() + b">\0")
                        answer(writer, b"+<" + new.encode() + b">\0")
                recipients = []
                answer(writer, CONTINUE)
            elif command in (b"A", b"K"):
                recipients = []
            elif command == b"Q":
                return
            elif command != b"D":
                answer(writer, CONTINUE)
    except asyncio.IncompleteReadError:
        return
    finally:
        writer.close()


def answer(writer, packet):
    writer.write(struct.pack("!I", len(packet)) + packet)


async def main():
    table = dict(word.split("=", 1) for word in sys.argv[2:])
    server = await asyncio.start_server(
        lambda reader, writer: session(reader, writer, table), "127.0.0.1", int(sys.argv[1])
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
