"""What profiles and lists do with mail, for the kill loop: a list of many, a user who is away, one who forwards and keeps
a copy, one whose mail goes to a program; and what must have come of it in the end.

Senders to the user who is away are members of the crowd: an answer to them is a local copy, and so there at most once.
"""

import threading
from collections import Counter

import crowd
import ledger

LIST, AWAY, FORWARD, RUNNER = (f"{name}@{crowd.DOMAIN}" for name in ("tidings", "away", "keeper", "runner"))
FORWARDED = "user3@example.net"
WRITERS = 100
# Of all mail, that to each of them.
SHARES = ((AWAY, 0.08), (FORWARD, 0.16), (RUNNER, 0.19))
ANSWERED = "Auto-Submitted"

# These are read like the others: they have their copy with the 250.
ledger.LEADS_TO |= {FORWARD: [FORWARD, FORWARDED], AWAY: [AWAY]}

PROGRAM = """
[programs.note]
command = "/bin/sh"
arguments = ["-c", "sed -n 's/^{field}: //p' | head -n 1 >> {notes}"]
{user}
"""


def ldif(members):
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
    )


def config(notes, is_root):
    user = 'user = "nobody"' if is_root else ""
    return PROGRAM.format(field=ledger.FIELD, notes=notes, user=user)


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

    def __init__(self, book, port, members, notes):
        self.faults = []
        self.boxes = crowd.read(port, crowd.addresses(members), ledger.FIELD, ANSWERED)
        self.of_list([entry for entry in book.entries.values() if LIST in entry.recipients])
        self.of_answers([entry for entry in book.entries.values() if AWAY in entry.recipients])
        self.of_program([entry for entry in book.acknowledged() if RUNNER in entry.recipients], notes)

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
