"""Messages to be read by two servers: shapes that real mail has, and each way in which it is broken. The same ones always.

`written()` are cases that say what they show; `grown(count)` puts pieces together by a fixed chance.
"""

import base64
import random

PARAMETERS_MANY = 150
DEPTH_DEEP = 60
PARTS_WIDE = 300
LONG_LINE_OCTETS = 40_000
NESTED_MAX = 4
SEED = 20_260_101

PLAIN = "From: Anna Weber <anna@example.org>\nTo: bob@example.net\nSubject: plain\nDate: Tue, 3 Feb 2026 10:00:00 +0100\n"
MIXED = PLAIN + "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n"
TEXT = "--b\nContent-Type: text/plain; charset=utf-8\n\nfirst part\n"
PNG = base64.b64encode(bytes(range(256)) * 3).decode()


def crlf(text):
    """As it stands on the wire. Text is latin-1 here: an octet is a character."""
    return text.replace("\n", "\r\n").encode("latin-1")


def utf8(text):
    """UTF-8 octets as latin-1 characters."""
    return text.encode().decode("latin-1")


def field(name, value):
    """A message whose one field is in question."""
    subject = "" if name == "Subject" else "Subject: a field\n"
    return f"From: a@example.org\nDate: Mon, 2 Feb 2026 09:00:00 +0000\nMIME-Version: 1.0\n{name}: {value}\n{subject}\nbody\n"


def wrapped(lines):
    return "\n".join(PNG[at : at + 76] for at in range(0, min(len(PNG), lines * 76), 76)) + "\n"


BARE = {
    "header only": PLAIN + "\n",
    "header without empty line": PLAIN,
    "header whose last line has no end": PLAIN[:-1],
    "body only": "\njust a body, no header\n",
    "one line": "no header, no colon",
    "one field": "Subject: alone\n\n",
    "no subject": "From: a@example.org\n\nbody\n",
    "text without line end": PLAIN + "\nno line end at the end",
    "empty lines": PLAIN + "\n\n\n\n\n",
    "only an empty line": "\n",
    "two empty lines": "\n\n",
    "a colon": ":\n\nbody\n",
    "a line without colon among fields": "From: a@example.org\nthis is no field\nSubject: after it\n\nbody\n",
    "a continuation first": " folded into nothing\nSubject: after it\n\nbody\n",
    "space before the colon": "From : a@example.org\nSubject \t: spaced\nTo\t: b@example.org\n\nbody\n",
    "From line of an mbox": "From a@example.org Tue Feb  3 10:00:00 2026\nSubject: after it\n\nbody\n",
    "escaped From": PLAIN + "\n>From the start\nFrom the start\n",
    "dots": PLAIN + "\n.\n..\n.x\n",
    "fields twice": "From: a@example.org\nFrom: b@example.org\nTo: c@example.org\nTo: d@example.org\nSubject: one\nSubject: two\n"
    "Date: Mon, 2 Feb 2026 09:00:00 +0000\nDate: Tue, 3 Feb 2026 09:00:00 +0000\nMessage-ID: <1@x>\nMessage-ID: <2@x>\n\nbody\n",
    "names in all cases": "FROM: a@example.org\nto: b@example.org\nsUbJeCt: cases\nCC: c@example.org\nDATE: Mon, 2 Feb 2026 09:00:00 +0000\n\nbody\n",
    "all fields": PLAIN + "Sender: s@example.org\nReply-To: r@example.org\nCc: c@example.org\nBcc: d@example.org\n"
    "In-Reply-To: <before@example.org>\nMessage-ID: <this@example.org>\nReferences: <a@x> <b@x>\n\nbody\n",
    "long line": PLAIN + "\n" + "x" * LONG_LINE_OCTETS + "\nlast\n",
    "long field": PLAIN + "X-Long: " + "y" * LONG_LINE_OCTETS + "\n\nbody\n",
    "long subject folded": "Subject: " + "\n ".join(f"word{n}" for n in range(400)) + "\n\nbody\n",
    "many fields": PLAIN + "".join(f"X-{n}: {n}\n" for n in range(500)) + "\nbody\n",
    "many Received": "".join(f"Received: from h{n} by h{n + 1}; Mon, 2 Feb 2026 09:00:00 +0000\n" for n in range(100)) + PLAIN + "\nbody\n",
    "8-bit body": PLAIN + utf8("\nGrüße aus Köln: straße\n"),
    "latin-1 body without charset": PLAIN + "\nGr\xfc\xdfe\n",
    "control characters": PLAIN + "X-C: \x01\x07\x7f\n\n\x01\x02\x1b[0m\x7f\n",
    "backslashes and quotes": 'Subject: say "hello" \\ and \\"more\\"\nFrom: "A \\"B\\" \\\\ C" <a@example.org>\n\nbody\n',
    "8-bit everywhere": utf8("From: Jürgen Groß <jürgen@exämple.org>\nTo: \"Zoë\" <zoë@example.org>\nSubject: Grüße — naïve\n\nbody\n"),
    "latin-1 header": "From: J\xfcrgen <j@example.org>\nSubject: Gr\xfc\xdfe\n\nbody\n",
}

SUBJECTS = {
    "encoded Q": "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
    "encoded B": "=?UTF-8?B?R3LDvMOfZQ==?=",
    "encoded latin-1": "=?iso-8859-1?q?Gr=FC=DFe_aus?= K=?iso-8859-1?q?=F6?=ln",
    "encoded adjacent": "=?utf-8?q?Gr=C3=BC?= =?utf-8?q?=C3=9Fe?= plain",
    "encoded character split": "=?utf-8?q?Gr=C3?= =?utf-8?q?=BC=C3=9Fe?=",
    "encoded folded": "=?utf-8?q?eins?=\n =?utf-8?q?_zwei?=",
    "encoded unknown charset": "=?x-unknown?q?what?=",
    "encoded open": "=?utf-8?q?never ends",
    "encoded bad base64": "=?utf-8?b?R3LD*!?=",
    "encoded with language": "=?us-ascii*en-gb?q?colour?=",
    "encoded unknown encoding": "=?utf-8?x?abc?=",
    "encoded in quotes": '"=?utf-8?q?Gr=C3=BC=C3=9Fe?="',
    "encoded koi8": "=?koi8-r?B?8NLJ18XU?=",
    "encoded iso-2022-jp": "=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=",
    "folded with tab": "one\n\ttwo\n\tthree",
    "folded with many spaces": "one\n     two",
    "folded over an empty line": "one\n \n two",
    "folded at once": "\n one",
    "spaces around": "   spaced   out   ",
    "empty": "",
    "only spaces": "   ",
    "a reply": "Re: Fwd: [list] something",
}

ADDRESSES = {
    "plain": "a@example.org",
    "angle": "<a@example.org>",
    "name": "Anna Weber <a@example.org>",
    "quoted name": '"Weber, Anna" <a@example.org>',
    "name with quote": '"A \\"B\\" C" <a@example.org>',
    "name with dot": "Anna B. Weber <a@example.org>",
    "name half quoted": 'Anna "the" Weber <a@example.org>',
    "comment behind": "a@example.org (Anna Weber)",
    "comments everywhere": "(x) Anna (y) <a (z) @ example.org> (w)",
    "comment nested": "a@example.org (Anna (W.) Weber)",
    "comment escaped": "a@example.org (Anna \\) Weber)",
    "two": "a@example.org, b@example.org",
    "many": ", ".join(f"user{n} <u{n}@example.org>" for n in range(200)),
    "folded": "a@example.org,\n b@example.org,\n\tc@example.org",
    "empty elements": "a@example.org,,, b@example.org,",
    "group": "team: a@example.org, B <b@example.org>;",
    "group empty": "undisclosed-recipients:;",
    "group quoted": '"the team": a@example.org;',
    "group among others": "x@example.org, team: a@example.org;, y@example.org",
    "group without end": "team: a@example.org, b@example.org",
    "two groups": "one: a@example.org;, two: b@example.org;",
    "route": "Anna <@h1.example,@h2.example:a@example.org>",
    "route without address": "<@h1.example:>",
    "quoted local part": '"a b"@example.org',
    "quoted local part needing none": '"anna"@example.org',
    "quoted at sign": '"a@b"@example.org',
    "domain literal": "a@[192.0.2.1]",
    "spaces around at": "a @ example.org",
    "spaces around dots": "anna . weber @ example . org",
    "no domain": "anna",
    "no domain in angle": "Anna <anna>",
    "no local part": "@example.org",
    "two at signs": "a@b@example.org",
    "words without address": "Nobody In Particular",
    "angle empty": "<>",
    "angle empty with name": "Nobody <>",
    "angle open": "Open <open@example.org",
    "angle closed only": "closed@example.org>",
    "quote open": '"Never <ended@example.org>',
    "comment open": "a@example.org (never ended",
    "semicolons": "one@example.org; two@example.org",
    "trailing dot": "a@example.org.",
    "leading dots": ".a@example.org",
    "dots in row": "a..b@example.org",
    "empty": "",
    "only a comma": ",",
    "only a comment": "(nobody)",
    "encoded name": "=?utf-8?q?J=C3=BCrgen?= <j@example.org>",
    "encoded name in quotes": '"=?utf-8?q?J=C3=BCrgen?=" <j@example.org>',
    "encoded name folded": "=?utf-8?q?J=C3=BCrgen?=\n =?utf-8?q?_Gro=C3=9F?= <j@example.org>",
    "8-bit name": utf8("Jürgen <j@example.org>"),
    "8-bit domain": utf8("a@exämple.org"),
    "name is an address": "b@example.org <a@example.org>",
    "name is an address in quotes": '"b@example.org" <a@example.org>',
    "two angles": "Anna <a@example.org> <b@example.org>",
    "colon in name": "Re: Anna <a@example.org>",
    "uppercase": "ANNA@EXAMPLE.ORG",
    "x400": "/G=Anna/S=Weber/@example.org",
    "percent": "a%b@example.org",
    "bang": "host!user@example.org",
    "backslash in atom": "a\\b@example.org",
    "square in name": "Anna [work] <a@example.org>",
}
# Those that neither the grammar of RFC 5322 §3.4 nor the obsolete one of §4.4 allows.
ADDRESSES_BROKEN = [
    "group without end", "route without address", "two at signs", "words without address", "angle open", "angle closed only",
    "quote open", "comment open", "semicolons", "trailing dot", "name is an address", "two angles", "colon in name",
    "backslash in atom", "square in name",
]

DATES = {
    "usual": "Tue, 3 Feb 2026 10:11:12 +0100",
    "without weekday": "3 Feb 2026 10:11:12 +0100",
    "without seconds": "Tue, 3 Feb 2026 10:11 +0100",
    "two digits year": "Tue, 3 Feb 26 10:11:12 +0100",
    "two digits year of old": "Wed, 3 Feb 93 10:11:12 GMT",
    "three digits year": "Thu, 3 Feb 104 10:11:12 +0000",
    "named zone": "Tue, 3 Feb 2026 10:11:12 EST",
    "military zone": "Tue, 3 Feb 2026 10:11:12 Z",
    "unknown zone": "Tue, 3 Feb 2026 10:11:12 MESZ",
    "without zone": "Tue, 3 Feb 2026 10:11:12",
    "zone in a comment": "Tue, 3 Feb 2026 10:11:12 +0100 (CET)",
    "comments": "Tue (day), 3 (date) Feb 2026 10:11:12 +0100",
    "wrong weekday": "Mon, 3 Feb 2026 10:11:12 +0100",
    "full month": "Tue, 3 February 2026 10:11:12 +0100",
    "small month": "tue, 3 feb 2026 10:11:12 +0100",
    "two digit day": "Tue, 03 Feb 2026 10:11:12 +0100",
    "no space after comma": "Tue,3 Feb 2026 10:11:12 +0100",
    "many spaces": "Tue,   3   Feb  2026   10:11:12   +0100",
    "folded": "Tue, 3 Feb 2026\n 10:11:12 +0100",
    "of no day": "Tue, 31 Feb 2026 10:11:12 +0100",
    "of no hour": "Tue, 3 Feb 2026 25:11:12 +0100",
    "leap second": "Thu, 31 Dec 1998 23:59:60 +0000",
    "day over the zone": "Tue, 3 Feb 2026 00:30:00 +0200",
    "iso": "2026-02-03T10:11:12+01:00",
    "asctime": "Tue Feb  3 10:11:12 2026",
    "one digit hour": "Tue, 3 Feb 2026 1:11:12 +0100",
    "dotted clock": "Tue, 3 Feb 2026 10.11.12 +0100",
    "before 1970": "Wed, 3 Feb 1960 10:11:12 +0000",
    "far future": "Wed, 3 Feb 2860 10:11:12 +0000",
    "zone without colon": "Tue, 3 Feb 2026 10:11:12 +01:00",
    "zone too large": "Tue, 3 Feb 2026 10:11:12 +9999",
    "noise": "yesterday",
    "empty": "",
}
# Dates that RFC 5322 does not allow, or that lie where not every server's clock reaches: each is read as it can be.
DATES_UNSURE = [
    "three digits year", "full month", "dotted clock", "zone without colon", "zone too large", "before 1970", "far future",
    "of no day", "of no hour", "iso", "asctime", "noise", "empty",
]

TYPES = {
    "no value": "",
    "no slash": "text",
    "no subtype": "text/",
    "no type": "/plain",
    "spaces around slash": "text / plain",
    "uppercase": "TEXT/PLAIN; CHARSET=UTF-8",
    "parameter twice": "text/plain; charset=utf-8; charset=us-ascii",
    "parameter without value": "text/plain; charset",
    "parameter empty": "text/plain; charset=; format=flowed",
    "parameter empty quoted": 'text/plain; name=""',
    "parameter quoted": 'text/plain; name="a; b \\"c\\""',
    "parameter of spaces": "text/plain; name=a b c.txt",
    "parameter open quote": 'text/plain; name="open',
    "parameter 8-bit": utf8("text/plain; name=größe.txt"),
    "parameter 8-bit quoted": utf8('text/plain; name="größe.txt"'),
    "parameter with tspecials": "text/plain; name=a/b?c=d",
    "parameter with comment": "text/plain (comment); charset (which) = (c) utf-8 (end)",
    "semicolons": "text/plain;;; charset=utf-8;",
    "commas": "text/plain, charset=utf-8",
    "spaces around equals": "text/plain; charset = utf-8",
    "folded": "text/plain;\n charset=utf-8;\n\tformat=flowed",
    "extended": "application/octet-stream; name*=utf-8''gr%C3%B6%C3%9Fe.txt",
    "continued": "application/octet-stream; name*0=\"first \"; name*1=\"second.txt\"",
    "continued and extended": "application/octet-stream; name*0*=utf-8''gr%C3%B6; name*1*=%C3%9Fe; name*2=\".txt\"",
    "continued wrongly": "application/octet-stream; name*1=b; name*0=a; name*3=d",
    "extended bad": "application/octet-stream; name*=utf-8'gr%ZZ",
    "encoded word": "text/plain; name=\"=?utf-8?q?gr=C3=B6=C3=9Fe?=.txt\"",
    "encoded word unquoted": "text/plain; name==?utf-8?q?gr=C3=B6?=",
    "many parameters": "text/plain; " + "; ".join(f"p{n}=v{n}" for n in range(PARAMETERS_MANY)),
    "long parameter": "text/plain; name=" + "n" * 5000,
    "unknown": "x-strange/x-stranger; x-a=b",
    "message partial": 'message/partial; id="x@y"; number=1; total=2',
    "message external": 'message/external-body; access-type=URL; URL="ftp://x.test/"',
    "delivery status": "message/delivery-status",
    "html": "text/html; charset=utf-8",
    "calendar": "text/calendar; method=REQUEST",
    "multipart without boundary": "multipart/mixed",
    "multipart with empty boundary": 'multipart/mixed; boundary=""',
    "two types": "text/plain text/html",
    "trailing dot": "text/plain.",
    "quoted type": '"text"/"plain"',
}

TRANSFER = {
    "base64": ("base64", wrapped(3)),
    "base64 broken": ("base64", "R3LDvMOf*!ZQ\nabc\n====\n"),
    "base64 text": ("base64", base64.b64encode("Grüße in base64".encode()).decode() + "\n"),
    "base64 with space": ("base64", "R3LD vMOf ZSBtaXQ gUGxhdHo=\n"),
    "base64 cut": ("base64", "R3LDvMOfZSBi\nZ"),
    "base64 uppercase": ("BASE64", "R3LDvMOfZQ==\n"),
    "quoted-printable": ("quoted-printable", "Gr=C3=BC=C3=9Fe =\naus K=C3=B6ln=20\n"),
    "quoted-printable broken": ("quoted-printable", "=ZZ =3 = end=\n=C3=BC trailing   \n="),
    "quoted-printable lowercase": ("Quoted-Printable", "gr=c3=bc=c3=9fe\n"),
    "uuencode": ("x-uuencode", "begin 644 a\n#86)C\n`\nend\n"),
    "8bit": ("8bit", utf8("Grüße\n")),
    "binary": ("binary", utf8("Grüße\n")),
    "empty": ("", "text\n"),
    "with comment": ("7bit (really)", "text\n"),
    "two words": ("7bit 8bit", "text\n"),
    "quoted": ('"base64"', "R3LDvMOfZQ==\n"),
}

DISPOSITIONS = {
    "inline": "inline",
    "attachment": 'attachment; filename="a b.txt"; size=5; creation-date="Tue, 3 Feb 2026 10:11:12 +0100"',
    "extended": "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe.txt; filename=\"groesse.txt\"",
    "continued": 'attachment; filename*0="a"; filename*1="b"',
    "8-bit": utf8('attachment; filename="größe.txt"'),
    "empty": "",
    "only parameters": "; filename=a",
    "only a value": "filename=a",
    "uppercase": "ATTACHMENT; FILENAME=A",
    "with comment": "attachment (c); filename=a (d)",
}

FIELDS = {
    "Content-ID": ["<1@example.org>", "no brackets", "", "(c) <1@x>"],
    "Content-Description": ["a description", "=?utf-8?q?Gr=C3=B6=C3=9Fe?=", "", utf8("Größe"), "folded\n description"],
    "Content-MD5": ["Q2hlY2sgSW50ZWdyaXR5IQ==", "", "(c) x"],
    "Content-Language": ["de", "de, en", "de,,en", "", "de (German), en-GB", "i-mingo", " de "],
    "Content-Location": ["http://x.test/a b", "a.gif", "", "\"a\"", "http://x.test/\n long"],
    "Message-ID": ["<1@example.org>", "no brackets", "<a@b> <c@d>", "", "< spaced @ x >", "(c) <1@x>", "<open@x"],
    "In-Reply-To": ["<1@example.org>", "Your message of Tuesday", "<a@b>\n <c@d>", ""],
}

NESTED = "--b\nContent-Type: message/rfc822\n\n"
INNER = "From: Inner <in@example.org>\nSubject: inner subject\nDate: Sun, 1 Feb 2026 08:00:00 +0000\n\ninner body\n"
END = "\n--b--\n"

SHAPES = {
    "mixed": MIXED + "preamble\n" + TEXT + "--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n" + wrapped(4) + "--b--\nepilogue\n",
    "one part": MIXED + TEXT + "--b--\n",
    "no parts": MIXED + "--b--\n",
    "no delimiter": MIXED + "only text, no delimiter\n",
    "no body": PLAIN + "Content-Type: multipart/mixed; boundary=b\n",
    "no close": MIXED + TEXT + "--b\n\nsecond part, never closed\n",
    "close glued": MIXED + TEXT + "--b--",
    "close cut": MIXED + TEXT + "--b-\nrest\n",
    "delimiter at the end": MIXED + TEXT + "--b",
    "delimiter first": MIXED + "--b\n\nA\n--b\n\nB\n--b--\n",
    "delimiter with spaces": MIXED + "--b  \t\n\nA\n--b--  \n",
    "delimiter longer": MIXED + TEXT + "--bb\n\nnot a part\n--b--\n",
    "delimiter indented": MIXED + TEXT + " --b\n\nnot a part\n--b--\n",
    "delimiter in a header": MIXED + "--b\nContent-Type: text/plain\n--b\n\nB\n--b--\n",
    "header cut by close": MIXED + "--b\nContent-Type: text/html\n--b--\n",
    "header only part": MIXED + "--b\nContent-Type: text/html\n\n--b\n\nB\n--b--\n",
    "empty parts": MIXED + "--b\n\n--b\n\n--b--\n",
    "parts without header": MIXED + "--b\n\nfirst\n--b\n\nsecond\n--b--\n",
    "parts without empty line": MIXED + "--b\nnot a header\n--b--\n",
    "after the close": MIXED + TEXT + "--b--\n--b\n\nafter the close\n--b--\n",
    "two closes": MIXED + TEXT + "--b--\n--b--\n",
    "line before delimiter": MIXED + "--b\n\ntext\n\n\n--b--\n",
    "alternative": MIXED.replace("mixed", "alternative") + TEXT + "--b\nContent-Type: text/html\n\n<p>first part</p>\n--b--\n",
    "related": MIXED.replace("mixed;", 'related; type="text/html"; start="<s@x>";') + "--b\nContent-Type: text/html\nContent-ID: <s@x>\n\n<p>\n" + END,
    "signed": MIXED.replace("mixed;", 'signed; micalg=pgp-sha256; protocol="application/pgp-signature";') + TEXT
    + "--b\nContent-Type: application/pgp-signature; name=s.asc\nContent-Description: sig\n\n-----BEGIN\n-----END\n--b--\n",
    "digest": MIXED.replace("mixed", "digest") + "--b\n\n" + INNER + "--b\nContent-Type: text/plain\n\nno message\n--b--\n",
    "digest of empties": MIXED.replace("mixed", "digest") + "--b\n\n\n--b\n\n--b--\n",
    "parallel": MIXED.replace("mixed", "parallel") + TEXT + END,
    "unknown subtype": MIXED.replace("mixed", "x-new") + TEXT + END,
    "form data": MIXED.replace("mixed", "form-data") + '--b\nContent-Disposition: form-data; name="f"\n\nvalue' + END,
    "report": MIXED.replace("mixed;", "report; report-type=delivery-status;") + TEXT
    + "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.test\n\nFinal-Recipient: rfc822; a@x.test\n"
    + "--b\nContent-Type: text/rfc822-headers\n\nSubject: returned\n" + END,
    "message": MIXED + TEXT + NESTED + INNER + "--b--\n",
    "message alone": PLAIN + "Content-Type: message/rfc822\n\n" + INNER,
    "message empty": MIXED + NESTED + "--b--\n",
    "message of one line": MIXED + NESTED + "no header" + END,
    "message header only": MIXED + NESTED + "Subject: only\n" + END,
    "message without blank": MIXED + "--b\nContent-Type: message/rfc822\n--b--\n",
    "message in message": PLAIN + "Content-Type: message/rfc822\n\nSubject: one\nContent-Type: message/rfc822\n\n" + INNER,
    "message with multipart": MIXED + NESTED + "Subject: in\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c\n\ntwo\n--c--\n" + END,
    "message with open multipart": MIXED + NESTED + "Subject: in\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c\n\ntwo\n" + END,
    "message in base64": MIXED + "--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.b64encode(INNER.encode()).decode() + END,
    "message global": MIXED + "--b\nContent-Type: message/global\n\n" + utf8("Subject: Größe\n\nGrüße") + END,
    "message with addresses": MIXED + NESTED + 'From: "In, Ner" <i@x>\nTo: g: a@x, b@x;\nCc: c\nReply-To: r@x\nMessage-ID: <m@x>\n\nx' + END,
    "multipart in multipart": MIXED + "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nA\n--c\nContent-Type: text/html\n\nB\n--c--\n--b\n\nC" + END,
    "same boundary within": MIXED + "--b\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\nA\n--b--\n--b\n\nC" + END,
    "prefix boundary within": MIXED + "--b\nContent-Type: multipart/alternative; boundary=bc\n\n--bc\n\nA\n--bc--\n--b\n\nC" + END,
    "prefix boundary around": PLAIN + "Content-Type: multipart/mixed; boundary=bc\n\n--bc\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nA\n--b--\n--bc\n\nC\n--bc--\n",
    "inner open": MIXED + "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nA\n--b\n\nC" + END,
    "inner empty": MIXED + "--b\nContent-Type: multipart/alternative; boundary=c\n\n--b\n\nC" + END,
    "inner without delimiter": MIXED + "--b\nContent-Type: multipart/alternative; boundary=c\n\nnothing here\n--b\n\nC" + END,
    "boundary of 70": PLAIN + f"Content-Type: multipart/mixed; boundary={'B' * 70}\n\n--{'B' * 70}\n\nA\n--{'B' * 70}--\n",
    "boundary of 200": PLAIN + f"Content-Type: multipart/mixed; boundary={'B' * 200}\n\n--{'B' * 200}\n\nA\n--{'B' * 200}--\n",
    "boundary with specials": PLAIN + "Content-Type: multipart/mixed; boundary=\"a'()+_,-./:=? z\"\n\n--a'()+_,-./:=? z\n\nA\n--a'()+_,-./:=? z--\n",
    "boundary unquoted specials": PLAIN + "Content-Type: multipart/mixed; boundary=a=_b/c?d\n\n--a=_b/c?d\n\nA\n--a=_b/c?d--\n",
    "boundary with trailing space": PLAIN + 'Content-Type: multipart/mixed; boundary="b "\n\n--b\n\nA\n--b--\n',
    "boundary of dashes": PLAIN + "Content-Type: multipart/mixed; boundary=--\n\n----\n\nA\n------\n",
    "boundary other case": PLAIN + "Content-Type: multipart/mixed; boundary=Bb\n\n--bB\n\nA\n--bB--\n",
    "boundary folded": PLAIN + "Content-Type: multipart/mixed;\n boundary=\n b\n\n--b\n\nA\n--b--\n",
    "multipart in base64": PLAIN + "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\n\nA\n--b--\n",
    "type after": "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nA\n--b--\n",
    "no MIME-Version": "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZQ==\n",
    "no MIME-Version, no type": "Content-ID: <1@x>\nContent-Language: de, en\nContent-Disposition: inline\n\nbody\n",
    "deep": PLAIN + "".join(f"Content-Type: multipart/mixed; boundary=d{n}\n\n--d{n}\n" for n in range(DEPTH_DEEP)) + "\ndeep\n"
    + "".join(f"--d{n}--\n" for n in reversed(range(DEPTH_DEEP))),
    "deep messages": PLAIN + "".join(f"X-Level: {n}\nContent-Type: message/rfc822\n\n" for n in range(20)) + INNER,
    "wide": MIXED + "".join(f"--b\nContent-Type: text/x{n}\n\npart {n}\n" for n in range(PARTS_WIDE)) + "--b--\n",
    "part fields": MIXED + '--b\nContent-Type: text/plain; charset="utf-8"; format=flowed\nContent-ID: <p@x>\nContent-Description: described\n'
    + "Content-Language: de, en\nContent-Location: a.txt\nContent-MD5: xyz==\nContent-Disposition: inline; filename=a.txt\n\ntext" + END,
}

# What does not end its lines with CRLF: octets as they are.
NEWLINES = {
    "LF": (PLAIN + "\nbody\nof lines\n").encode(),
    "CR": (PLAIN + "\nbody\nof lines\n").replace("\n", "\r").encode(),
    "LF in header": b"From: a@example.org\nSubject: bare\r\n\r\nbody\r\n",
    "LF in body": crlf(PLAIN) + b"\r\nbody\nbare\r\n",
    "CR in body": crlf(PLAIN) + b"\r\nbody\rbare\r\n",
    "CR in header": b"From: a@example.org\r\nSubject: ba\rre\r\n\r\nbody\r\n",
    "CR CR LF": crlf(PLAIN) + b"\r\nbody\r\r\nmore\r\r\n",
    "CR at the end": crlf(PLAIN) + b"\r\nbody\r",
    "LF multipart": (MIXED + TEXT + END).encode(),
    "NUL in body": crlf(PLAIN) + b"\r\nbo\0dy\r\n",
    "NUL in header": b"From: a@example.org\r\nSubject: nu\0l\r\n\r\nbody\r\n",
}


def written():
    """(name, octets) of all that is written out above."""
    for name, text in BARE.items():
        yield f"bare: {name}", crlf(text)
    for name, value in SUBJECTS.items():
        yield f"subject: {name}", crlf(field("Subject", value))
    for number, (name, value) in enumerate(ADDRESSES.items()):
        yield f"address: {name}", crlf(field(("To", "Cc", "Reply-To", "Bcc", "Sender")[number % 5], value))
        yield f"from: {name}", crlf(f"From: {value}\nSubject: from\n\nbody\n")
    for name, value in DATES.items():
        yield f"date: {name}", crlf(f"From: a@example.org\nDate: {value}\nSubject: date\n\nbody\n")
    for name, value in TYPES.items():
        yield f"type: {name}", crlf(field("Content-Type", value))
        yield f"part type: {name}", crlf(f"{MIXED}--b\nContent-Type: {value}\n\nbody{END}")
    for name, (encoding, body) in TRANSFER.items():
        head = f"From: a@example.org\nSubject: transfer\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n"
        yield f"transfer: {name}", crlf(head + body)
    for name, value in DISPOSITIONS.items():
        yield f"disposition: {name}", crlf(field("Content-Disposition", value))
    for name, texts in FIELDS.items():
        for number, value in enumerate(texts):
            yield f"{name} {number}", crlf(field(name, value))
    for name, text in SHAPES.items():
        yield f"shape: {name}", crlf(text)
    for name, octets in NEWLINES.items():
        yield f"newline: {name}", octets


class Chance:
    """The same choices on every machine and version: only `random()` of Python's generator is promised."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def below(self, limit):
        return int(self.random() * limit)

    def pick(self, from_list):
        return from_list[self.below(len(from_list))]

    def holds(self, share):
        return self.random() < share


def grown(count):
    """(name, octets) of messages put together by chance, from the same pieces."""
    for number in range(count):
        chance = Chance(SEED + number)
        yield f"grown {number}", crlf(header(chance, 0) + entity(chance, 0))


def header(chance, depth):
    lines = []
    for name in ("From", "To", "Cc", "Sender", "Reply-To"):
        if chance.holds(0.6):
            lines.append(f"{name}: {', '.join(chance.pick(list(ADDRESSES.values())) for _ in range(1 + chance.below(3)))}\n")
    if chance.holds(0.9):
        lines.append(f"Subject: {chance.pick(list(SUBJECTS.values()))}\n")
    if chance.holds(0.9):
        lines.append(f"Date: {chance.pick(list(DATES.values()))}\n")
    if depth == 0:
        lines.append("MIME-Version: 1.0\n")
    for name in FIELDS:
        if chance.holds(0.15):
            lines.append(f"{name}: {chance.pick(FIELDS[name])}\n")
    return "".join(sorted(lines, key=lambda _: chance.random()))


def entity(chance, depth):
    """Type, further fields, empty line and body."""
    kind = chance.random()
    if depth < NESTED_MAX and kind < 0.45:
        return multipart(chance, depth)
    if depth < NESTED_MAX and kind < 0.6:
        return "Content-Type: message/rfc822\n\n" + header(chance, depth + 1) + entity(chance, depth + 1)
    head = f"Content-Type: {chance.pick([v for v in TYPES.values() if len(v) < 200])}\n" if chance.holds(0.8) else ""
    if chance.holds(0.3):
        head += f"Content-Disposition: {chance.pick(list(DISPOSITIONS.values()))}\n"
    encoding, body = chance.pick(list(TRANSFER.values()))
    if chance.holds(0.6):
        head += f"Content-Transfer-Encoding: {encoding}\n"
    return head + ("\n" if chance.holds(0.95) else "") + body


def multipart(chance, depth):
    boundary = chance.pick(["b", "bb", "c", "=_x", "----=_Part", "b.c"]) + (str(depth) if chance.holds(0.7) else "")
    subtype = chance.pick(["mixed", "alternative", "related", "digest", "signed", "x-odd"])
    text = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\n' + ("preamble\n" if chance.holds(0.3) else "")
    for _ in range(chance.below(4)):
        text += f"--{boundary}\n" + entity(chance, depth + 1) + ("\n" if chance.holds(0.9) else "")
    return text + (f"--{boundary}--\n" if chance.holds(0.85) else "") + ("epilogue\n" if chance.holds(0.2) else "")
