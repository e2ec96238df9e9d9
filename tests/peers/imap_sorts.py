"""In which order SORT must give messages (RFC 5256, RFC 5957), worked out from what FETCH tells of them."""

import re
from datetime import datetime, timedelta, timezone

from imap_found import shown

KEYS = ["SUBJECT", "FROM", "TO", "CC", "DATE", "ARRIVAL", "SIZE", "DISPLAYFROM", "DISPLAYTO", "REVERSE SIZE", "SUBJECT REVERSE SIZE", "FROM SUBJECT"]
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
ZONES = {"EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420}
DATE = re.compile(
    r"\s*(?:[a-z]+\s*,?)?\s*(\d{1,2})\s+([a-z]{3})\s+(\d{1,4})\s+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\s+([+-]\d{4}|[a-z]+))?\s*\Z", re.I
)
BLOB = r"(?:\[[^\[\]]*\]\s*)"
LEADER = re.compile(rf"\A(?:{BLOB}*(?:re|fwd?)\s*{BLOB}?:|\s)", re.I)


def order(told, key):
    """Message numbers in the order of a key; those that are equal in it by number."""
    words, numbers = key.split(), sorted(told)
    while words:
        word = words.pop()
        reverse = bool(words) and words[-1] == "REVERSE"
        if reverse:
            words.pop()
        # Sorting is stable, and stays so in reverse.
        numbers.sort(key=lambda number: keys_of(told[number], word), reverse=reverse)
    return numbers


def threads(told):
    """THREAD=ORDEREDSUBJECT (RFC 5256 §3): by base subject, the first sent before all others, which are its siblings."""
    by_subject = {}
    for number in order(told, "DATE"):
        by_subject.setdefault(keys_of(told[number], "SUBJECT"), []).append(number)
    return [[first, *([[one] for one in rest] if len(rest) > 1 else rest)] for first, *rest in by_subject.values()]


def keys_of(items, word):
    envelope = items["ENVELOPE"]
    if word == "SIZE":
        return int(items["RFC822.SIZE"])
    if word in ("ARRIVAL", "DATE"):
        sent = sent_at(envelope[0] or b"") if word == "DATE" else None
        return items["INTERNALDATE"] if sent is None else sent
    if word == "SUBJECT":
        return base_subject(shown(envelope[1] or b"")).upper()
    addresses = envelope[{"FROM": 2, "TO": 5, "CC": 6, "DISPLAYFROM": 2, "DISPLAYTO": 5}[word]]
    if not addresses:
        return ""
    name, _, local, host = addresses[0]
    if word.startswith("DISPLAY"):
        # RFC 5957 §2: the name, else the address.
        text = shown(name) if name else ""
        address = b"@".join([local or b"", *([host] if host else [])]).decode(errors="replace")
        return (text or address).upper()
    return (local or b"").decode(errors="replace").upper()


def sent_at(text):
    """The moment of a Date field; None where RFC 5322 cannot read it."""
    without_comments = re.sub(r"\([^()]*\)", " ", text.decode("latin-1"))
    found = DATE.match(without_comments.replace(",", ", "))
    if not found or found[2].lower() not in MONTHS:
        return None
    day, year = int(found[1]), int(found[3])
    year += (2000 if year < 50 else 1900) if len(found[3]) <= 2 else 1900 if len(found[3]) == 3 else 0
    hour, minute, second = int(found[4]), int(found[5]), int(found[6] or 0)
    zone = found[7] or "+0000"
    if zone[0] in "+-" and int(zone[3:]) > 59:
        return None
    minutes = (int(zone[1:3]) * 60 + int(zone[3:])) * (-1 if zone[0] == "-" else 1) if zone[0] in "+-" else ZONES.get(zone.upper(), 0)
    try:
        when = datetime(year, MONTHS.index(found[2].lower()) + 1, day, hour, minute, min(second, 59), tzinfo=timezone.utc)
    except ValueError:
        return None
    return (when - datetime(1970, 1, 1, tzinfo=timezone.utc) - timedelta(minutes=minutes)).total_seconds() + second // 60


def base_subject(text):
    """RFC 5256 §2.1."""
    text = re.sub(r"\s+", " ", text)
    while True:
        text = re.sub(r"(?:\(fwd\)|\s)+\Z", "", text, flags=re.I)
        while True:
            before = text
            while found := LEADER.match(text):
                text = text[found.end() :]
            blob = re.match(BLOB, text)
            if blob and text[blob.end() :].strip():
                text = text[blob.end() :]
            if text == before:
                break
        wrapped = re.fullmatch(r"\[fwd:(.*)\]", text, re.I | re.S)
        if not wrapped:
            return text
        text = wrapped[1]
