"""A client-side ledger: what was sent, what was acknowledged, and what must therefore be found.

Every message carries its number in a field. `Load` sends mixed mail until it is told to stop or the server dies;
`Sink` is the other host, scripted by the recipient's name; `Reader` looks what is in the mailboxes.
"""

import imaplib
import random
import re
import socket
import socketserver
import threading
import time

FIELD = "X-Ledger"
PASSWORD = "password"
LOCAL = ["user1@example.org", "user2@example.org", "user4@example.org", "user3@example.net", "user7@example.net"]
GROUP, MEMBERS = "team@example.org", ["user1@example.org", "user2@example.org", "user3@example.net"]
# Who gets the reports: the sender of all mail.
SENDER = "user8@example.net"
REMOTE = "remote.test"
SOCKET_SECONDS_MAX = 20
SESSIONS = 8


# Several mailboxes that one address leads to.
LEADS_TO = {GROUP: MEMBERS}


class Entry:
    """One message: by whom and to whom, and what the server said."""

    def __init__(self, number, recipients, sender):
        self.number, self.recipients, self.sender, self.acknowledged = number, recipients, sender, False
        # Of the body.
        self.lines = 0

    def local(self):
        """The mailboxes in which it must be once, at once."""
        boxes = set()
        for recipient in self.recipients:
            boxes.update(LEADS_TO.get(recipient, [recipient] if recipient in LOCAL else []))
        return boxes

    def remote(self):
        return [recipient for recipient in self.recipients if recipient.endswith("@" + REMOTE)]


class Ledger:
    """All messages of a run."""

    def __init__(self):
        self.entries, self.lock = {}, threading.Lock()

    def open(self, recipients, sender=SENDER):
        with self.lock:
            entry = Entry(len(self.entries) + 1, recipients, sender)
            self.entries[entry.number] = entry
            return entry

    def acknowledged(self):
        return [entry for entry in list(self.entries.values()) if entry.acknowledged]


class Refused(Exception):
    """The server said no."""


class Client:
    """The least of an SMTP client: every reply is looked at."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SOCKET_SECONDS_MAX)
        self.file = self.socket.makefile("rb")
        self.expect(220)
        self.say("EHLO ledger.test", 250)

    def expect(self, *codes):
        while True:
            line = self.file.readline()
            if not line.endswith(b"\n"):
                raise ConnectionError("the server is gone")
            if line[3:4] != b"-":
                break
        if int(line[:3]) not in codes:
            raise Refused(line.decode(errors="replace").strip())
        return line

    def say(self, command, *codes):
        self.socket.sendall(command.encode() + b"\r\n")
        return self.expect(*codes)

    def send(self, entry, octets):
        """Sends one message; marks the entry when the server has acknowledged it."""
        self.say(f"MAIL FROM:<{entry.sender}>", 250)
        for recipient in entry.recipients:
            self.say(f"RCPT TO:<{recipient}>", 250)
        self.say("DATA", 354)
        entry.lines = octets.partition(b"\r\n\r\n")[2].count(b"\n")
        self.socket.sendall(octets)
        self.say(".", 250)
        entry.acknowledged = True

    def close(self):
        self.file.close()
        self.socket.close()


def message(entry, size):
    to = ", ".join(entry.recipients)
    head = f"From: {entry.sender}\r\nTo: {to}\r\nSubject: ledger {entry.number}\r\n{FIELD}: {entry.number}\r\n\r\n"
    return head.encode() + (b"z" * 70 + b"\r\n") * (size // 72 + 1)


class Load:
    """Sessions that send mixed mail: `mix` says to whom, and by whom."""

    def __init__(self, port, ledger, seed, large=False, mix=None):
        self.port, self.ledger, self.stopping, self.large = port, ledger, threading.Event(), large
        self.mix = mix or (lambda chance: (recipients(chance), SENDER))
        self.refused, self.faults = 0, []
        self.threads = [
            threading.Thread(target=self.work, args=(random.Random(f"{seed}/{n}"),), daemon=True) for n in range(SESSIONS)
        ]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        """Waits for the sessions: they end by themselves when the server is gone."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(SOCKET_SECONDS_MAX * 2)

    def work(self, chance):
        while not self.stopping.is_set():
            try:
                client = Client(self.port)
                try:
                    for _ in range(chance.randint(1, 8)):
                        entry = self.ledger.open(*self.mix(chance))
                        size = chance.choice([100, 4000, 4000, 30000] + ([300000] if self.large else []))
                        client.send(entry, message(entry, size))
                finally:
                    client.close()
            except Refused as refused:
                self.refused += 1
                if str(refused).startswith("5"):
                    self.faults.append(str(refused))
                time.sleep(0.02)
            except OSError:
                time.sleep(0.02)


def recipients(chance):
    """Whom a message goes to: the mix of the issue."""
    kind = chance.random()
    if kind < 0.4:
        return [chance.choice(LOCAL)]
    if kind < 0.6:
        return chance.sample(LOCAL, 3)
    if kind < 0.7:
        return [GROUP]
    if kind < 0.8:
        return [f"ok{chance.randint(1, 9)}@{REMOTE}"]
    if kind < 0.85:
        return [f"later@{REMOTE}"]
    if kind < 0.92:
        return [chance.choice(LOCAL), f"ok@{REMOTE}", f"never@{REMOTE}"]
    return [f"never@{REMOTE}"]


class Sink:
    """The other host. `never@` is refused for good, `later@` the first time, all else accepted and noted."""

    def __init__(self):
        self.taken, self.lock, self.delayed = {}, threading.Lock(), set()
        outer = self

        class Session(socketserver.StreamRequestHandler):
            timeout = 120

            def handle(self):
                try:
                    outer.talk(self.rfile, self.wfile)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, request_queue_size = True, True, 200

        self.server = Server(("127.0.0.1", 0), Session)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def talk(self, lines, out):
        def say(text):
            out.write(text.encode() + b"\r\n")
            out.flush()

        say("220 sink.test ESMTP")
        accepted = []
        while line := lines.readline():
            verb, text = line[:4].upper(), line.decode(errors="replace").strip()
            if verb in (b"EHLO", b"HELO"):
                say("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8")
            elif verb in (b"MAIL", b"RSET"):
                accepted = []
                say("250 2.0.0 ok")
            elif verb == b"RCPT":
                address = re.search(r"<(.*?)>", text).group(1)
                if address.startswith("never@"):
                    say("550 5.1.1 never")
                else:
                    accepted.append(address)
                    say("250 2.1.5 ok")
            elif verb == b"DATA":
                if not accepted:
                    say("554 5.5.1 no recipients")
                    continue
                say("354 go")
                say(self.take(accepted, content(lines)))
                accepted = []
            elif verb == b"QUIT":
                say("221 bye")
                return
            else:
                say("502 5.5.1 no")

    def take(self, accepted, octets):
        found = re.search(rb"^%s: (\d+)" % FIELD.encode(), octets, re.M)
        if not found:
            return "554 5.6.0 no number"
        number = int(found.group(1))
        with self.lock:
            if any(address.startswith("later@") for address in accepted) and number not in self.delayed:
                self.delayed.add(number)
                return "451 4.3.0 later"
            for address in accepted:
                key = (number, address)
                self.taken[key] = self.taken.get(key, 0) + 1
        return "250 2.0.0 taken"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def content(lines):
    """Up to the line with one dot."""
    octets = []
    while line := lines.readline():
        if line == b".\r\n":
            return b"".join(octets)
        octets.append(line)
    raise OSError("lost in the middle")


class Reader:
    """What is in the mailboxes, read bit by bit by UID; watches that UIDs rise and nothing comes twice."""

    def __init__(self, users):
        # user -> number of the message -> UID; for reports: number of the message that is reported
        self.seen = {user: {} for user in users}
        self.last, self.validity = dict.fromkeys(users, 0), {}
        self.faults = []

    def read(self, port):
        for user in self.seen:
            self.read_mailbox(port, user)

    def read_mailbox(self, port, user):
        session = imaplib.IMAP4("127.0.0.1", port, timeout=60)
        try:
            session.login(user, PASSWORD)
            session.select("INBOX", readonly=True)
            validity = session.response("UIDVALIDITY")[1][0]
            if self.validity.setdefault(user, validity) != validity:
                self.faults.append(f"UIDVALIDITY of {user} changed from {self.validity[user]} to {validity}")
            first = self.last[user] + 1
            _, parts = session.uid("FETCH", f"{first}:*", "(BODY.PEEK[])" if user == SENDER else f"(BODY.PEEK[HEADER.FIELDS ({FIELD})])")
            for part in parts:
                if isinstance(part, tuple):
                    uid = int(re.search(rb"UID (\d+)", part[0]).group(1))
                    if uid >= first:
                        self.note(user, uid, part[1])
        finally:
            session.logout()

    def note(self, user, uid, octets):
        found = re.findall(rb"^%s: (\d+)" % FIELD.encode(), octets, re.M)
        self.last[user] = max(self.last[user], uid)
        if not found:
            self.faults.append(f"a message without a number in {user}, UID {uid}")
            return
        number = int(found[-1])
        if number in self.seen[user]:
            first = self.seen[user][number]
            self.faults.append(f"message {number} is twice in {user}: UIDs {first} and {uid}")
        self.seen[user][number] = uid

    def missing_local(self, ledger):
        """Acknowledged recipients whose mailbox does not have the message."""
        return [
            f"message {entry.number} was acknowledged and is not in {user}"
            for entry in ledger.acknowledged()
            for user in entry.local()
            if entry.number not in self.seen[user]
        ]

    def missing_remote(self, ledger, sink):
        """Acknowledged remote recipients that were neither taken by the sink nor reported to the sender."""
        missing = []
        for entry in ledger.acknowledged():
            for recipient in entry.remote():
                if recipient.startswith("never@"):
                    if entry.number not in self.seen[SENDER]:
                        missing.append(f"the failure of message {entry.number} was not reported")
                elif (entry.number, recipient) not in sink.taken:
                    missing.append(f"message {entry.number} did not reach {recipient}")
        return missing
