"""What profiles and lists do with mail, for the kill loop: a list of many, a user who is away, one who forwards and keeps
a copy, users whose mail goes to a program, a Maildir, a mailbox file and a shared mailbox; and what must have come of it
in the end.

A copy is in a Maildir once, because a repeat takes the place of the first try, and in a shared mailbox once, because it is
one commit with the queue's. A program and a mailbox file get theirs at least once (docs/operator.md), and each in the file is
whole: half a message that a kill left is taken back by the next append.

Senders to the user who is away are members of the crowd: an answer to them is a local copy, and so there at most once.
"""

import os
import re
import threading
import time
from collections import Counter

import crowd
import ledger

LIST, AWAY, FORWARD, RUNNER, FILER, BOXER, POSTER = (
    f"{name}@{crowd.DOMAIN}" for name in ("tidings", "away", "keeper", "runner", "filer", "boxer", "poster")
)
SHARED = "board"
FORWARDED = "user3@example.net"
WRITERS = 100
# Of all mail, that to each of them.
SHARES = ((AWAY, 0.08), (FORWARD, 0.16), (RUNNER, 0.19), (FILER, 0.23), (BOXER, 0.27), (POSTER, 0.31))
LOCK_STALE_SECONDS = 310
ANSWERED = "Auto-Submitted"

# These are read like the others: they have their copy with the 250.
ledger.LEADS_TO |= {FORWARD: [FORWARD, FORWARDED], AWAY: [AWAY]}

CONFIG = """
[programs.note]
command = "/bin/sh"
arguments = ["-c", "sed -n 's/^{field}: //p' | head -n 1 >> {notes}"]
{user}
[files]
roots = ["{files}"]
"""


def ldif(members, files):
    def user(uid, *lines):
        entry = [f"dn: uid={uid},ou=People,{crowd.BASE}", "objectClass: inetMailUser", f"uid: {uid}"]
        entry += [f"mail: {uid}@{crowd.DOMAIN}", f"userPassword: {crowd.PASSWORD_HASH}", *lines]
        return "\n" + "\n".join(entry) + "\n"

    return (
        crowd.users(members)
        + crowd.group("tidings", members, f"mgrpErrorsTo: mailto:{ledger.SENDER}")
        + user("away", "mailDeliveryOption: mailbox", "mailDeliveryOption: autoreply", "mailAutoReplyText: Away.")
        + user("keeper", "mailDeliveryOption: mailbox", "mailDeliveryOption: forward", f"mailForwardingAddress: {FORWARDED}")
        + user("runner", "mailDeliveryOption: program", "mailProgramDeliveryInfo: note")
        + user("filer", "mailDeliveryOption: file", f"mailDeliveryFileURL: {files}/maildir/")
        + user("boxer", "mailDeliveryOption: file", f"mailDeliveryFileURL: {files}/box")
        + user("poster", "mailDeliveryOption: shared", f"wasmtaSharedMailbox: {SHARED}")
    )


def config(notes, files, is_root):
    user = 'user = "nobody"' if is_root else ""
    return CONFIG.format(field=ledger.FIELD, notes=notes, files=files, user=user)


def share(server):
    """Makes the shared mailbox; who has a profile for it may post, and the sender of all mail may read."""
    server.command("share", "create", SHARED)
    server.command("share", "grant", SHARED, POSTER, "p")
    server.command("share", "grant", SHARED, ledger.SENDER, "lr")


def age_lock(files):
    """A lock that a kill has left is stale after some minutes: here they pass at once."""
    lock = files / "box.lock"
    if lock.exists():
        long_ago = time.time() - LOCK_STALE_SECONDS
        os.utime(lock, (long_ago, long_ago))


def mix(chance):
    """To whom, and by whom."""
    kind = chance.random()
    for recipient, below in SHARES:
        if kind < below:
            return [recipient], crowd.address(chance.randint(1, WRITERS)) if recipient == AWAY else ledger.SENDER
    return ledger.recipients(chance), ledger.SENDER


class Poster:
    """Sends one message to the list, at its moment, unless the server is gone by then."""

    def __init__(self, port, book, after):
        self.port, self.book, self.fault = port, book, None
        self.timer = threading.Timer(after, self.post)
        self.timer.start()

    def post(self):
        try:
            client = ledger.Client(self.port)
            try:
                entry = self.book.open([LIST])
                client.send(entry, ledger.message(entry, 4000))
            finally:
                client.close()
        except ledger.Refused as refused:
            self.fault = str(refused) if str(refused).startswith("5") else None
        except OSError:
            pass

    def stop(self):
        self.timer.join()
        return [self.fault] if self.fault else []


class Outcome:
    """What has come of it all: faults, and figures for people."""

    def __init__(self, book, port, members, notes, files):
        self.faults, self.box_again = [], 0
        self.boxes = crowd.read(port, crowd.addresses(members), ledger.FIELD, ANSWERED)
        self.of_list([entry for entry in book.entries.values() if LIST in entry.recipients])
        self.of_answers([entry for entry in book.entries.values() if AWAY in entry.recipients])
        self.of_program([entry for entry in book.acknowledged() if RUNNER in entry.recipients], notes)
        self.of_maildir([entry for entry in book.entries.values() if FILER in entry.recipients], files / "maildir")
        self.of_box([entry for entry in book.entries.values() if BOXER in entry.recipients], files / "box")
        self.of_shared([entry for entry in book.entries.values() if POSTER in entry.recipients], port)

    def of_list(self, posted):
        """Acknowledged: each member once. Else, none, or each once: the answer was lost, not the message."""
        copies = {user: Counter(box[ledger.FIELD]) for user, box in self.boxes.items()}
        arrived = set().union(*copies.values())
        self.copies, self.postings = 0, len(arrived)
        for entry in posted:
            number = str(entry.number)
            if not entry.acknowledged and number not in arrived:
                continue
            for user, has in copies.items():
                self.copies += has[number]
                if has[number] != 1:
                    self.faults.append(f"message {number} to the list is {has[number]} times in {user}")

    def of_answers(self, written):
        accepted = {entry.sender for entry in written if entry.acknowledged}
        self.written, self.answers = sum(entry.acknowledged for entry in written), 0
        for user, box in self.boxes.items():
            got = len(box[ANSWERED])
            self.answers += got
            if got > 1 or (user in accepted and got == 0):
                self.faults.append(f"{user} has {got} automatic replies")

    def of_program(self, entries, notes):
        noted = Counter(notes.read_text().split())
        self.noted, self.again = len(entries), sum(count - 1 for count in noted.values())
        for entry in entries:
            if str(entry.number) not in noted:
                self.faults.append(f"message {entry.number} did not reach the program")

    def of_maildir(self, entries, folder):
        """Each once and whole; nobody reads there, so all are in `new`."""
        found = [written(path.read_bytes()) for path in sorted((folder / "new").glob("*"))]
        self.filed = len(found)
        self.once("the Maildir", entries, Counter(number for number, _ in found))
        self.whole("the Maildir", {entry.number: entry for entry in entries}, found)

    def of_box(self, entries, path):
        """Each whole, at least once; of a write that was killed nothing is left."""
        texts = re.split(rb"^From (?=.*\n)", path.read_bytes() if path.exists() else b"", flags=re.M)[1:]
        by_number, whole = {entry.number: entry for entry in entries}, Counter()
        for number, lines in (written(text.partition(b"\n")[2]) for text in texts):
            # A line stands behind each message.
            if number in by_number and lines - 1 == by_number[number].lines:
                whole[number] += 1
            else:
                self.faults.append(f"message {number} is in the mailbox file with {lines} lines, and not whole")
        self.boxed, self.box_again = len(whole), sum(count - 1 for count in whole.values())
        for entry in entries:
            if entry.acknowledged and not whole[entry.number]:
                self.faults.append(f"message {entry.number} is not whole in the mailbox file")

    def of_shared(self, entries, port):
        session = ledger.imaplib.IMAP4("127.0.0.1", port, timeout=crowd.READ_SECONDS_MAX)
        session.login(ledger.SENDER, ledger.PASSWORD)
        session.select(f"shared/{SHARED}", readonly=True)
        _, parts = session.fetch("1:*", f"(BODY.PEEK[HEADER.FIELDS ({ledger.FIELD})])")
        session.logout()
        found = [int(number) for number in re.findall(rb"^%s: (\d+)" % ledger.FIELD.encode(), b"".join(
            part[1] for part in parts if isinstance(part, tuple)), re.M)]
        self.posted = len(found)
        self.once("the shared mailbox", entries, Counter(found))

    def once(self, where, entries, count):
        for entry in entries:
            if count[entry.number] > 1 or (entry.acknowledged and count[entry.number] != 1):
                self.faults.append(f"message {entry.number} is {count[entry.number]} times in {where}")

    def whole(self, where, entries, found):
        for number, lines in found:
            if number not in entries or lines != entries[number].lines:
                self.faults.append(f"message {number} in {where} has {lines} lines and is not what was sent")


def written(octets):
    """The number of a message in a file, and the lines of its body."""
    head, _, body = octets.partition(b"\n\n")
    number = re.search(rb"^%s: (\d+)" % ledger.FIELD.encode(), head, re.M)
    return int(number[1]) if number else 0, body.count(b"\n")
