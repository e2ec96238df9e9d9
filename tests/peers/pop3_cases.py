"""POP3 on raw sockets, where no client goes: pipelining, sessions that break off, and what other sessions and restarts do
to a maildrop (RFC 1939, 2449, 6856)."""

import email
import email.policy
import socket
import time

from cases import case
from place import PASSWORD, insecure_tls

USER = "user7@example.net"
SECONDS_MAX = 30
# An ended connection is seen at once; a machine may be busy.
FREE_SECONDS_MAX = 10
BIG_LINES = 300_000


class Raw:
    """A connection that sends what it likes, and reads line by line."""

    def __init__(self, place, user=None):
        plain = socket.create_connection(("127.0.0.1", place.port("pop3s")), timeout=SECONDS_MAX)
        self.socket = insecure_tls().wrap_socket(plain)
        self.file = self.socket.makefile("rb")
        assert self.line().startswith("+OK"), "no greeting"
        if user:
            said = self.say(f"USER {user}", f"PASS {PASSWORD}")
            assert all(line.startswith("+OK") for line in said), said

    def line(self):
        line = self.file.readline()
        assert line.endswith(b"\r\n"), f"the connection ends with {line!r}"
        return line[:-2].decode()

    def say(self, *commands):
        """All in one piece; the first lines of their answers."""
        self.socket.sendall(b"".join(command.encode() + b"\r\n" for command in commands))
        return [self.line() for _ in commands]

    def listing(self, command):
        """The lines of an answer of several."""
        first, lines = self.say(command)[0], []
        assert first.startswith("+OK"), first
        while (line := self.line()) != ".":
            lines.append(line)
        return lines

    def octets(self, command):
        """A message, its dots as they were."""
        first, lines = self.say(command)[0], []
        assert first.startswith("+OK"), first
        while (line := self.file.readline()) != b".\r\n":
            assert line, "the message does not end"
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def drop(self):
        self.file.close()
        self.socket.close()

    def quit(self):
        said = self.say("QUIT")[0]
        self.drop()
        return said


def empty(place):
    """A session of IMAP with an empty INBOX."""
    session = place.imap(USER)
    session.select("INBOX")
    session.uid("STORE", "1:*", "+FLAGS.SILENT", r"(\Deleted)")
    session.expunge()
    return session


def put(session, *texts):
    for text in texts:
        octets = text if isinstance(text, bytes) else f"Subject: {text}\r\n\r\n{text}\r\n".encode()
        assert session.append("INBOX", "", None, octets)[0] == "OK"


def unique_ids(place):
    session = Raw(place, USER)
    found = [line.split()[1] for line in session.listing("UIDL")]
    session.quit()
    return found


@case("POP3 unique-ids stay over restarts and IMAP's expunges, and none is used again")
def unique_ids_stay(place):
    session = empty(place)
    put(session, "one", "two", "three")
    first = unique_ids(place)
    assert len(first) == len(set(first)) == 3, first
    session.select("INBOX")
    session.store("2", "+FLAGS", r"(\Deleted)")
    session.expunge()
    session.logout()
    assert place.server.stop() == 0
    place.server.start()
    second = unique_ids(place)
    assert second == [first[0], first[2]], (first, second)
    session = empty(place)
    put(session, "four")
    third = unique_ids(place)
    assert len(third) == 1 and third[0] not in first, (first, third)
    session.logout()


@case("POP3 without QUIT deletes nothing, and frees the maildrop at once")
def broken_off(place):
    session = empty(place)
    put(session, "stays")
    first = Raw(place, USER)
    assert first.say("DELE 1", "STAT") == ["+OK message 1 is marked as deleted", "+OK 0 0"]
    second = Raw(place)
    assert second.say(f"USER {USER}", f"PASS {PASSWORD}")[1].startswith("-ERR [IN-USE]")
    first.drop()
    until = time.monotonic() + FREE_SECONDS_MAX
    while not (said := second.say(f"USER {USER}", f"PASS {PASSWORD}")[1]).startswith("+OK"):
        assert said.startswith("-ERR [IN-USE]") and time.monotonic() < until, said
        time.sleep(0.1)
    assert second.say("STAT")[0].startswith("+OK 1 "), "the mark of the session that broke off holds"
    second.quit()
    session.logout()


@case("POP3 killed after QUIT has deleted, killed before it has not")
def killed(place):
    session = empty(place)
    put(session, "gone", "stays")
    session.logout()
    reader = Raw(place, USER)
    reader.say("DELE 1")
    assert reader.quit().startswith("+OK")
    reader = Raw(place, USER)
    reader.say("DELE 1")
    place.server.kill()
    place.server.start()
    reader = Raw(place, USER)
    assert reader.octets("RETR 1").endswith(b"stays\r\n")
    assert reader.say("STAT")[0].startswith("+OK 1 ")
    reader.quit()


@case("POP3 keeps its numbers while IMAP expunges, renames INBOX and mail comes")
def beside_imap(place):
    session = empty(place)
    put(session, "one", "two", "three")
    reader = Raw(place, USER)
    session.select("INBOX")
    session.store("2", "+FLAGS", r"(\Deleted)")
    session.expunge()
    put(session, "four")
    said = reader.say("STAT", "LIST 2", "RETR 2", "TOP 2 0", "LIST 4", "DELE 2", "DELE 3")
    assert said[0].startswith("+OK 3 ") and said[1].startswith("+OK 2 "), said
    assert all(line.startswith("-ERR") for line in said[2:5]), said
    assert all(line.startswith("+OK") for line in said[5:]), said
    assert reader.quit().startswith("+OK")
    reader = Raw(place, USER)
    assert [reader.octets(f"RETR {number}").split()[-1] for number in (1, 2)] == [b"one", b"four"]
    assert session.rename("INBOX", f"{place.subject('before')}".replace(" ", "-"))[0] == "OK"
    assert reader.say("RETR 1")[0].startswith("-ERR"), "what has moved is not in INBOX"
    assert reader.quit().startswith("+OK")
    reader = Raw(place, USER)
    assert reader.say("STAT")[0] == "+OK 0 0"
    reader.quit()
    session.logout()


@case("POP3 pipelined in one piece, with refusals among it")
def pipelined(place):
    session = empty(place)
    put(session, "one", "two")
    session.logout()
    reader = Raw(place)
    said = reader.say(
        "NOOP", f"USER {USER}", f"PASS {PASSWORD}", "STAT", "LIST 0", "LIST 3", "LIST 99999999999999999999", "TOP 1", "TOP 1 -1",
        "RETR 1 1", "DELE 2", "DELE 2", "RETR 2", "RSET", "uidl 2", "LANG fr", "UTF8", "QUIT",
    )
    signs = "".join(line[0] for line in said)
    assert signs == "-+++------+--++--+", said
    assert reader.file.read() == b"", "something follows QUIT's answer"


@case("POP3 gives a message of 20 MB octet for octet, also while IMAP expunges it")
def big(place):
    session = empty(place)
    octets = b"Subject: big\r\n\r\n" + (b".line of dots " + b"x" * 60 + b"\r\n") * BIG_LINES
    put(session, octets)
    reader = Raw(place, USER)
    assert reader.listing("LIST") == [f"1 {len(octets)}"]
    assert reader.octets("RETR 1") == octets, "RETR gives something else than was appended"
    assert reader.octets("TOP 1 2").count(b"\n") == 4
    assert reader.octets("TOP 1 99999999999999999999") == octets, "TOP of all lines is the message"
    reader.socket.sendall(b"RETR 1\r\n")
    assert reader.line().startswith("+OK")
    session.select("INBOX")
    session.store("1", "+FLAGS", r"(\Deleted)")
    session.expunge()
    count = 0
    while (line := reader.file.readline()) != b".\r\n":
        assert line, "the message does not end"
        count += len(line.removeprefix(b"."))
    assert count == len(octets), f"{count} octets of {len(octets)}"
    reader.quit()
    session.logout()


@case("POP3 gives octets as they are, with each line's dot doubled and a line's end at the end")
def octets_as_they_are(place):
    session = empty(place)
    texts = [
        b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\nlast", b"Subject: 8bit\r\n\r\n\xc3\xa9\r\n", b"\r\nno header\r\n",
    ]
    put(session, *texts)
    reader = Raw(place, USER)
    for number, text in enumerate(texts, 1):
        came = reader.octets(f"RETR {number}")
        # The dot that ends it stands on a line of its own (RFC 1939 §3).
        assert came in (text, text + b"\r\n"), came
    assert reader.octets("TOP 1 1") == b"Subject: dots\r\n\r\n.\r\n"
    assert reader.octets("TOP 3 0") == b"\r\n"
    reader.quit()
    session.logout()


@case("POP3 sends UTF-8 in headers to who has said UTF8, and a surrogate else")
def utf8(place):
    session = empty(place)
    text = "From: møller@example.org\r\nSubject: é\r\n\r\nbody\r\n".encode()
    put(session, text)
    reader = Raw(place, USER)
    surrogate = reader.octets("RETR 1")
    assert surrogate.isascii() and surrogate.endswith(b"\r\n\r\nbody\r\n"), surrogate
    parsed = email.message_from_bytes(surrogate, policy=email.policy.default)
    assert parsed["Subject"] == "é" and parsed["From"].addresses[0].domain.endswith(".invalid"), surrogate
    # What is no UTF-8 has nothing to do with it, and comes as it is.
    latin = b"Subject: \xe9\r\n\r\nbody\r\n"
    put(session, latin)
    reader.quit()
    reader = Raw(place, USER)
    assert reader.octets("RETR 2") == latin
    reader.quit()
    reader = Raw(place)
    assert all(line.startswith("+OK") for line in reader.say("UTF8", f"USER {USER}", f"PASS {PASSWORD}"))
    assert reader.octets("RETR 1") == text
    reader.quit()
    session.logout()
