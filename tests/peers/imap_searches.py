"""Search programs that two servers are asked: each key of RFC 3501 §6.4.4, and words as they stand in the corpus."""

from imap_client import Literal

WORDS = [
    "anna", "ANNA", "Gr\u00fc\u00dfe", "gr\u00fc\u00dfe", "GR\u00dcSSE", "stra\u00dfe", "inner", "body", "part", "plain", "first part", "second",
    "example.org", "j\u00fcrgen", "K\u00f6ln", "eins zwei", "spaced out", "one two three", "never ends", "=?utf-8", "PNG", "R3LDvMOf",
    "base64", "nowhere-to-be-found", "Who", "team", "undisclosed", "M\u00fcnchen", "colour", "\u041f\u0440\u0438\u0432\u0435\u0442", "\u3053\u3093", "a b", "x", ".", "preamble", "epilogue",
    "ends. end", "Platz", "part 7", "word399", "text/html", "second.txt", "gr\u00f6\u00dfe", "after the close", "inner subject", "returned",
]
FIELDS = ["SUBJECT", "FROM", "TO", "CC", "BCC"]
HEADERS = ["Sender", "Reply-To", "Message-ID", "Content-Type", "X-Absent", "Date", "content-language", "X-C", "Received"]
DATES = ["2-Feb-2026", "3-Feb-2026", "4-Feb-2026", "1-Jan-2001", "5-Jun-2002", "31-Dec-1998", "3-Feb-1993", "3-Feb-2004", "1-Jan-1970", "3-Feb-2860"]
DAYS = ["BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE"]
PLAIN = [
    "ALL", "ANSWERED", "UNANSWERED", "DELETED", "UNDELETED", "DRAFT", "UNDRAFT", "FLAGGED", "UNFLAGGED", "SEEN", "UNSEEN", "KEYWORD $Label1",
    "UNKEYWORD $Label1", "KEYWORD $LABEL1", "KEYWORD $forwarded", "KEYWORD absent", "UNKEYWORD absent", "1:10", "1,3,5:7,*", "*", "10:1", "5:*",
    "UID 1:10", "UID 5:*", "UID 99999", "99999:*", "UID 99999:*", "NOT 1:10", "NOT NOT SEEN", "OR SEEN FLAGGED", "OR (SEEN ANSWERED) DRAFT",
    "OR OR SEEN DRAFT FLAGGED", "(SEEN UNANSWERED)", "SEEN UNANSWERED 1:100", "NOT (SEEN ANSWERED)", "LARGER 500", "LARGER 1000000",
    "SMALLER 100", "SMALLER 0", "LARGER 0", "NOT LARGER 200", "LARGER 100 SMALLER 200", "NEW", "OLD", "RECENT", "1:20 SUBJECT re", "NOT SUBJECT a",
    'HEADER X-Absent ""', 'NOT HEADER Subject ""', 'SUBJECT ""', 'BODY ""', 'TEXT ""', 'SUBJECT "field" FROM "a"', "CHARSET US-ASCII SUBJECT plain",
    "CHARSET UTF-8 SUBJECT plain", "CHARSET X-NONE SUBJECT plain", 'OR SUBJECT "plain" BODY "inner"', "UNKNOWNKEY", "SUBJECT", "(SEEN", "OR SEEN",
    "LARGER x", "ON 31-Feb-2026", 'ON "3-Feb-2026"', "SINCE 3-feb-2026", "1:0", "0", "UID 0", "KEYWORD", "NOT", "()", "",
]


def programs():
    """Each as the parts of a command behind SEARCH."""
    for words in PLAIN:
        yield (words,)
    for word in WORDS:
        octets = word.encode()
        for key in ["BODY", "TEXT", "SUBJECT"]:
            yield (f"CHARSET UTF-8 {key} ", Literal(octets))
        for key in FIELDS[1:]:
            if len(word) > 3:
                yield (f"CHARSET UTF-8 {key} ", Literal(octets))
    for name in HEADERS:
        yield (f'HEADER {name} ""',)
        yield (f"HEADER {name} a",)
        yield (f'HEADER {name} "example.org"',)
    for date in DATES:
        for key in DAYS:
            yield (f"{key} {date}",)
    yield ("CHARSET ISO-8859-1 SUBJECT ", Literal("Gr\u00fc\u00dfe".encode("latin-1")))
    yield ("CHARSET UTF-8 OR SUBJECT ", Literal("Gr\u00fc\u00dfe".encode()), " BODY ", Literal("Gr\u00fc\u00dfe".encode()))
