"""What is in the mailboxes after a restart, and whether it follows from what was there before: UIDs, UIDNEXT and
mod-sequences never fall, a UID never names another message, and what QRESYNC (RFC 7162) tells to a client that was away
makes of its old view the new one.
"""

import re

import imap_ledger
from imap_client import Session, fetched
from imap_ledger import SHARED, numbers, place
from instance import crowd

OWN = re.compile(r"w\d+-[a-z]")


class View:
    """One mailbox as one user sees it."""

    def __init__(self, answer):
        said = b"".join(answer.untagged) + answer.text
        self.validity, self.next_uid, self.modseq = (
            int(re.search(rb"\[%s (\d+)" % code, said)[1]) for code in (b"UIDVALIDITY", b"UIDNEXT", b"HIGHESTMODSEQ")
        )
        # UID -> flags and mod-sequence; UID -> message.
        self.flags, self.keys = {}, {}


class Look:
    """All that one user has, with what is wrong with it by itself."""

    def __init__(self, port, user):
        self.user, self.views, self.rights, self.faults = user, {}, {}, []
        self.session = Session(port, timeout=imap_ledger.SOCKET_SECONDS_MAX)
        self.session.login(user, crowd.PASSWORD)
        self.session.command("ENABLE QRESYNC").ok()
        listed = self.session.command('LIST "" "*"').ok().data("LIST")
        for name in (entry[-1].decode() for entry in listed):
            if name in ("INBOX", SHARED) or OWN.fullmatch(name):
                self.views[name] = self.read(name)
            if OWN.fullmatch(name):
                self.rights[name] = self.read_rights(name)
        self.validity = {name: view.validity for name, view in self.views.items()}

    def read(self, name):
        view = View(self.session.command(f'EXAMINE "{name}" (CONDSTORE)').ok())
        answer = self.session.command("UID FETCH 1:* (UID FLAGS MODSEQ BODY.PEEK[])").ok()
        for items in fetched(answer).values():
            uid = int(items["UID"])
            view.flags[uid] = told(items)
            view.keys[uid] = imap_ledger.read_message(items["BODY[]"])
            if view.keys[uid] is None:
                self.faults.append(f"UID {uid} in {name} of {self.user} is not what was written")
            if uid >= view.next_uid or view.flags[uid][1] > view.modseq:
                self.faults.append(f"UID {uid} in {name} of {self.user} is beyond UIDNEXT or HIGHESTMODSEQ")
        return view

    def read_rights(self, name):
        """The list of rights, without the owner."""
        entry = self.session.command(f'GETACL "{name}"').ok().data("ACL")[0][2:]
        found = dict(zip((bytes(who).decode() for who in entry[::2]), (bytes(rights).decode() for rights in entry[1::2])))
        found.pop(self.user, None)
        return {who: "".join(sorted(set(rights) - set("cd"))) for who, rights in found.items()}

    def of(self, writer):
        """One writer's messages and mailboxes."""
        copies = {
            (name, uid): (key, view.flags[uid][0])
            for name, view in self.views.items()
            for uid, key in view.keys.items()
            if key and key.startswith(writer + ".")
        }
        return copies, {name: rights for name, rights in self.rights.items() if name.startswith(writer + "-")}

    def missed(self, name, view, all_known):
        """What a client that had this view, and says which UIDs it knows or does not, is told: its view then, and what
        vanished."""
        known = f" 1:{view.next_uid - 1}" if all_known and view.next_uid > 1 else ""
        answer = self.session.command(f'EXAMINE "{name}" (QRESYNC ({view.validity} {view.modseq}{known}))').ok()
        vanished = set()
        for response in answer.untagged:
            if found := re.match(rb"\* VANISHED \(EARLIER\) ([\d:,]+)", response):
                vanished.update(numbers(found[1].decode()))
        flags = {uid: value for uid, value in view.flags.items() if uid not in vanished}
        return flags | {int(items["UID"]): told(items) for items in fetched(answer).values()}, vanished

    def close(self):
        self.session.command("LOGOUT").ok()
        self.session.close()


def told(items):
    flags = frozenset(bytes(flag).decode() for flag in items["FLAGS"])
    return flags - {"\\Recent"}, int(items["MODSEQ"][0])


class History:
    """What one user's mailboxes were, after each restart so far."""

    def __init__(self, user, chance):
        # By `place`: views; UIDs that were acknowledged as gone, each with the number of views there were; whose UID it is.
        self.user, self.chance, self.views, self.gone, self.names = user, chance, {}, {}, {}
        self.faults = []

    def take(self, look, writers):
        """Holds what is there now to what was there, and to what was acknowledged since to all of these writers."""
        for name, view in look.views.items():
            at, where = place(name, view.validity), f"{name} of {self.user}"
            near = [writer for writer in writers if writer.user == self.user or name == SHARED]
            views, gone = self.views.setdefault(at, []), self.gone.setdefault(at, {})
            for writer in near:
                for uid in writer.gone.get(at, ()):
                    gone.setdefault(uid, len(views))
            before = [(old.next_uid, old.modseq) for old in views[-1:]]
            before += [(writer.uid_told.get(at, 0) + 1, writer.modseq_told.get(at, 0)) for writer in near]
            for next_uid, modseq in before:
                if view.next_uid < next_uid or view.modseq < modseq:
                    said = f"UIDNEXT {view.next_uid} after {next_uid}, HIGHESTMODSEQ {view.modseq} after {modseq}"
                    self.faults.append(f"{where}: {said}")
            for uid, key in view.keys.items():
                if self.names.setdefault((at, uid), key) != key:
                    self.faults.append(f"{where}: UID {uid} was {self.names[at, uid]} and is {key}")
            if views:
                self.resync(look, name, view, len(views) - 1)
                self.resync(look, name, view, self.chance.randrange(len(views)))
            views.append(view)

    def resync(self, look, name, view, at):
        """A client that was away since the view `at` has the new one from what it is told."""
        key, where = place(name, view.validity), f"{name} of {self.user}, away since look {at}"
        old, all_known = self.views[key][at], self.chance.random() < 0.5
        flags, vanished = look.missed(name, old, all_known)
        # Who says which UIDs it knows is told of no others (RFC 7162 §3.2.5.1).
        asked = [uid for uid in flags.keys() | view.flags.keys() if not all_known or uid < old.next_uid]
        pairs = {uid: (flags.get(uid), view.flags.get(uid)) for uid in asked}
        differing = {uid: pair for uid, pair in pairs.items() if not same(*pair, old.modseq if name == SHARED else 0)}
        if differing:
            self.faults.append(f"{where}: QRESYNC leaves (told, there) {differing}")
        if there := vanished & view.flags.keys():
            self.faults.append(f"{where}: VANISHED tells {sorted(there)}, which are there")
        gone = {uid for uid, count in self.gone[key].items() if count > at and (not all_known or uid < old.next_uid)}
        if unsaid := gone - vanished:
            self.faults.append(f"{where}: VANISHED does not tell {sorted(unsaid)}, which were acknowledged as gone")


def same(told, there, known):
    """Whether a client knows a message as it is. Of old changes of what a reader has seen in a mailbox of others, the store
    knows the last only: it may count as a message's own, up to what the client has (`known`)."""
    return told == there or bool(told and there) and told[0] == there[0] and told[1] <= there[1] <= known
