"""Two IMAP servers side by side: the same messages to both, the same commands, and where the answers part."""

from dataclasses import dataclass

import imap_client
from imap_client import Atom, Literal

MAILBOX = "Differential"
APPENDS_AHEAD = 20
PATHS_MAX = 60
ITEMS_A_COMMAND = 40
FLAGS = ["", "\\Seen", "\\Answered \\Seen", "\\Flagged", "\\Draft", "\\Deleted", "$Label1", "\\Seen $Forwarded Mixed-Case"]
ZONES = ["+0000", "+0100", "-0800", "+0530", "-0330"]
WHOLE = ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "UID", "ENVELOPE", "BODY", "BODYSTRUCTURE"]
FIELDS = "HEADER.FIELDS (SUBJECT FROM TO CONTENT-TYPE)"
SECTIONS = [
    "", "HEADER", "TEXT", FIELDS, "HEADER.FIELDS.NOT (SUBJECT FROM TO)", "HEADER.FIELDS (X-ABSENT)", "HEADER.FIELDS (date DATE)",
]
PARTIALS = ["<0.20>", "<5.1>", "<20.100000>", "<100000000.5>"]
OF_A_PART = ["", ".MIME", ".HEADER", ".TEXT", f".{FIELDS}"]
PATHS_ALWAYS = [(1,), (2,), (1, 1), (1, 2), (1, 1, 1), (3,), (99,)]


class Side:
    """One server with the messages in a mailbox of its own."""

    def __init__(self, name, session):
        self.name, self.session = name, session

    def open(self, messages):
        """Makes the mailbox, fills it, and selects it; gives the numbers of the messages that it did not take."""
        self.command(f"DELETE {MAILBOX}")
        self.command(f"CREATE {MAILBOX}").ok()
        refused = []
        for start in range(0, len(messages), APPENDS_AHEAD):
            batch = list(enumerate(messages[start : start + APPENDS_AHEAD], start))
            tags = [self.session.send(f"APPEND {MAILBOX} ({flags_of(n)}) \"{date_of(n)}\" ", Literal(octets)) for n, (_, octets) in batch]
            for (number, _), tag in zip(batch, tags):
                if self.session.finish(tag).status != "OK":
                    refused.append(number)
        return refused

    def close(self):
        self.command("CLOSE")
        self.command(f"DELETE {MAILBOX}")

    def command(self, *parts):
        return self.session.command(*parts)

    def fetch(self, number, items):
        """The items of one message, by name. What is refused together is asked for one by one."""
        answer = self.command(f"FETCH {number} ({' '.join(items)})")
        if answer.status == "OK":
            return imap_client.fetched(answer).get(number, {})
        if len(items) == 1:
            return {named(items[0]): Atom(f"{answer.status}".encode())}
        found = {}
        for item in items:
            found |= self.fetch(number, [item])
        return found

    def search(self, keys):
        """The numbers that a search finds; its status where that is not OK."""
        answer = self.command("SEARCH ", *keys)
        if answer.status != "OK":
            return answer.status
        return {int(number) for found in answer.data("SEARCH") for number in found[1:]}


def named(item):
    """Under which name the answer to an item comes."""
    return item.upper().replace("BODY.PEEK[", "BODY[").replace('"', "").split("<")[0] + (
        "<" + item.split("<")[1].split(".")[0] + ">" if "<" in item else ""
    )


def flags_of(number):
    return FLAGS[number % len(FLAGS)]


def date_of(number):
    return f"{1 + number % 28:2}-{('Jan', 'Jun', 'Dec')[number % 3]}-{2001 + number % 25} {number % 24:02}:30:0{number % 10} {ZONES[number % len(ZONES)]}"


@dataclass
class Difference:
    """Where two answers about a message are not the same."""

    message: str
    item: str
    ours: object
    theirs: object
    octets: bytes

    def __str__(self):
        return f"{self.message} · {self.item}\n    ours   {show(self.ours)}\n    theirs {show(self.theirs)}"


def show(value, octets_max=1500):
    if isinstance(value, set):
        return "found" if value else "not found"
    text = repr(value)
    return text if len(text) <= octets_max else f"{text[:octets_max]}… ({len(text)})"


def paths(body, at=()):
    """The part numbers of a message's BODY or BODYSTRUCTURE: what is no multipart has one part, 1 (RFC 3501 §6.4.5)."""
    if isinstance(body[0], list):
        for number, part in enumerate((part for part in body if isinstance(part, list) and is_body(part)), 1):
            yield from with_below(part, (*at, number))
    else:
        yield from with_below(body, (*at, 1))


def with_below(body, at):
    yield at
    if isinstance(body[0], list):
        yield from paths(body, at)
    elif is_message(body):
        yield from paths(body[8], at)


def is_body(value):
    return len(value) > 1 and (isinstance(value[0], list) or (len(value) >= 7 and isinstance(value[6], Atom)))


def is_message(body):
    return len(body) > 8 and str(body[0], "latin-1").lower() == "message" and isinstance(body[7], list)


@dataclass
class Pair:
    """All that both say of one message, by item."""

    name: str
    octets: bytes
    ours: dict
    theirs: dict


def fetch_both(ours, theirs, messages):
    """Each item of each message, of both. Also what parts name that either server sees, and some that none does."""
    for number, (name, octets) in enumerate(messages, 1):
        both = [side.fetch(number, WHOLE) for side in (ours, theirs)]
        wanted = dict.fromkeys(PATHS_ALWAYS)
        for answer in both:
            wanted |= dict.fromkeys(list(paths(answer["BODYSTRUCTURE"]))[:PATHS_MAX])
        items = [f"BODY.PEEK[{section}]" for section in SECTIONS] + ["RFC822.HEADER"]
        items += [f"BODY.PEEK[{section}]{part}" for section in ("", "TEXT", "HEADER", FIELDS) for part in PARTIALS]
        for path in wanted:
            joined = ".".join(map(str, path))
            items += [f"BODY.PEEK[{joined}{text}]" for text in OF_A_PART] + [f"BODY.PEEK[{joined}]<3.7>"]
        for answer, side in zip(both, (ours, theirs)):
            for start in range(0, len(items), ITEMS_A_COMMAND):
                answer |= side.fetch(number, items[start : start + ITEMS_A_COMMAND])
            for item in [*WHOLE, *map(named, items)]:
                answer[item] = plain(item, answer.get(item, Atom(b"absent")))
        yield Pair(name, octets, *both)


def is_same(ours, theirs):
    """Equal, and of the same kind: a number is not a string, NIL is not an empty string, one of many is not a list."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


def plain(item, value):
    """A value without what has no meaning: the order and case of flags, the zone in which a moment is told."""
    if item == "FLAGS":
        return sorted(flag.lower() for flag in value if flag.lower() != b"\\recent")
    if item == "INTERNALDATE":
        return moment(value.decode())
    return value


def moment(text):
    import email.utils

    return email.utils.parsedate_to_datetime(text.strip().replace("-", " ", 2)).timestamp()


def compare_search(ours, theirs, messages, programs):
    """For each program each message that one finds and the other does not, with the program."""
    for words in programs:
        found = [side.search(words) for side in (ours, theirs)]
        label = "SEARCH " + "".join(word if isinstance(word, str) else repr(bytes(word)) for word in words)
        if isinstance(found[0], str) or isinstance(found[1], str):
            if found[0] != found[1]:
                yield words, Difference("all", label, *found, b"")
            continue
        for number in sorted(found[0] ^ found[1]):
            name, octets = messages[number - 1]
            yield words, Difference(name, label, found[0] & {number}, found[1] & {number}, octets)
