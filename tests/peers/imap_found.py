"""What SEARCH must find by our own rules, worked out here from what FETCH tells: the judge where two servers differ.

The rules are those of docs/imap-differences.md, "Searching"; where they leave a choice, both answers are right.
"""

import base64
import re

import imap_bodies
import imap_corpus
from imap_sides import paths

WORD = re.compile(rb"=\?([^?\s]+)\?([bBqQ])\?(.*?)\?=", re.S)
FIELD_KEYS = ("SUBJECT", "FROM", "TO", "CC", "BCC")
ENCODINGS = (b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable")
DATES_BROKEN = [value for name, value in imap_corpus.DATES.items() if name in imap_corpus.DATES_UNSURE]


def judge(pair, program, difference):
    """The class of a difference in what a search finds; None where our answer is not what the rules ask for."""
    words, found = program[0].split(), bool(difference.ours)
    if words[0] in ("SENTBEFORE", "SENTON", "SENTSINCE"):
        return of_date(pair)
    if "99999:*" in program[0]:
        return "numbers beyond the mailbox"
    allowed, is_plain = allowed_answers(pair, program)
    if allowed is None or found not in allowed:
        return None
    if len(allowed) > 1:
        return "headers of parts, and white space in headers"
    return "searching" if is_plain else "negated and joined searches"


def of_date(pair):
    date = re.search(rb"^Date[ \t]*:(.*)\r\n", pair.octets.split(b"\r\n\r\n")[0] + b"\r\n", re.M | re.I)
    if not date or pair.octets.startswith(b"\r\n"):
        return "messages without a date"
    text = b" ".join(pair.octets[date.start(1) :].split(b"\r\n")[:1]).strip().decode("latin-1")
    return "dates that no grammar allows" if any(text == value.strip() for value in DATES_BROKEN) else None


def allowed_answers(pair, program):
    """The answers that are right, and whether the program is one key."""
    parts = [part if isinstance(part, str) else bytes(part) for part in program]
    text = "".join(part if isinstance(part, str) else '""' for part in parts)
    charset = (re.match(r"CHARSET (\S+) ", text) or [None, "utf-8"])[1]
    needles = [part.decode(charset) for part in parts if isinstance(part, bytes)]
    text = re.sub(r"^CHARSET \S+ ", "", text)
    negated = text.startswith("NOT ")
    keys = re.findall(r"(HEADER \S+|BODY|TEXT|SUBJECT|FROM|TO|CC|BCC) +(\"[^\"]*\"|[^\s()]+)", text)
    if not keys:
        return None, False
    each = [key_answers(pair, key, needles.pop(0) if needles else value.strip('"')) for key, value in keys]
    if text.startswith("OR "):
        answers = {a or b for a in each[0] for b in each[1]}
    elif negated:
        answers = {not a for a in each[0]}
    else:
        answers = {all(combination) for combination in product(each)}
    return answers, len(keys) == 1 and not negated


def product(sets):
    found = [[]]
    for one in sets:
        found = [[*before, answer] for before in found for answer in one]
    return found


def key_answers(pair, key, needle):
    """Whether one key holds, with and without what is left open."""
    needle = needle.lower()
    head = pair.ours["BODY[HEADER]"]
    if key in ("BODY", "TEXT"):
        body = any(needle in text.lower() for text in part_texts(pair)) or not needle
        inner = any(holds(header, needle, blank) for header in part_headers(pair) for blank in (True, False))
        own = {holds(head, needle, blank) for blank in (True, False)} if key == "TEXT" else {False}
        return {body or one or below for one in own for below in ({inner, False} if inner else {False})} | (
            {True} if key == "TEXT" and inner else set()
        )
    name = key.removeprefix("HEADER ").encode()
    return {any(needle in shown(value, blank).lower() for field, value in fields(head) if field.lower() == name.lower())
            for blank in (True, False)}


def holds(header, needle, fold_blanks):
    return any(needle in f"{charset_text(b'', name)}: {shown(value, fold_blanks)}".lower() for name, value in fields(header))


def fields(header):
    """Name and value of each field, folds included."""
    for text in re.split(rb"\r?\n(?![ \t])", header):
        name, colon, value = text.partition(b":")
        if text:
            yield (name.rstrip(), value) if colon else (text, b"")


def shown(value, fold_blanks=False):
    """A field as a person sees it (RFC 2047); with blanks folded, each run of white space is one space."""
    value = re.sub(rb"[\r\n]", b"", value.strip())
    text, pending, at = [], None, 0
    for word in WORD.finditer(value):
        between = value[at : word.start()]
        if pending is None or between.strip():
            flush(text, pending)
            pending = None
            text.append(charset_text(b"", between))
        charset, octets = word[1].split(b"*")[0].lower(), decoded(word[2].lower(), word[3])
        if pending and pending[0] == charset:
            pending = (charset, pending[1] + octets)
        else:
            flush(text, pending)
            pending = (charset, octets)
        at = word.end()
    flush(text, pending)
    text.append(charset_text(b"", value[at:]))
    whole = "".join(text)
    return re.sub(r"[ \t]+", " ", whole) if fold_blanks else whole


def flush(text, pending):
    if pending:
        text.append(charset_text(*pending))


def decoded(encoding, octets):
    if encoding in (b"b", b"base64"):
        digits = re.sub(rb"[^A-Za-z0-9+/]", b"", octets.split(b"=")[0])
        digits = digits[:-1] if len(digits) % 4 == 1 else digits
        return base64.b64decode(digits + b"=" * (-len(digits) % 4))
    if encoding in (b"q", b"quoted-printable"):
        if encoding == b"q":
            octets = octets.replace(b"_", b" ")
        else:
            # RFC 2045 §6.7 rule 3.
            octets = re.sub(rb"[ \t\r]*?(\r?\n|\Z)", rb"\1", octets)
        octets = re.sub(rb"=[ \t\r]*\n", b"", octets)
        return re.sub(rb"=([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), octets)
    return octets


def charset_text(charset, octets):
    """Unknown sets are read as UTF-8 where that is possible, else as windows-1252."""
    if charset and charset.lower() != b"us-ascii":
        try:
            return octets.decode(charset.decode("ascii"), errors="replace")
        except (LookupError, UnicodeDecodeError):
            pass
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("cp1252", errors="replace")


def bodies(pair):
    """Path and body of each part."""
    root = imap_bodies.read(pair.ours["BODYSTRUCTURE"])
    numbers = list(paths(pair.ours["BODYSTRUCTURE"]))
    found = []

    def go(body, path):
        if body.parts:
            for number, part in enumerate(body.parts, 1):
                found.append(((*path, number), part))
                below(part, (*path, number))
        else:
            found.append(((*path, 1), body))
            below(body, (*path, 1))

    def below(body, path):
        if body.parts:
            go(body, path)
        elif body.inner:
            go(body.inner, path)

    go(root, ())
    return [(path, body) for path, body in found if path in numbers]


def part_texts(pair):
    """The texts of the parts that are text, or a message that is not taken apart."""
    for path, body in bodies(pair):
        if not body.parts and not body.inner and body.main.lower() in (b"text", b"message"):
            octets = pair.ours.get(f"BODY[{'.'.join(map(str, path))}]") or b""
            parameters = {name.lower(): value for name, value in reversed(imap_bodies.pairs(body.parameters))}
            yield charset_text(parameters.get(b"charset", b""), decoded(body.places["encoding"].lower(), octets))


def part_headers(pair):
    """The headers below the message's own."""
    for path, body in bodies(pair):
        at = ".".join(map(str, path))
        is_own = path == (1,) and not imap_bodies.read(pair.ours["BODYSTRUCTURE"]).parts
        for name in [f"BODY[{at}.HEADER]"] + ([] if is_own else [f"BODY[{at}.MIME]"]):
            yield pair.ours.get(name) or b""


def judge_refusal(program):
    """The class of a program that one takes and the other refuses."""
    return "days that no month has" if "31-Feb" in program[0] else None
