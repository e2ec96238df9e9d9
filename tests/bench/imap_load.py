"""Loads on an IMAP server: mail to append, sessions that work at the same time, and what one costs while it is idle."""

import base64
import random
import selectors
import socket
import time

import imap_client
import measure

SECONDS_MAX = 600
WORDS = (
    "invoice meeting report holiday project server delivery customer contract budget release weekend question answer "
    "summary draft final urgent reminder newsletter ticket status update travel office lunch printer password garden"
).split()
RARE_WORD = "chrysoberyl"
RARE_EVERY = 500
SENTENCES = 25


def message(number):
    """One of a kind, and the same in each run: 2 to 4 KiB, every third in parts."""
    chance = random.Random(number).random
    pick = lambda count: [WORDS[int(chance() * len(WORDS))] for _ in range(count)]  # noqa: E731
    sender, subject = f"{pick(1)[0]}{number % 97}@example.net", " ".join(pick(5))
    text = "\r\n".join(" ".join(pick(11)).capitalize() + "." for _ in range(SENTENCES))
    if number % RARE_EVERY == 0:
        text += f"\r\n{RARE_WORD}"
    head = (
        f"Return-Path: <{sender}>\r\nReceived: from mx{number % 9}.example.net (mx.example.net [192.0.2.{number % 250}])\r\n"
        f"\tby mail.example.org with ESMTPS id {number:012x}\r\n\tfor <user1@example.org>; {date(number)}\r\n"
        f"From: {pick(1)[0].capitalize()} {pick(1)[0].capitalize()} <{sender}>\r\nTo: user1@example.org, team@example.org\r\n"
        f"Cc: {pick(1)[0]}@example.com\r\nSubject: {subject} {number}\r\nDate: {date(number)}\r\n"
        f"Message-ID: <{number}.{number * 7919}@example.net>\r\nMIME-Version: 1.0\r\nX-Mailer: load\r\n"
    )
    if number % 3:
        return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    encoded = base64.encodebytes(f"<html><p>{text}</p></html>".encode()).decode().replace("\n", "\r\n")
    return (
        f'{head}Content-Type: multipart/alternative; boundary="part{number}"\r\n\r\n--part{number}\r\n'
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text[:900]}=20\r\n"
        f"--part{number}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}"
        f"--part{number}--\r\n"
    ).encode()


def date(number):
    return f"{1 + number % 28} {('Jan', 'Apr', 'Jul', 'Oct')[number % 4]} 2026 {number % 24:02}:{number % 60:02}:00 +0100"


def append(mailbox, number):
    octets = message(number)
    return b"APPEND %s {%d+}\r\n%s" % (mailbox, len(octets), octets)


class Worker:
    """One session, with the commands that it has still to say; one at a time, as a client does that waits for answers."""

    def __init__(self, port, commands):
        self.commands, self.tag, self.count, self.heard = iter(commands), b"", 0, b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greeted = False

    def say_next(self):
        """Whether there was one more."""
        command = next(self.commands, None)
        if command is None:
            return False
        self.count += 1
        self.tag, self.heard = b"w%d" % self.count, b""
        self.socket.sendall(self.tag + b" " + command + b"\r\n")
        return True

    def hear(self):
        """Reads what is there; whether the answer is complete."""
        octets = self.socket.recv(1 << 18)
        if not octets:
            raise ConnectionError(f"the server closed, after {self.heard[-200:]!r}")
        # The end of a response is enough to find the line that ends a command.
        self.heard = self.heard[-4096:] + octets
        if not self.heard.endswith(b"\r\n"):
            return False
        last = self.heard[:-2].rpartition(b"\n")[2]
        if not self.greeted:
            self.greeted = True
            return last.startswith(b"* OK")
        if not last.startswith(self.tag + b" "):
            return False
        if not last.startswith(self.tag + b" OK"):
            raise imap_client.Refused(last[:200])
        return True


class Asker:
    """One session that asks and waits, and takes answers as fast as they come: it looks at their ends alone."""

    def __init__(self, port, user, password):
        self.worker = Worker(port, [])
        while not self.worker.hear():
            pass
        self.ask(login(user, password))

    def ask(self, *commands):
        for command in commands:
            self.worker.commands = iter([command if isinstance(command, bytes) else command.encode()])
            self.worker.say_next()
            while not self.worker.hear():
                pass

    def close(self):
        self.worker.socket.close()


def together(port, programs):
    """Sessions at the same time, each with the commands of its program; how many commands were answered."""
    chooser = selectors.DefaultSelector()
    workers = [Worker(port, program) for program in programs]
    for worker in workers:
        chooser.register(worker.socket, selectors.EVENT_READ, worker)
    left, until = len(workers), time.monotonic() + SECONDS_MAX
    try:
        while left:
            if time.monotonic() > until:
                raise TimeoutError(f"{left} sessions did not come to their end")
            for key, _ in chooser.select(1):
                if key.data.hear() and not key.data.say_next():
                    chooser.unregister(key.fileobj)
                    left -= 1
    finally:
        for worker in workers:
            worker.socket.close()
    return sum(worker.count for worker in workers)


def login(user, password):
    return f'LOGIN "{user}" "{password}"'.encode()


def mixed(user, password, number, messages):
    """What a mail reader does from its start to its end, in a mailbox with that many messages."""
    at = 1 + number * 7 % max(1, messages - 12)
    return [
        login(user, password), b"CAPABILITY", b'LIST "" "*"', b"STATUS INBOX (MESSAGES UNSEEN UIDNEXT)", b"SELECT INBOX",
        b"FETCH 1:* (UID FLAGS)", b"FETCH %d:%d (UID ENVELOPE BODYSTRUCTURE RFC822.SIZE)" % (at, at + 9),
        b"FETCH %d (BODY[])" % at, b"FETCH %d (BODY.PEEK[1])" % (at + 1), b"STORE %d +FLAGS (\\Answered)" % at,
        b"SEARCH UNSEEN", b"SEARCH SUBJECT meeting", append(b"Sent", number), b"NOOP", b"STORE %d -FLAGS (\\Seen)" % at,
        b"SELECT Sent", b"FETCH * (FLAGS)", b"LOGOUT",
    ]


def idle_kib(pids, port, users, password, connections):
    """Memory of one idle connection (logged in, INBOX selected, IDLE), in KiB."""
    return measure.idle_imap(pids, port, users, password, connections)
