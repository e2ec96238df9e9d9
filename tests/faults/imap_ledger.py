"""The ledger of IMAP writers: what each has been promised, and what it asked for when the server was killed.

A `Writer` changes none but its own messages and its own mailboxes, one command after another. So at any moment its `Book`
says what must be there; only of the one command in flight either the whole is there or nothing of it.
"""

import copy
import hashlib
import re
import threading
from collections import Counter

from imap_client import Literal, Malformed, Refused, Session
from instance import crowd

FIELD = "X-Ledger"
SHARED = "shared/board"
USERS, WRITERS_OF_A_USER = 4, 2
POOL = "abcd"
COPIES_MAX = 400
# How often flags are changed of all messages of a mailbox.
EVERYTHING = 0.25
SETTABLE = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Forwarded", "label"]
# In the order of the alphabet, as they are compared.
RIGHTS = ["lr", "lrs", "ilrsw", "eilrstw"]
# Some are kept in the engine itself, some beside it.
SIZES = [100, 2000, 2000, 20_000, 200_000]
SOCKET_SECONDS_MAX = 60


class Book:
    """What is there of one writer."""

    def __init__(self):
        # (mailbox, UID) -> message and flags; and messages whose UID is not known: mailbox, message, flags.
        self.copies, self.coming = {}, []
        # Own mailboxes: name -> identifier -> rights.
        self.mailboxes = {}

    def copied(self):
        book = Book()
        book.copies, book.coming, book.mailboxes = dict(self.copies), list(self.coming), copy.deepcopy(self.mailboxes)
        return book

    def differs(self, copies, mailboxes):
        """How this is not what was found; empty where it is."""
        if mailboxes != self.mailboxes:
            return f"mailboxes are {mailboxes}, not {self.mailboxes}"
        rest = dict(copies)
        for key, value in self.copies.items():
            if (found := rest.pop(key, None)) != value:
                return f"{key} is {shown(found)}, not {shown(value)}"
        more = Counter(arriving(mailbox, *value) for (mailbox, _), value in rest.items())
        wanted = Counter(arriving(*value) for value in self.coming)
        return "" if more == wanted else f"beside it are {more}, not {wanted}"


def place(name, validity):
    """What tells a user's mailboxes apart, whatever their names: each account counts its own UIDVALIDITY."""
    return name == SHARED, validity


def arriving(mailbox, key, flags):
    """A message in flight. What a reader has seen of a mailbox of others is kept by itself, after the message."""
    return mailbox, key, flags - {"\\Seen"} if mailbox == SHARED else flags


def shown(value):
    return f"{value[0]} {sorted(value[1])}" if value else "gone"


def message(key, size):
    """A message that says who wrote it, and proves its content."""
    body = (hashlib.sha256(key.encode()).hexdigest().encode() + b"\r\n") * (size // 66 + 1)
    digest = hashlib.sha256(body).hexdigest()
    return b"Subject: ledger\r\n%s: %s %s\r\n\r\n%s" % (FIELD.encode(), key.encode(), digest.encode(), body)


def read_message(octets):
    """Whose message it is; nothing where its content is not what was written."""
    head, _, body = octets.partition(b"\r\n\r\n")
    found = re.search(rb"^%s: (\S+) (\S+)" % FIELD.encode(), head, re.M)
    return found[1].decode() if found and hashlib.sha256(body).hexdigest() == found[2].decode() else None


def numbers(text):
    """The numbers of a set like `3:5,9`, in its order."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


class Writer:
    """One client that changes what is its own, until the server is gone."""

    def __init__(self, user, number, chance):
        self.user, self.number, self.chance, self.name = user, number, chance, f"w{number}"
        self.book, self.may, self.doing, self.written = Book(), None, None, 0
        # By `place`: UIDs that were acknowledged as gone, the highest UID and mod-sequence told.
        self.gone, self.uid_told, self.modseq_told = {}, {}, {}
        # By mailbox: UIDVALIDITY as far as it is known.
        self.validity = {}
        self.done, self.faults, self.session, self.selected, self.thread = Counter(), [], None, None, None

    def start(self, port):
        self.thread = threading.Thread(target=self.work, args=(port,), daemon=True)
        self.thread.start()

    def stop(self):
        self.thread.join(SOCKET_SECONDS_MAX * 2)
        if self.thread.is_alive():
            self.faults.append(f"{self.name}: {self.doing} does not end")

    def work(self, port):
        try:
            self.session = Session(port, timeout=SOCKET_SECONDS_MAX)
            self.selected = None
            self.session.login(self.user, crowd.PASSWORD)
            if self.number % 2:
                self.session.command("ENABLE QRESYNC").ok()
            while True:
                self.step()
        except (Refused, Malformed) as error:
            self.faults.append(f"{self.name}: {self.doing}: {error}")
        except OSError:
            pass
        finally:
            if self.session:
                self.session.close()

    def step(self):
        crowded = len(self.book.copies) > COPIES_MAX
        kinds = [self.append] * (0 if crowded else 5) + [self.store] * 3 + [self.expunge] * (6 if crowded else 1)
        kinds += [self.change_mailboxes] * 2 + [self.set_acl]
        kinds += [] if crowded else [self.copy, self.move, self.move, self.replace]
        self.chance.choice(kinds)()

    # One command: what will be, the command, and what it told.

    def ask(self, doing, after, *parts):
        """Asks for `after`: until the answer is there, it may be, or not."""
        self.doing, self.may = doing, after
        answer = self.session.command(*parts).ok()
        self.done[doing] += 1
        return answer

    def settle(self, uids=()):
        """It was acknowledged, and what came has these UIDs."""
        self.may.copies.update(
            ((mailbox, uid), (key, flags)) for (mailbox, key, flags), uid in zip(self.may.coming, uids, strict=True)
        )
        self.may.coming = []
        self.book, self.may = self.may, None

    def told(self, mailbox, answer):
        """Mod-sequences that were told must stand."""
        octets = b"".join(answer.untagged) + answer.text
        for found in re.findall(rb"MODSEQ \(?(\d+)", octets):
            at = place(mailbox, self.validity[mailbox])
            self.modseq_told[at] = max(self.modseq_told.get(at, 0), int(found))

    def placed(self, answer, mailbox, code):
        """The UIDs that APPENDUID or COPYUID tell, of mailbox `mailbox`."""
        octets = b"".join(answer.untagged) + answer.text
        found = re.search(rb"\[%s (\d+) (?:([\d:,]+) )?([\d:,]+)\]" % code, octets)
        if not found:
            raise Refused(f"no {code} in {octets!r}")
        validity, uids = int(found[1]), numbers(found[3].decode())
        if self.validity.setdefault(mailbox, validity) != validity:
            raise Refused(f"UIDVALIDITY of {mailbox} was {self.validity[mailbox]} and is {validity}")
        at = place(mailbox, validity)
        if min(uids) <= self.uid_told.get(at, 0):
            raise Refused(f"UID {min(uids)} in {mailbox} after {self.uid_told[at]}")
        self.uid_told[at] = max(uids)
        return numbers(found[2].decode()) if found[2] else [], uids

    def vanished(self, mailbox, uids):
        self.gone.setdefault(place(mailbox, self.validity[mailbox]), set()).update(uids)

    # What there is to choose from.

    def places(self):
        return ["INBOX", SHARED, *self.book.mailboxes]

    def some(self, most=6, everything=False):
        """A mailbox, selected, and the UIDs of some of its messages, or of all."""
        filled = sorted({mailbox for mailbox, _ in self.book.copies})
        if not filled:
            self.append()
            return None, []
        mailbox = self.chance.choice(filled)
        if mailbox != self.selected:
            answer = self.session.command(f'SELECT "{mailbox}" (CONDSTORE)').ok()
            self.selected = mailbox
            self.validity.setdefault(mailbox, int(re.search(rb"UIDVALIDITY (\d+)", b"".join(answer.untagged))[1]))
            self.told(mailbox, answer)
        uids = sorted(uid for name, uid in self.book.copies if name == mailbox)
        if everything:
            return mailbox, uids
        return mailbox, sorted(self.chance.sample(uids, min(len(uids), self.chance.randint(1, most))))

    def flags(self):
        return frozenset(self.chance.sample(SETTABLE, self.chance.randint(0, 3)))

    def new_message(self):
        self.written += 1
        key = f"{self.name}.{self.written}"
        return key, Literal(message(key, self.chance.choice(SIZES)))

    # What is done.

    def append(self):
        mailbox, after, parts = self.chance.choice(self.places()), self.book.copied(), []
        for _ in range(self.chance.choice([1, 1, 1, 2, 5])):
            key, octets = self.new_message()
            flags = self.flags()
            after.coming.append((mailbox, key, flags))
            parts += [f" ({' '.join(sorted(flags))}) ", octets]
        doing = "APPEND" if len(after.coming) == 1 else "MULTIAPPEND"
        answer = self.ask(doing, after, f'APPEND "{mailbox}"', *parts)
        self.settle(self.placed(answer, mailbox, b"APPENDUID")[1])

    def store(self):
        # All of a large mailbox at once is kept as one record.
        mailbox, uids = self.some(20, everything=self.chance.random() < EVERYTHING)
        if uids:
            self.store_flags(mailbox, uids, self.chance.choice(["+", "-", ""]), self.flags())

    def store_flags(self, mailbox, uids, mode, flags):
        after = self.book.copied()
        for uid in uids:
            key, before = after.copies[mailbox, uid]
            after.copies[mailbox, uid] = key, {"+": before | flags, "-": before - flags, "": flags}[mode]
        silent = self.chance.choice(["", ".SILENT"])
        ids = ",".join(map(str, uids))
        answer = self.ask("STORE", after, f"UID STORE {ids} {mode}FLAGS{silent} ({' '.join(sorted(flags))})")
        self.told(mailbox, answer)
        self.settle()

    def copy(self):
        self.transfer("COPY", self.chance.choice(self.places()), stays=True)

    def move(self):
        self.transfer("MOVE", self.chance.choice(self.places()), stays=False)

    def transfer(self, command, target, stays):
        mailbox, uids = self.some()
        if not uids:
            return
        after = self.book.copied()
        for uid in uids:
            after.coming.append((target, *after.copies[mailbox, uid]))
            if not stays:
                del after.copies[mailbox, uid]
        answer = self.ask(command, after, f'UID {command} {",".join(map(str, uids))} "{target}"')
        sources, targets = self.placed(answer, target, b"COPYUID")
        self.told(mailbox, answer)
        order = dict(zip(sources, targets, strict=True))
        self.settle([order[uid] for uid in uids])
        if not stays:
            self.vanished(mailbox, uids)

    def replace(self):
        mailbox, uids = self.some(1)
        if not uids:
            return
        target, (key, octets), flags = self.chance.choice(self.places()), self.new_message(), self.flags()
        after = self.book.copied()
        after.coming.append((target, key, flags))
        del after.copies[mailbox, uids[0]]
        command = f'UID REPLACE {uids[0]} "{target}" ({" ".join(sorted(flags))}) '
        answer = self.ask("REPLACE", after, command, octets)
        self.settle(self.placed(answer, target, b"APPENDUID")[1])
        self.vanished(mailbox, uids)

    def expunge(self):
        mailbox, uids = self.some(20)
        if not uids:
            return
        self.store_flags(mailbox, uids, "+", frozenset(["\\Deleted"]))
        after = self.book.copied()
        if mailbox in self.book.mailboxes:
            # All that is marked there is this writer's.
            uids = [uid for (name, uid), (_, flags) in after.copies.items() if name == mailbox and "\\Deleted" in flags]
            command, which = self.chance.choice(["EXPUNGE", "CLOSE"]), ""
        else:
            command, which = "UID EXPUNGE ", ",".join(map(str, uids))
        for uid in uids:
            del after.copies[mailbox, uid]
        answer = self.ask(command.strip(), after, command + which)
        self.told(mailbox, answer)
        if command == "CLOSE":
            self.selected = None
        self.settle()
        self.vanished(mailbox, uids)

    def change_mailboxes(self):
        names = [f"{self.name}-{letter}" for letter in POOL]
        free = [name for name in names if name not in self.book.mailboxes]
        own = sorted(self.book.mailboxes)
        after = self.book.copied()
        kind = self.chance.choice(["CREATE", "RENAME", "DELETE"])
        if kind == "CREATE" and free or not own:
            after.mailboxes[free[0]] = {}
            self.ask("CREATE", after, f'CREATE "{free[0]}"')
            self.settle()
            return
        name = self.chance.choice(own)
        if self.selected in own:
            self.session.command("UNSELECT").ok()
            self.selected = None
        if kind == "RENAME" and free:
            to = self.chance.choice(free)
            self.moved(after, name, to)
            self.ask("RENAME", after, f'RENAME "{name}" "{to}"')
        else:
            to = None
            self.moved(after, name, None)
            self.ask("DELETE", after, f'DELETE "{name}"')
        self.settle()
        self.forget(name, to)

    @staticmethod
    def moved(after, name, to):
        """All of a mailbox has another name, or is gone."""
        rights = after.mailboxes.pop(name)
        held = {uid: value for (own, uid), value in after.copies.items() if own == name}
        for uid in held:
            del after.copies[name, uid]
        if to:
            after.mailboxes[to] = rights
            after.copies.update(((to, uid), value) for uid, value in held.items())

    def forget(self, name, to):
        validity = self.validity.pop(name, None)
        if validity and to:
            self.validity[to] = validity

    def set_acl(self):
        if not self.book.mailboxes:
            return
        name = self.chance.choice(sorted(self.book.mailboxes))
        who = crowd.address(self.chance.randint(USERS + 1, USERS + 3))
        after = self.book.copied()
        if who in after.mailboxes[name] and self.chance.random() < 0.5:
            del after.mailboxes[name][who]
            self.ask("DELETEACL", after, f'DELETEACL "{name}" {who}')
        else:
            after.mailboxes[name][who] = self.chance.choice(RIGHTS)
            self.ask("SETACL", after, f'SETACL "{name}" {who} {after.mailboxes[name][who]}')
        self.settle()

    # After the restart.

    def judge(self, found):
        """What a `Look` found of this writer: as promised, with the command in flight or without. Gives whether the command
        in flight was carried out, and nothing where there was none. What was found is what is there from now on."""
        copies, mailboxes = found.of(self.name)
        without, carried_out = self.book.differs(copies, mailboxes), None
        if self.may:
            within = self.may.differs(copies, mailboxes)
            if without and within:
                self.faults.append(f"{self.name}, {self.doing} in flight: without it {without}; with it {within}")
            carried_out = not within
        elif without:
            self.faults.append(f"{self.name}, last {self.doing}: {without}")
        if not (self.may and self.doing in ("CREATE", "RENAME", "DELETE")):
            for mailbox, validity in self.validity.items():
                if found.validity[mailbox] != validity:
                    self.faults.append(f"UIDVALIDITY of {mailbox} was {validity} and is {found.validity[mailbox]}")
        self.validity = {name: found.validity[name] for name in ("INBOX", SHARED, *mailboxes)}
        self.book, self.may = Book(), None
        self.book.copies, self.book.mailboxes = dict(copies), copy.deepcopy(mailboxes)
        return carried_out
