"""A small IMAP client that hides nothing: octets out, responses in, and a strict reading of what they say.

For tests that compare or measure servers. It sends LITERAL+ (RFC 7888), and takes no octet for granted: what RFC 3501 §9
does not allow in a response is a `Malformed`.
"""

import re
import socket
import ssl
from dataclasses import dataclass

TIMEOUT_SECONDS = 120
LINE_MAX = 64 << 20
NESTING_MAX = 1000
LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


class Malformed(Exception):
    """A response that the grammar does not allow."""


class Refused(Exception):
    """NO or BAD to a command that had to succeed."""


class Atom(bytes):
    """An atom, a flag or a number; a plain `bytes` is a string, quoted or literal, and None is NIL."""

    def __repr__(self):
        return self.decode("latin-1")


class Literal(bytes):
    """An argument to be sent as a literal."""


@dataclass
class Answer:
    """What a command brought: OK, NO or BAD, the text behind it, and the untagged responses as they came."""

    status: str
    text: bytes
    untagged: list

    def ok(self):
        if self.status != "OK":
            raise Refused(f"{self.status} {self.text[:300]!r}")
        return self

    def data(self, *names):
        """The values of the untagged responses with one of these names, which may stand behind a number."""
        found = []
        for response in self.untagged:
            words = response[2:].split(None, 2)
            at = 1 if len(words) > 1 and words[0].isdigit() else 0
            if len(words) > at and words[at].upper().decode("latin-1") in names:
                found.append(values(response[2:]))
        return found


class Session:
    """One connection."""

    def __init__(self, port, tls=False, host="127.0.0.1", timeout=TIMEOUT_SECONDS):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.buffer, self.at, self.count = b"", 0, 0
        self.greeting = self.response()

    def close(self):
        self.socket.close()

    def login(self, user, password):
        self.command(f'LOGIN "{user}" "{password}"').ok()
        return self

    def command(self, *parts):
        """Sends one command and reads to its end. Parts are text, octets, or `Literal`s."""
        return self.finish(self.send(*parts))

    def send(self, *parts):
        """Sends one command, and gives its tag."""
        self.count += 1
        tag, octets = b"t%d" % self.count, bytearray()
        for part in parts:
            if isinstance(part, Literal):
                octets += b"{%d+}\r\n" % len(part)
            octets += part.encode() if isinstance(part, str) else part
        self.socket.sendall(tag + b" " + octets + b"\r\n")
        return tag

    def finish(self, tag):
        """Reads to the end of a command."""
        untagged = []
        while True:
            response = self.response()
            if response.startswith(tag + b" "):
                status, _, text = response[len(tag) + 1 :].rstrip(b"\r\n").partition(b" ")
                return Answer(status.decode("latin-1").upper(), text, untagged)
            untagged.append(response)

    def response(self):
        """One response with its literals, as it came."""
        pieces = [self.line()]
        while found := LITERAL.search(pieces[-1]):
            pieces.append(self.octets(int(found[1])))
            pieces.append(self.line())
        return b"".join(pieces) if len(pieces) > 1 else pieces[0]

    def line(self):
        start = self.at
        while (end := self.buffer.find(b"\n", start)) < 0:
            start = len(self.buffer) - self.at
            if start > LINE_MAX:
                raise Malformed("a line without end")
            self.fill()
        line, self.at = self.buffer[self.at : end + 1], end + 1
        return line

    def octets(self, count):
        while len(self.buffer) - self.at < count:
            self.fill()
        octets, self.at = self.buffer[self.at : self.at + count], self.at + count
        return octets

    def fill(self):
        more = self.socket.recv(1 << 18)
        if not more:
            raise ConnectionError(f"the server closed, after {self.buffer[self.at:][-200:]!r}")
        self.buffer, self.at = self.buffer[self.at :] + more, 0


def values(octets):
    """The values of one response, without `* `: atoms, strings, None for NIL, and lists of them."""
    found, at = sequence(octets, 0, 0)
    if octets[at:] not in (b"\r\n", b""):
        raise Malformed(f"{octets[at:][:60]!r} is too much")
    return found


def sequence(octets, at, depth):
    """Values up to a closing parenthesis or the end of the line, and where they end."""
    if depth > NESTING_MAX:
        raise Malformed("nested beyond measure")
    found = []
    while at < len(octets):
        octet = octets[at : at + 1]
        if octet in (b")", b"\r"):
            break
        if octet == b" ":
            at += 1
        elif octet == b"(":
            value, at = sequence(octets, at + 1, depth + 1)
            if octets[at : at + 1] != b")":
                raise Malformed(f"an open list at {octets[at:][:60]!r}")
            at += 1
            found.append(value)
        else:
            value, at = single(octets, at)
            found.append(value)
    return found, at


def single(octets, at):
    """A string or an atom."""
    if octets[at : at + 1] == b'"':
        return quoted(octets, at + 1)
    if found := re.compile(rb"~?\{(\d+)\}\r\n").match(octets, at):
        end = found.end() + int(found[1])
        if len(octets) < end:
            raise Malformed("a literal that is too short")
        text = octets[found.end() : end]
        if b"\0" in text and found[0][:1] != b"~":
            # CHAR8 (RFC 3501 §9) has no NUL.
            return NulLiteral(text), end
        return text, end
    return atom(octets, at)


class NulLiteral(bytes):
    """A literal with NUL, which RFC 3501 does not allow, and both servers may send."""


def quoted(octets, at):
    text = bytearray()
    while at < len(octets):
        octet = octets[at]
        if octet == 0x22:
            return bytes(text), at + 1
        if octet == 0x5C:
            at += 1
            if octets[at : at + 1] not in (b'"', b"\\"):
                raise Malformed(f"an escape before {octets[at:][:20]!r}")
        elif octet in (0, 10, 13) or octet > 127:
            raise Malformed(f"octet {octet} in a quoted string: {octets[at - 20 : at + 20]!r}")
        text.append(octets[at])
        at += 1
    raise Malformed("an open quoted string")


def atom(octets, at):
    """Up to the next delimiter; between brackets, as in `BODY[HEADER.FIELDS (TO)]<0>`, everything counts."""
    start, depth = at, 0
    while at < len(octets):
        octet = octets[at : at + 1]
        if octet == b"[":
            depth += 1
        elif octet == b"]":
            depth -= 1
        elif octet == b"\r" or (depth <= 0 and octet in b' ()"{'):
            break
        at += 1
    if at == start:
        raise Malformed(f"nothing at {octets[at:][:40]!r}")
    text = octets[start:at]
    return (None if text.upper() == b"NIL" else Atom(text)), at


def fetched(answer):
    """Of the FETCH responses of an answer: by message number, its items. A name is in capitals, without quotes."""
    found = {}
    for number, _, items in answer.data("FETCH"):
        if len(items) % 2:
            raise Malformed("an item without a value")
        into = found.setdefault(int(number), {})
        for name, value in zip(items[::2], items[1::2]):
            into[name.decode("latin-1").upper().replace('"', "")] = value
    return found
