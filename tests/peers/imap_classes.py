"""The explained differences from Dovecot: for each class a rule that tells what belongs to it, and nothing else.

docs/imap-differences.md has a section for each name here: which RFC says what, and who follows it.
"""

import re

import imap_bodies
import imap_corpus
from imap_bodies import ADDRESS_FIELDS, pairs
from imap_client import NulLiteral
from imap_sides import Difference, is_same

PLACEHOLDERS = (b"MISSING_MAILBOX", b"MISSING_DOMAIN", b"SYNTAX_ERROR")
CHARSET = (b"charset", b"us-ascii")
TEXTS = ("date", "subject", "in-reply-to", "message-id")
PARAMETERS_MAX = 100
SPACE_AT_END = "a boundary that ends with a space"
BOUNDARY_LONG = 70
# Values that no grammar allows, and what real mail has all the same. Each server reads them as it can.
BROKEN = [imap_corpus.crlf(imap_corpus.ADDRESSES[name]) for name in imap_corpus.ADDRESSES_BROKEN]


def judge(pair):
    """The differences about one message, each with the name of its class, or None where nothing explains it."""
    for fault in faults(pair):
        yield None, fault
    told = Told(pair)
    for item in dict.fromkeys([*pair.ours, *pair.theirs]):
        ours, theirs = pair.ours.get(item), pair.theirs.get(item)
        # BODY is BODYSTRUCTURE without its ends: that is a claim of its own, and what differs is told once.
        if is_same(ours, theirs) or item == "BODY":
            continue
        whole = Difference(pair.name, item, ours, theirs, pair.octets)
        if item in ("BODYSTRUCTURE", "ENVELOPE"):
            read = told.structure(item)
            if not read:
                yield None, whole
            for leaf, name in read:
                at = ".".join(map(str, leaf.path))
                yield name, Difference(pair.name, f"{item} {at} {leaf.place}", leaf.ours, leaf.theirs, pair.octets)
        else:
            yield told.section(item, ours, theirs), whole


def faults(pair):
    """What must hold of our answers whatever the other server says: the octets are those that were appended."""
    ours, octets = pair.ours, pair.octets
    claims = [
        ("BODY[]", ours["BODY[]"], octets),
        ("RFC822.SIZE", int(ours["RFC822.SIZE"]), len(octets)),
        ("BODY", ours["BODY"], imap_bodies.basic(ours["BODYSTRUCTURE"])),
        ("BODY[HEADER] and BODY[TEXT]", ours["BODY[HEADER]"] + ours["BODY[TEXT]"], octets),
    ]
    for item, value in ours.items():
        if (found := re.fullmatch(r"BODY\[(.*)HEADER\.FIELDS (\(.*\))\]", item)) and isinstance(value, bytes):
            claims.append((item, value, fields_of(ours[f"BODY[{found[1]}HEADER]"], found[2].strip("()").split())))
        if (found := re.fullmatch(r"(.*)<(\d+)>", item)) and isinstance(ours.get(found[1]), bytes):
            whole, start = ours[found[1]], int(found[2])
            claims.append((item, value, whole[start : start + len(value)]))
            if not value and start < len(whole):
                claims.append((item, value, whole[start:]))
    for item, says, is_so in claims:
        if says != is_so:
            yield Difference(pair.name, f"{item} by itself", says, is_so, octets)


def fields_of(header, names):
    """The fields of these names, as they stand, and an empty line."""
    chosen = [text for text in re.findall(rb".+(?:\n[ \t].*)*\n?", header) if text.split(b":")[0].strip().decode("latin-1").upper() in names]
    if chosen and not chosen[-1].endswith(b"\n"):
        chosen.append(b"\r\n")
    return b"".join([*chosen, b"\r\n"])


class Told:
    """What is known about a message when its differences are judged."""

    def __init__(self, pair):
        self.pair = pair
        octets = pair.octets
        self.is_bare = b"\0" in octets or re.search(rb"(?<!\r)\n|\r(?!\n)", octets) is not None
        self.is_global = re.search(rb"^Content-Type: message/global", octets, re.M) is not None
        messages = 1 + len(re.findall(rb"message/rfc822", octets)) + (b"multipart/digest" in octets)
        self.all_mime = len(re.findall(rb"^MIME-Version[ \t]*:", octets, re.M | re.I)) >= messages
        self.leaves = {item: list(self.parted(item)) for item in ("BODYSTRUCTURE", "ENVELOPE")}
        # Parts that one server sees and the other does not: what is said about them, and below them, follows from that.
        self.apart = {
            leaf.path for leaf, name in self.leaves["BODYSTRUCTURE"] if leaf.place in ("parts", "type", "message") or name == SPACE_AT_END
        }
        self.paths = [set(self.numbered(answer)) for answer in (pair.ours, pair.theirs)]

    def header(self, number):
        return self.pair.ours.get(f"BODY[{number}.HEADER]") or b""

    def numbered(self, answer):
        from imap_sides import paths

        return paths(answer["BODYSTRUCTURE"])

    def parted(self, item):
        ours, theirs = self.pair.ours[item], self.pair.theirs[item]
        if item == "ENVELOPE":
            found = imap_bodies.envelope_leaves(ours, theirs)
        else:
            found = imap_bodies.leaves(imap_bodies.read(ours), imap_bodies.read(theirs))
        return ((leaf, self.named(leaf)) for leaf in found)

    def structure(self, item):
        return self.leaves[item]

    def named(self, leaf):
        """The class of a difference in a structure."""
        if self.is_bare:
            return "bare newlines and NUL"
        ours, theirs, octets = leaf.ours, leaf.theirs, self.pair.octets
        if leaf.place in TEXTS:
            return of_text(leaf, octets)
        if leaf.place in ADDRESS_FIELDS:
            return of_addresses(ours, theirs, octets)
        if not self.all_mime and leaf.place == "encoding" and theirs == b"7bit":
            return "fields of MIME without MIME-Version"
        if not self.all_mime and theirs is None and leaf.place in ("id", "description", "md5", "disposition", "language", "location"):
            return "fields of MIME without MIME-Version"
        judge = {
            "parts": of_parts, "type": of_type, "parameters": of_parameters, "language": of_language,
            "disposition": of_disposition, "encoding": of_encoding, "octets": of_size, "lines": of_size,
        }.get(leaf.place)
        return judge(ours, theirs, octets) if judge else None

    def section(self, item, ours, theirs):
        """The class of a difference in what is fetched."""
        if self.is_bare:
            return "bare newlines and NUL"
        found = re.match(r"BODY\[([\d.]*\d)?\.?([^\]]*)\](<\d+>)?", item)
        if not found:
            return None
        path, text, partial = tuple(map(int, found[1].split("."))) if found[1] else (), found[2], found[3]
        if path and not (path in self.paths[0] or path in self.paths[1]) or text in ("HEADER", "TEXT") or text.startswith("HEADER."):
            if path and ours is None:
                return "a part that is not there"
        if ours is None and theirs == b"" and imap_bodies.is_stand_in(self.pair.ours["BODYSTRUCTURE"], path):
            return "the part of a multipart without parts"
        if partial:
            # It is our whole, cut (that is a claim of its own): the whole says why.
            whole = item.removesuffix(partial)
            return self.section(whole, self.pair.ours[whole], self.pair.theirs[whole])
        if any(path[: len(at)] == at for at in self.apart):
            return "what follows from other parts"
        if self.is_global and path:
            return "a message of the type message/global"
        if text.startswith("HEADER.FIELDS") and ours == theirs + b"\r\n" * (1 if theirs.endswith(b"\n") or not theirs else 2):
            return "the empty line of a header without one"
        if text.startswith("HEADER.FIELDS") and path and not self.header(found[1]).endswith(b"\r\n\r\n"):
            return "a header that a delimiter ends"
        if (text in ("MIME", "HEADER") or not text) and ours == theirs + b"\r\n":
            return "a header that a delimiter ends"
        if re.search(rb"--[^\r\n]+--\Z", ours or b"") and theirs == ours + b"\r\n":
            return "the line end after an inner close delimiter"
        return None


def of_text(leaf, octets):
    ours, theirs = leaf.ours, leaf.theirs
    if ours is None or theirs is None:
        return None
    if re.sub(rb"[ \t]+", b" ", ours) == theirs:
        return "white space in unstructured fields"
    if len(re.findall(rb"^%s[ \t]*:" % leaf.place.encode(), octets, re.M | re.I)) > 1 and theirs in re.sub(rb"\s+", b" ", octets):
        return "a field that stands twice"
    return None


def of_addresses(ours, theirs, octets):
    mine = [[part or None for part in one] if one[2:] != [None, None] else one for one in ours or []]
    told = [[None if part in PLACEHOLDERS else part for part in one] for one in theirs or []]
    if mine == told:
        return "addresses that lack something"
    # An empty element and `<>` look alike with placeholders; the end of a group is four NIL without them.
    some = [one for one in ours or [] if one != [None, None, b"", b""]]
    others = [one for one in theirs or [] if one != [None, None, b"MISSING_MAILBOX", b"MISSING_DOMAIN"]]
    # Where nothing is left, Sender and Reply-To are those of From.
    if others != theirs and (not others or [lacking(one) for one in some] == [lacking(one) for one in others]):
        return "empty elements of address lists"
    if any(text in octets for text in BROKEN):
        return "broken addresses"
    if b" . " in octets:
        return "white space around dots"
    return None


def lacking(address):
    return [b"" if part in PLACEHOLDERS else part for part in address]


def of_type(ours, theirs, octets):
    if (theirs.main, theirs.sub) == (b"", b""):
        is_default = (ours.main, ours.sub) in ((b"text", b"plain"), (b"message", b"rfc822"))
        return "a type that cannot be read" if is_default else None
    if (theirs.main, theirs.sub) == (b"text", b"") and (ours.main, ours.sub) in ((b"text", b"plain"), (b"message", b"rfc822")):
        return "a type without subtype"
    if (ours.main, ours.sub) == (b"text", b"plain") and theirs.main == b"multipart" and not boundary(theirs):
        return "a multipart without boundary"
    return None


def boundary(body):
    return dict(pairs(body.parameters)).get(b"boundary", b"")


def of_parts(ours, theirs, octets):
    """One of them sees one more, empty part at the end."""
    more, less = sorted((ours.parts, theirs.parts), key=len, reverse=True)
    last = more[-1]
    if len(more) != len(less) + 1 or last.places.get("octets") != b"0":
        return None
    if more is ours.parts:
        return "a delimiter as the last line" if re.search(rb"\r\n--[^\r\n]+(\r\n--|\Z)", octets) else None
    value = boundary(ours)
    if len(value) > BOUNDARY_LONG:
        return "a long boundary"
    return "values that should be quoted" if re.search(rb"[()<>@,;:\\\"/\[\]?= ]", value) else None


def of_parameters(ours, theirs, octets):
    mine, other = pairs(ours.parameters), pairs(theirs.parameters)
    is_text = theirs.main.lower() == b"text"
    without = [one for one in other if one != CHARSET] if CHARSET not in mine and is_text else other
    if mine == without:
        return "the charset that nothing says"
    if sorted(mine) == sorted(without):
        return "the order of parameters"
    if len(mine) == PARAMETERS_MAX and mine == without[:PARAMETERS_MAX]:
        return "many parameters"
    if [name for name, _ in mine] == [name for name, _ in without] and all(
        value.startswith(cut) and value[len(cut) : len(cut) + 1] in b' ()<>@,;:\\"/[]?=' for (_, value), (_, cut) in zip(mine, without)
    ):
        return "values that should be quoted"
    if without == mine[: len(without)] and re.search(rb'="[^"\r\n]*\r\n(?![ \t])', octets):
        return "a quote that does not end"
    if re.search(rb"\*[1-9]\*?=.*\*0\*?=", octets):
        return "continuations out of order"
    return None


def of_language(ours, theirs, octets):
    mine, other = (value if isinstance(value, list) else [value] for value in (ours, theirs))
    if mine == other:
        return "one language"
    return "an empty element of a list of languages" if mine[: len(other)] == other and b",," in octets else None


def of_disposition(ours, theirs, octets):
    if ours is None and theirs is not None and theirs[0] == b"":
        return "a disposition without its word"
    if ours is None or theirs is None or ours[0] != theirs[0]:
        return None
    body = imap_bodies.Body
    return of_parameters(body(b"", b"", ours[1]), body(b"", b"", theirs[1]), octets)


def of_encoding(ours, theirs, octets):
    return "an encoding in quotes" if theirs == b"7bit" and b'"%s"' % ours in octets else None


def of_size(ours, theirs, octets):
    """A message whose last part ends with an inner close delimiter, or a boundary that is not met at all."""
    if ours is None or theirs is None:
        return None
    if re.search(rb'boundary="[^"]* "', octets):
        return SPACE_AT_END
    if int(theirs) - int(ours) in (1, 2):
        return "the line end after an inner close delimiter"
    if int(ours) - int(theirs) in (1, 2):
        return "a header that a delimiter ends"
    return None
