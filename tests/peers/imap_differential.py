"""The same mail and the same commands to wasmta and to Debian's Dovecot; every difference is explained, or a failure.

The explained classes are rules in imap_classes.py and imap_found.py, each with a section in docs/imap-differences.md.
"""

import re
from collections import Counter
from pathlib import Path

import dovecot_server
import imap_classes
import imap_client
import imap_corpus
import imap_found
import imap_searches
import imap_sides
import imap_sorts

USER, PASSWORD = "user2@example.org", "password"
GROWN_SHORT, GROWN_LONG = 60, 1500
SHOWN_OF_A_KIND_MAX = 3
BINARY_PARTS_MAX = 10
OTHER = "Differential2"
DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs/imap-differences.md"

# Commands on a mailbox whose effect must be the same; each with what is compared of it: responses by name.
CHANGES = [
    (f"STATUS {imap_sides.MAILBOX} (MESSAGES UIDNEXT UNSEEN)", ["STATUS"]),
    (f"SELECT {imap_sides.MAILBOX}", ["EXISTS"]),
    ("STORE 1:3 +FLAGS (\\Flagged New-Word)", ["FETCH"]),
    ("STORE 1:3 +FLAGS (\\Flagged)", []),
    ("STORE 2 -FLAGS (\\Flagged absent)", ["FETCH"]),
    ("STORE 4 FLAGS ()", ["FETCH"]),
    ("STORE 5 FLAGS (\\Seen \\Seen $Label1)", ["FETCH"]),
    ("STORE 6:7 +FLAGS.SILENT (\\Answered)", ["FETCH"]),
    ("FETCH 1:7 (FLAGS)", ["FETCH"]),
    ("STORE 1 +FLAGS (\\Recent)", None),
    ("STORE 1 +FLAGS (\\Unknown)", None),
    ("UID STORE 99999 +FLAGS (\\Seen)", ["FETCH"]),
    ("FETCH 8 (BODY[HEADER.FIELDS (SUBJECT)])", []),
    ("FETCH 8 (FLAGS)", ["FETCH"]),
    ("FETCH 9 (RFC822.TEXT)", []),
    ("FETCH 9 FLAGS", ["FETCH"]),
    (f"CREATE {OTHER}", []),
    (f"COPY 1:5 {OTHER}", []),
    (f"UID COPY 99999 {OTHER}", []),
    ("COPY 1 Absent", []),
    (f"MOVE 2,4 {OTHER}", ["EXPUNGE"]),
    (f"STATUS {OTHER} (MESSAGES UNSEEN UIDNEXT)", ["STATUS"]),
    ("STORE 10:12 +FLAGS.SILENT (\\Deleted)", []),
    ("UID EXPUNGE 1:12", ["EXPUNGE"]),
    ("SEARCH DELETED", ["SEARCH"]),
    ("EXPUNGE", ["EXPUNGE"]),
    ("FETCH 1:* (UID FLAGS)", ["FETCH"]),
    ("FETCH 99999 FLAGS", None),
    ("FETCH 1 FAST", ["FETCH"]),
    ("UID FETCH 1:3 ALL", ["FETCH"]),
    ("UID FETCH 1:3 FULL", None),
    (f"RENAME {OTHER} {OTHER}b", []),
    (f"STATUS {OTHER}b (MESSAGES)", ["STATUS"]),
    (f"DELETE {OTHER}b", []),
    (f"DELETE {OTHER}b", []),
    ("CLOSE", []),
    (f"STATUS {imap_sides.MAILBOX} (MESSAGES UNSEEN)", ["STATUS"]),
    (f"EXAMINE {imap_sides.MAILBOX}", ["EXISTS"]),
    ("STORE 1 FLAGS (\\Seen)", []),
    ("UNSELECT", []),
]
# Commands behind EXAMINE that want to change something.
READ_ONLY = ["STORE 1 FLAGS (\\Seen)"]


class Result:
    """What a comparison brought."""

    def __init__(self):
        self.compared, self.classes, self.unexplained = Counter(), Counter(), []

    def add(self, name, difference):
        self.classes[name] += 1
        if name is None:
            self.unexplained.append(difference)

    def report(self):
        for kind, count in self.compared.items():
            print(f"  {count} {kind}")
        for name, count in self.classes.most_common():
            print(f"  {count:7} {name or 'NOT EXPLAINED'}")
        kinds = Counter()
        for difference in self.unexplained:
            kind = re.sub(r"[\d.]+", "", difference.item)
            kinds[kind] += 1
            if kinds[kind] <= SHOWN_OF_A_KIND_MAX:
                print(difference)
        for kind, count in kinds.items():
            if count > SHOWN_OF_A_KIND_MAX:
                print(f"… and {count - SHOWN_OF_A_KIND_MAX} more: {kind}")


def run(port, folder, grown):
    """Compares a wasmta whose IMAP under TLS listens on a port with a Dovecot that is started for it."""
    messages, result = [*imap_corpus.written(), *imap_corpus.grown(grown)], Result()
    dovecot = dovecot_server.Dovecot(folder)
    try:
        dovecot.start()
        sessions = [
            imap_client.Session(port, tls=True).login(USER, PASSWORD),
            imap_client.Session(dovecot.port).login(USER, dovecot_server.PASSWORD),
        ]
        sides = [imap_sides.Side(name, session) for name, session in zip(("wasmta", "dovecot"), sessions)]
        refused = [set(side.open(messages)) for side in sides]
        assert refused == [set(), set()], f"not all messages were taken: {refused}"
        for side in sides:
            side.command(f"EXAMINE {imap_sides.MAILBOX}").ok()
        reader = reading(port)
        compare(result, sides, reader, messages)
        reader.session.close()
        for side in sides:
            side.close()
            side.session.close()
    finally:
        dovecot.stop()
    undescribed = set(filter(None, result.classes)) - described()
    assert not undescribed, f"{DOCUMENT.name} has no section for {undescribed}"
    return result


def reading(port):
    """A session that is told messages as they are: others get surrogates of headers with UTF-8 (RFC 6858), and only others may name
    a charset in searches (RFC 6855 §3)."""
    reader = imap_sides.Side("wasmta", imap_client.Session(port, tls=True).login(USER, PASSWORD))
    reader.command("ENABLE UTF8=ACCEPT").ok()
    reader.command(f"EXAMINE {imap_sides.MAILBOX}").ok()
    return reader


def compare(result, sides, reader, messages):
    pairs = list(imap_sides.fetch_both(reader, sides[1], messages))
    by_name = {pair.name: pair for pair in pairs}
    result.compared["messages"] = len(pairs)
    result.compared["items of them"] = sum(len(pair.ours) for pair in pairs)
    for pair in pairs:
        for name, difference in imap_classes.judge(pair):
            result.add(name, difference)
    programs = list(imap_searches.programs())
    result.compared["searches"] = len(programs)
    for program, difference in imap_sides.compare_search(*sides, messages, programs):
        pair = by_name.get(difference.message)
        name = imap_found.judge(pair, program, difference) if pair else imap_found.judge_refusal(program)
        result.add(name, difference)
    compare_orders(result, sides[0], pairs)
    check_binary(result, reader, pairs)
    result.compared["commands"] = len(CHANGES)
    for command, names in CHANGES:
        told = [changed(side.command(command), names) for side in sides]
        if told[0] != told[1]:
            name = "changes where nothing may change" if command in READ_ONLY else None
            result.add(name, imap_sides.Difference("the mailbox", command, *told, b""))


def compare_orders(result, ours, pairs):
    """SORT and THREAD against the order that follows from what FETCH says: whose order is right where two servers read broken
    fields otherwise can only be said so."""
    told = {number: pair.ours for number, pair in enumerate(pairs, 1)}
    result.compared["orders"] = len(imap_sorts.KEYS) + 1
    for key in imap_sorts.KEYS:
        found = numbers(ours.command(f"SORT ({key}) UTF-8 ALL").ok().data("SORT")[0][1:])
        if found != (wanted := imap_sorts.order(told, key)):
            result.add(None, imap_sides.Difference("the mailbox", f"SORT ({key})", found, wanted, b""))
    found = numbers(ours.command("THREAD ORDEREDSUBJECT UTF-8 ALL").ok().data("THREAD")[0][1:])
    if found != (wanted := imap_sorts.threads(told)):
        parted = [(mine, other) for mine, other in zip(found, wanted) if mine != other]
        result.add(None, imap_sides.Difference("the mailbox", "THREAD ORDEREDSUBJECT", *(parted[0] if parted else (found, wanted)), b""))


def check_binary(result, ours, pairs):
    """BINARY (RFC 3516) is BODY without its transfer encoding, as it is decoded here; Dovecot closes the connection at some broken ones."""
    for number, pair in enumerate(pairs, 1):
        for path, body in imap_found.bodies(pair)[:BINARY_PARTS_MAX]:
            at = ".".join(map(str, path))
            octets, encoding = pair.ours.get(f"BODY[{at}]"), body.places.get("encoding")
            if body.parts or body.inner or octets is None:
                continue
            result.compared["decoded parts"] += 1
            answer = ours.command(f"FETCH {number} (BINARY.SIZE[{at}] BINARY.PEEK[{at}])")
            told = imap_client.fetched(answer).get(number, {})
            if encoding.lower() in imap_found.ENCODINGS:
                wanted = imap_found.decoded(encoding.lower(), octets)
                found = told.get(f"BINARY[{at}]"), int(told.get(f"BINARY.SIZE[{at}]", -1))
                is_right = answer.status == "OK" and found == (wanted, len(wanted))
            else:
                is_right = answer.status == "NO" and answer.text.startswith(b"[UNKNOWN-CTE]")
                found, wanted = answer.text, "[UNKNOWN-CTE]"
            if not is_right:
                result.add(None, imap_sides.Difference(pair.name, f"BINARY[{at}] {encoding.decode()}", found, wanted, pair.octets))


def numbers(value):
    return [numbers(one) for one in value] if isinstance(value, list) else int(value)


def changed(answer, names):
    """The status of a command, and its responses of some names; None stands for: that it is refused, in whatever way."""
    if names is None:
        return answer.status == "OK"
    told = [plain(value) for name in names if name != "FETCH" for value in answer.data(name)]
    fetched = imap_client.fetched(answer) if "FETCH" in names else {}
    items = {number: {name: imap_sides.plain(name, value) for name, value in of_one.items()} for number, of_one in fetched.items()}
    return answer.status, sorted(told, key=repr), items


def plain(value):
    """The attributes of STATUS in order."""
    if isinstance(value, list) and len(value) > 2 and isinstance(value[2], list):
        return [*value[:2], sorted(zip(value[2][::2], value[2][1::2]))]
    return value


def described():
    """The classes that the document explains."""
    return set(re.findall(r"^### (.*)$", DOCUMENT.read_text(), re.M))
