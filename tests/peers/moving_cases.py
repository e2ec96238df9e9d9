"""Moving in from Dovecot, by IMAP and by its files; and out again, to where Dovecot reads what we wrote."""

import imaplib
import itertools
import re
import time

from cases import case
from dovecot import MASTER_PASSWORD, Dovecot
from place import PASSWORD, insecure_tls

_numbers = itertools.count(1)
# Mailbox (in modified UTF-7, with Dovecot's separator), flags, date, octets.
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 64 + b"\r\n"
MAIL = [
    ("INBOX", r"(\Seen)", "17-Jul-2020 02:44:25 +0200", b"Subject: one\r\n\r\nFrom here\r\n.\r\n"),
    ("INBOX", r"(\Answered \Flagged $Junk later)", "18-Jul-2020 23:59:59 -0700", b"Subject: two\r\n\r\n\xff\x80 8bit\r\n"),
    ("INBOX", r"(\Draft \Deleted $Forwarded)", " 1-Jan-2001 00:00:00 +0000", b"Subject: three\r\n\r\nno end of line"),
    ("Archive.2020", "()", "19-Jul-2020 02:44:25 +0000", LARGE * 300),
    ("Gr&APYA3w-e &- mehr", "(later)", "20-Jul-2020 02:44:25 +0000", b"\r\nno header\r\n"),
]


def fill(dovecot, user, count=150):
    """Puts mail into an account of Dovecot."""
    session = imaplib.IMAP4("127.0.0.1", dovecot.port)
    session.login(user, PASSWORD)
    for name, flags, date, octets in MAIL:
        if name != "INBOX":
            session.create(f'"{name}"')
        answer = session.append(f'"{name}"', flags, f'"{date}"', octets)
        assert answer[0] == "OK", answer
    session.create("Many")
    for number in range(count):
        session.append("Many", r"(\Seen)" if number % 2 else "()", None, f"Subject: {number}\r\n\r\n{number}\r\n".encode())
    session.subscribe('"Archive.2020"')
    session.logout()


def contents(session, separator):
    """What a session sees: mailbox → list of flags, date, octets, in order of UIDs. Empty mailboxes are left out."""
    found = {}
    for line in session.list()[1]:
        attributes, name = re.match(rb'\(([^)]*)\) "?.*?"? "?(.*?)"?$', line).groups()
        if b"\\noselect" in attributes.lower():
            continue
        name = name.decode()
        assert session.select(f'"{name}"', readonly=True)[0] == "OK", name
        _, answer = session.uid("FETCH", "1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
        messages = []
        for position, part in enumerate(answer):
            if not isinstance(part, tuple):
                continue
            behind = answer[position + 1] if position + 1 < len(answer) else b""
            around = part[0] + (behind if isinstance(behind, bytes) else b"")
            flags = {flag for flag in imaplib.ParseFlags(around) if flag != b"\\Recent"}
            messages.append((flags, time.mktime(imaplib.Internaldate2tuple(around)), part[1]))
        if messages:
            found[name.replace(separator, "/")] = messages
    return found


def of_dovecot(dovecot, user, separator="."):
    session = imaplib.IMAP4("127.0.0.1", dovecot.port)
    session.login(user, PASSWORD)
    try:
        return contents(session, separator)
    finally:
        session.logout()


def of_ours(place, user):
    session = place.imap(user)
    try:
        return contents(session, "/")
    finally:
        session.logout()


def new_user(place):
    user = f"mover{next(_numbers)}@example.org"
    place.server.command("user", "add", user, "--password", PASSWORD)
    return user


def same(found, expected):
    assert found.keys() == expected.keys(), f"{sorted(found)} instead of {sorted(expected)}"
    for name, messages in expected.items():
        assert len(found[name]) == len(messages), f"{name}: {len(found[name])} messages instead of {len(messages)}"
        for position, (is_there, should) in enumerate(zip(found[name], messages)):
            assert is_there == should, f"{name} {position}: {is_there!r:.300} instead of {should!r:.300}"


def pull(place, user, *words):
    """`wasmta mailbox import … --from imap`, with the password from a file."""
    secret = place.folder / "secret"
    secret.write_text(PASSWORD + "\n")
    return place.server.command("mailbox", "import", user, *words, "--password-file", str(secret), timeout=120)


@case("an account moves in from Dovecot by IMAP", "dovecot", "openssl")
def moves_in_by_imap(place):
    for prefix in ("", "INBOX."):
        with Dovecot(prefix) as dovecot:
            there, user = "anna@old.example", new_user(place)
            if prefix:
                session = imaplib.IMAP4("127.0.0.1", dovecot.port)
                session.login(there, PASSWORD)
                session.create("INBOX.Sent")
                session.append("INBOX.Sent", r"(\Seen)", None, b"Subject: sent\r\n\r\n")
                session.logout()
            else:
                fill(dovecot, there)
            trust = ["--tls-trust", str(dovecot.folder / "cert.pem")]
            implicit = ["--from", f"imaps://{there}@localhost:{dovecot.tls_port}", *trust]
            begun = ["--from", f"imap://{there}@localhost:{dovecot.port}", *trust]
            assert "would come" in pull(place, user, *implicit, "--dry-run")
            pull(place, user, *implicit)
            expected = of_dovecot(dovecot, there)
            if prefix:
                expected = {name.removeprefix("INBOX/"): messages for name, messages in expected.items()}
            same(of_ours(place, user), expected)
            # By the other way in it is the same account: nothing comes twice, and what is new comes.
            assert pull(place, user, *begun).rstrip().endswith("\n0 messages came")
            session = imaplib.IMAP4("127.0.0.1", dovecot.port)
            session.login(there, PASSWORD)
            session.append("INBOX", None, None, b"Subject: late\r\n\r\n")
            session.logout()
            assert pull(place, user, *begun).rstrip().endswith("\n1 messages came")
            assert len(of_ours(place, user)["INBOX"]) == len(expected.get("INBOX", [])) + 1


@case("a master user moves people in from Dovecot", "dovecot", "openssl")
def moves_in_by_master(place):
    secret = place.folder / "master"
    with Dovecot("") as dovecot:
        for there in ("anna@old.example", "ben@old.example"):
            session = imaplib.IMAP4("127.0.0.1", dovecot.port)
            session.login(there, PASSWORD)
            session.append("INBOX", r"(\Seen)", None, f"Subject: of {there}\r\n\r\n".encode())
            session.logout()
            user = new_user(place)
            source = ["--from", f"imaps://{there}@localhost:{dovecot.tls_port}", "--tls-trust", str(dovecot.folder / "cert.pem")]
            words = ["mailbox", "import", user, *source, "--master", "root", "--password-file", str(secret)]
            secret.write_text("wrong\n")
            try:
                place.server.command(*words)
            except Exception as refused:
                assert f"refuses the login of {there}" in str(refused), refused
            else:
                raise AssertionError("somebody without the master's password was let in")
            secret.write_text(MASTER_PASSWORD + "\n")
            place.server.command(*words)
            same(of_ours(place, user), of_dovecot(dovecot, there))


@case("a server that cannot be trusted gets no password", "dovecot", "openssl")
def no_password_for_strangers(place):
    with Dovecot() as dovecot:
        user = new_user(place)
        try:
            pull(place, user, "--from", f"imaps://anna@localhost:{dovecot.tls_port}")
        except Exception as refused:
            assert "--tls-trust" in str(refused), refused
        else:
            raise AssertionError("a certificate that nobody vouches for was trusted")
        log = (dovecot.folder / "dovecot.log").read_text()
        assert "Login: user=<anna>" not in log, log


@case("an account moves in from Dovecot's Maildir", "dovecot", "openssl")
def moves_in_by_maildir(place):
    with Dovecot() as dovecot:
        there, user = "anna", new_user(place)
        fill(dovecot, there)
        place.server.command("mailbox", "import", user, "--from", f"maildir:{dovecot.maildir(there)}", timeout=120)
        found, expected = of_ours(place, user), of_dovecot(dovecot, there)
        for name in expected:
            # The order is that of the files' times, which have no more than seconds and an unordered rest.
            key = lambda message: (message[2], message[1])  # noqa: E731
            expected[name].sort(key=key)
            found[name].sort(key=key)
        same(found, expected)
        again = place.server.command("mailbox", "import", user, "--from", f"maildir:{dovecot.maildir(there)}")
        assert again.rstrip().endswith("\n0 messages came"), again


@case("Dovecot reads an exported Maildir", "dovecot", "openssl")
def moves_out(place):
    with Dovecot() as dovecot:
        there, user = "anna", new_user(place)
        fill(dovecot, there)
        pull(place, user, "--from", f"imap://{there}@127.0.0.1:{dovecot.port}", "--tls-trust", str(dovecot.folder / "cert.pem"))
        target = dovecot.maildir("bob")
        target.parent.mkdir()
        place.server.command("mailbox", "export", user, "--to", str(target), timeout=120)
        dovecot.own_all(target.parent)
        found, expected = of_dovecot(dovecot, "bob"), of_ours(place, user)
        for messages in (*found.values(), *expected.values()):
            messages.sort(key=lambda message: (message[2], message[1]))
        same(found, expected)
        assert "Archive.2020" in (target / "subscriptions").read_text().split()
