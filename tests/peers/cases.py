"""The cases: one client, one piece of its normal work, what must come of it."""

import base64
import itertools
import mailbox
import poplib
import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Callable

import imap_differential
from place import PASSWORD, insecure_tls

USER1, USER2, USER3 = "user1@example.org", "user2@example.org", "user3@example.net"


@dataclass
class Case:
    """One case; `needs` are the commands it cannot do without."""

    name: str
    needs: list
    run: Callable


ALL = []


def case(name, *needs):
    def register(run):
        ALL.append(Case(name, list(needs), run))
        return run

    return register


@case("swaks delivers by SMTP", "swaks")
def swaks_smtp(place):
    subject = place.subject("swaks")
    place.run(
        "swaks", "--server", f"127.0.0.1:{place.port('smtp')}", "--from", "stranger@remote.test", "--to", USER1,
        "--header", f"Subject: {subject}", "--body", "line\n.\nend", "--tls-optional",
    )
    message = place.arrived(USER1, subject)
    assert ".\r\nend" in message.octets.decode(), "the body is not what was sent"
    assert message.octets.startswith(b"Return-Path: <stranger@remote.test>"), message.octets[:200]


@case("swaks submits with STARTTLS and AUTH", "swaks")
def swaks_submission(place):
    for mechanism in ("PLAIN", "LOGIN"):
        subject = place.subject(f"swaks {mechanism}")
        place.run(
            "swaks", "--server", f"127.0.0.1:{place.port('submission')}", "--tls", "--auth", mechanism,
            "--auth-user", USER1, "--auth-password", PASSWORD, "--from", USER1, "--to", f"{USER2},{USER3}",
            "--header", f"Subject: {subject}",
        )
        for user in (USER2, USER3):
            place.arrived(user, subject)


@case("swaks is refused where it should be", "swaks")
def swaks_refused(place):
    smtp, submission = f"127.0.0.1:{place.port('smtp')}", f"127.0.0.1:{place.port('submission')}"
    login = ["--tls", "--auth", "PLAIN", "--auth-user", USER1]
    for expected, command in [
        ("550 5.1.1", ["--server", smtp, "--to", "nobody@example.org"]),
        ("550 5.7.1", ["--server", smtp, "--to", "someone@elsewhere.test"]),
        ("535 5.7.8", ["--server", submission, *login, "--auth-password", "wrong", "--to", USER2]),
    ]:
        done = place.run("swaks", *command, "--from", "stranger@remote.test", check=False)
        assert done.returncode != 0 and expected in done.stdout, f"{expected} expected:\n{done.stdout[-1500:]}"


@case("swaks delivers by LMTP", "swaks")
def swaks_lmtp(place):
    subject = place.subject("lmtp")
    place.run(
        "swaks", "--protocol", "LMTP", "--server", f"127.0.0.1:{place.port('lmtp')}", "--from", "stranger@remote.test",
        "--to", f"{USER1},{USER2}", "--header", f"Subject: {subject}",
    )
    for user in (USER1, USER2):
        place.arrived(user, subject)


def submit(place):
    session = smtplib.SMTP("127.0.0.1", place.port("submission"))
    session.starttls(context=insecure_tls())
    session.login(USER1, PASSWORD)
    return session


@case("smtplib submits messages one after another")
def smtplib_submits(place):
    subjects = [place.subject("smtplib") for _ in range(3)]
    with submit(place) as session:
        for subject in subjects:
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = USER1, USER2, subject
            message.set_content("Ein Umlaut: ä, und eine lange Zeile: " + "x" * 900)
            message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream")
            assert session.send_message(message) == {}
    for subject in subjects:
        arrived = place.arrived(USER2, subject)
        assert arrived["Message-ID"] and arrived["Date"], "submission adds Date and Message-ID"
        assert arrived.get_body().get_content().startswith("Ein Umlaut: ä")
        assert next(arrived.iter_attachments()).get_content() == bytes(range(256)) * 40


@case("smtplib delivers to a group, by implicit TLS, and with SMTPUTF8")
def smtplib_group(place):
    subject = place.subject("group")
    with smtplib.SMTP_SSL("127.0.0.1", place.port("submissions"), context=insecure_tls()) as session:
        session.login(USER1, PASSWORD)
        assert session.sendmail(USER1, ["team@example.org"], place.message(subject, USER1, "team@example.org")) == {}
    place.arrived(USER2, subject)
    subject = place.subject("utf8")
    with smtplib.SMTP("127.0.0.1", place.port("smtp")) as session:
        session.ehlo()
        assert session.has_extn("smtputf8") and session.has_extn("pipelining") and session.has_extn("dsn")
        octets = place.message(subject).replace("\n", "\r\n").encode()
        session.sendmail("grüße@remote.test", [USER1], octets, mail_options=["SMTPUTF8"])
    # Who has not asked for UTF-8 gets a surrogate of the field (RFC 6858).
    assert place.arrived(USER1, subject).octets.isascii()
    assert "grüße@remote.test" in place.arrived(USER1, subject, utf8=True).octets.decode()


@case("smtplib gets a large message through and one too large refused")
def smtplib_large(place):
    subject = place.subject("large")
    body = ("y" * 76 + "\n") * 40000
    with smtplib.SMTP("127.0.0.1", place.port("smtp")) as session:
        session.ehlo()
        session.sendmail("stranger@remote.test", [USER1], place.message(subject, body=body))
        size = int(session.esmtp_features["size"])
        code, _ = session.docmd(f"MAIL FROM:<stranger@remote.test> SIZE={size + 1}")
        assert code == 552, code
    assert place.arrived(USER1, subject).get_content().replace("\r\n", "\n") == body


@case("imaplib does a mail reader's work")
def imaplib_reads(place):
    subject = place.subject("imaplib")
    place.put(USER1, subject)
    session = place.imap(USER1)
    capabilities = session.capability()[1][0].split()
    assert {b"IDLE", b"UIDPLUS", b"MOVE", b"NAMESPACE", b"UNSELECT", b"SPECIAL-USE"} <= set(capabilities), capabilities
    box = f"Projects/Größe {place.subject('box')}"
    name = '"' + encode_mailbox(box) + '"'
    assert session.create(name)[0] == "OK"
    assert session.subscribe(name)[0] == "OK"
    session.select("INBOX")
    _, uids = session.uid("SEARCH", "SUBJECT", f'"{subject}"')
    uid = uids[0].split()[-1].decode()
    assert session.uid("COPY", uid, name)[0] == "OK"
    assert session.uid("STORE", uid, "+FLAGS", r"(\Flagged $Label1)")[0] == "OK"
    typ, answer = session.uid("FETCH", uid, "(FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE INTERNALDATE)")
    text = b" ".join(part if isinstance(part, bytes) else part[0] for part in answer)
    assert typ == "OK" and b"\\Flagged" in text and b"$Label1" in text and b"ENVELOPE (" in text, text
    typ, answer = session.uid("FETCH", uid, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<0.6>)")
    assert typ == "OK" and subject.encode() in answer[0][1] and answer[1][1] == b"a line", answer
    assert session.uid("STORE", uid, "+FLAGS", r"(\Deleted)")[0] == "OK"
    assert session.expunge()[0] == "OK"
    assert session.select(name)[0] == "OK"
    _, found = session.search(None, "SUBJECT", f'"{subject}"')
    assert found[0] == b"1", found
    session.close()
    renamed = name[:-1] + ' renamed"'
    assert session.rename(name, renamed)[0] == "OK"
    assert session.delete(renamed)[0] == "OK"
    session.logout()
    assert place.absent(USER1, subject)


def encode_mailbox(name):
    """Modified UTF-7 (RFC 3501 §5.1.3)."""
    encoded = ""
    for plain, characters in itertools.groupby(name, lambda c: " " <= c <= "~"):
        run = "".join(characters)
        shifted = base64.b64encode(run.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
        encoded += run.replace("&", "&-") if plain else f"&{shifted}-"
    return encoded


@case("poplib fetches and deletes")
def poplib_reads(place):
    subjects = [place.subject("poplib") for _ in range(2)]
    for subject in subjects:
        place.put(USER3, subject)
    session = poplib.POP3("127.0.0.1", place.port("pop3"))
    assert "STLS" in session.capa()
    session.stls(insecure_tls())
    session.user(USER3)
    session.pass_(PASSWORD)
    count, octets = session.stat()
    _, listing, _ = session.list()
    assert len(listing) == count and sum(int(line.split()[1]) for line in listing) == octets
    wanted = {}
    for number in range(1, count + 1):
        _, top, _ = session.top(number, 0)
        for subject in subjects:
            if f"Subject: {subject}".encode() in top:
                wanted[subject] = number
    assert len(wanted) == 2, wanted
    _, lines, _ = session.retr(wanted[subjects[0]])
    assert lines[-3:] == [b"a line", b".", b"..two dots"], lines
    unique = session.uidl(wanted[subjects[1]]).split()[2]
    session.dele(wanted[subjects[0]])
    session.quit()
    assert place.absent(USER3, subjects[0])
    session = poplib.POP3_SSL("127.0.0.1", place.port("pop3s"), context=insecure_tls())
    session.user(USER3)
    session.pass_(PASSWORD)
    assert unique in [line.split()[1] for line in session.uidl()[1]]
    session.quit()


@case("curl sends", "curl")
def curl_sends(place):
    subject = place.subject("curl")
    (place.folder / "message").write_text(place.message(subject, USER1, USER2).replace("\n", "\r\n"))
    for url, tls in ((f"smtp://127.0.0.1:{place.port('submission')}", "--ssl-reqd"), (f"smtps://127.0.0.1:{place.port('submissions')}", "--ssl-reqd")):
        place.run(
            "curl", "-sS", "-k", tls, "--url", url, "--user", f"{USER1}:{PASSWORD}", "--mail-from", USER1,
            "--mail-rcpt", USER2, "--upload-file", "message",
        )
        session = place.imap(USER2)
        session.select("INBOX")
        _, numbers = session.search(None, "SUBJECT", f'"{subject}"')
        assert numbers[0], f"nothing arrived by {url}"
        for number in numbers[0].split():
            session.store(number, "+FLAGS", r"(\Deleted)")
        session.expunge()
        session.logout()


@case("curl reads by IMAP and POP3", "curl")
def curl_reads(place):
    subject = place.subject("curl reads")
    place.put(USER1, subject)
    number = place.arrived(USER1, subject).number
    login = ("-sS", "-k", "--user", f"{USER1}:{PASSWORD}")
    for scheme, name, tls in (("imap", "imap", ["--ssl-reqd"]), ("imaps", "imaps", [])):
        base = f"{scheme}://127.0.0.1:{place.port(name)}"
        done = place.run("curl", *login, *tls, f"{base}/INBOX;MAILINDEX={number}")
        assert f"Subject: {subject}" in done.stdout, done.stdout[-500:]
        done = place.run("curl", *login, *tls, f"{base}/", "-X", 'LIST "" *')
        assert "INBOX" in done.stdout, done.stdout
        done = place.run("curl", *login, *tls, f"{base}/INBOX?SUBJECT%20%22{subject.replace(' ', '%20')}%22")
        assert f"SEARCH {number}" in done.stdout, done.stdout
    for scheme, name, tls in (("pop3", "pop3", ["--ssl-reqd"]), ("pop3s", "pop3s", [])):
        base = f"{scheme}://127.0.0.1:{place.port(name)}"
        done = place.run("curl", *login, *tls, f"{base}/")
        assert f"{number} " in done.stdout, done.stdout
        done = place.run("curl", *login, *tls, f"{base}/{number}")
        assert f"Subject: {subject}" in done.stdout, done.stdout[-500:]


@case("msmtp submits", "msmtp")
def msmtp_submits(place):
    methods = ["plain", "login"] + (["scram-sha-256"] if "scram-sha-256" in place.run("msmtp", "--version").stdout else [])
    ways = [("submission", "on", method) for method in methods] + [("submissions", "off", "on")]
    for port, starttls, method in ways:
        subject = place.subject(f"msmtp {port} {method}")
        place.run(
            "msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={place.port(port)}", "--tls=on",
            f"--tls-starttls={starttls}", "--tls-certcheck=off", f"--auth={method}", f"--user={USER1}",
            f"--passwordeval=echo {PASSWORD}", f"--from={USER1}", "--dsn-notify=failure", USER2,
            stdin=place.message(subject, USER1, USER2),
        )
        place.arrived(USER2, subject)


@case("mbsync keeps a maildir in step, both ways", "mbsync")
def mbsync_syncs(place):
    local = place.folder / "mail"
    (local / "cur").mkdir(parents=True)
    for part in ("new", "tmp"):
        (local / part).mkdir()
    config = place.folder / "mbsyncrc"
    config.write_text(MBSYNCRC.format(port=place.port("imap"), user=USER2, password=PASSWORD, local=local,
                                      certificate=place.certificate()))
    subject_far, subject_near = place.subject("far"), place.subject("near")
    place.put(USER2, subject_far)

    def sync():
        place.run("mbsync", "-c", str(config), "-V", "inbox")
        box = mailbox.Maildir(local.parent / "mail", create=False)
        return {message["Subject"]: (key, message, box) for key, message in box.items()}

    near = sync()
    assert subject_far in near, "what came on the server did not come down"
    # a new message, and a flag, from the near side
    box = mailbox.Maildir(local, create=False)
    box.add(mailbox.MaildirMessage(place.message(subject_near)))
    key, message, _ = near[subject_far]
    message.add_flag("F")
    message.set_subdir("cur")
    box[key] = message
    sync()
    assert "\\Flagged" in place.arrived(USER2, subject_far).flags, "the flag did not go up"
    place.arrived(USER2, subject_near)
    # a flag and a deletion from the far side, a deletion from the near side
    session = place.imap(USER2)
    session.select("INBOX")
    number = place.arrived(USER2, subject_near).number
    session.store(number, "+FLAGS", r"(\Answered)")
    session.logout()
    near = sync()
    assert "R" in near[subject_near][1].get_flags(), "the flag did not come down"
    number = place.arrived(USER2, subject_far).number
    session = place.imap(USER2)
    session.select("INBOX")
    session.store(number, "+FLAGS", r"(\Deleted)")
    session.expunge()
    session.logout()
    key, _, box = near[subject_near]
    box.remove(key)
    near = sync()
    assert subject_far not in near, "the deletion did not come down"
    assert place.absent(USER2, subject_near), "the deletion did not go up"


MBSYNCRC = """IMAPStore far
Host 127.0.0.1
Port {port}
User {user}
Pass {password}
SSLType STARTTLS
CertificateFile {certificate}

MaildirStore near
Inbox {local}

Channel inbox
Far :far:
Near :near:
Sync All
Expunge Both
Create Both
SyncState *
"""


@case("fetchmail fetches by POP3 and IMAP", "fetchmail")
def fetchmail_fetches(place):
    for protocol in ("POP3", "IMAP"):
        subject = place.subject(f"fetchmail {protocol}")
        place.put(USER3, subject)
        config = place.folder / "fetchmailrc"
        uidl = "uidl" if protocol == "POP3" else ""
        config.write_text(
            f'poll 127.0.0.1 service {place.port(protocol.lower())} protocol {protocol} {uidl}\n'
            f'user "{USER3}" password "{PASSWORD}" sslproto "TLS1.2+"\n'
        )
        config.chmod(0o600)
        fetched = place.folder / f"{protocol}.mbox"
        place.run(
            "fetchmail", "-f", str(config), "--nosslcertck", "--nosyslog", "--all", "--idfile",
            str(place.folder / "ids"), "--pidfile", str(place.folder / "pid"), "--mda", f"cat >> {fetched}",
        )
        text = fetched.read_text(errors="replace")
        assert f"Subject: {subject}" in text, text[-500:]
        assert place.absent(USER3, subject), "fetchmail deletes what it has fetched"


@case("neomutt sends and reads in batch", "neomutt")
def neomutt_batch(place):
    subject = place.subject("neomutt")
    rc = place.folder / "neomuttrc"
    rc.write_text(NEOMUTTRC.format(
        user=USER1, password=PASSWORD, submission=place.port("submission"), imap=place.port("imap"),
        certificate=place.certificate(),
    ))
    (place.folder / "attached.txt").write_text("attached\n")
    environment = {"HOME": str(place.folder), "TERM": "xterm", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    place.run(
        "neomutt", "-F", str(rc), "-s", subject, "-a", "attached.txt", "--", USER1, stdin="a body\n", env=environment
    )
    arrived = place.arrived(USER1, subject)
    attached = [part.get_filename() for part in arrived.iter_attachments()]
    assert attached == ["attached.txt"], f"attached: {attached}"
    copied = place.folder / "copied"
    # Without it neomutt asks whether to create it, and that question eats the first key.
    (place.folder / "Mail").mkdir()
    keys = f"<tag-pattern>~s {subject.split()[-1]}<enter><tag-prefix><copy-message>{copied}<enter><exit>"
    inbox = f"imap://127.0.0.1:{place.port('imap')}/INBOX"
    in_terminal(place, ["neomutt", "-F", str(rc), "-f", inbox, "-e", f'push "{keys}"'], environment)
    assert copied.exists(), "neomutt copied nothing"
    text = copied.read_text(errors="replace")
    assert subject in text, f"{subject!r} is not in what was copied: {text[-2000:]}"


NEOMUTTRC = """set from = "{user}"
set realname = "User One"
set smtp_url = "smtp://{user}@127.0.0.1:{submission}/"
set smtp_pass = "{password}"
set imap_user = "{user}"
set imap_pass = "{password}"
set ssl_starttls = yes
set ssl_force_tls = yes
set ssl_verify_host = no
set ssl_verify_dates = no
set certificate_file = "{certificate}"
set header_cache = ""
set record = ""
set copy = no
set confirmappend = no
set confirmcreate = no
set quit = yes
set delete = no
set mbox_type = mbox
set sleep_time = 0
set wait_key = no
set use_envelope_from = yes
"""


def in_terminal(place, command, environment, seconds=30):
    """Runs a client that wants a terminal; it must end by itself."""
    import os
    import pty
    import select
    import time

    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place.folder)
        os.execvpe(command[0], command, environment)
    shown, until = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            ready, _, _ = select.select([terminal], [], [], 0.5)
            if ready:
                try:
                    octets = os.read(terminal, 65536)
                except OSError:
                    break
                if not octets:
                    break
                shown += octets
            done, _ = os.waitpid(pid, os.WNOHANG)
            if done:
                pid = 0
                return
        else:
            raise AssertionError(f"{command[0]} did not end; it shows\n{shown[-2000:].decode(errors='replace')}")
    finally:
        if pid:
            os.kill(pid, 9) if time.monotonic() >= until else None
            os.waitpid(pid, 0)
        os.close(terminal)


@case("Dovecot says the same of the same mail", "dovecot")
def dovecot_agrees(place):
    place.folder.parent.chmod(0o711)
    place.folder.chmod(0o711)
    result = imap_differential.run(place.port("imaps"), place.folder / "dovecot", imap_differential.GROWN_SHORT)
    if result.unexplained:
        result.report()
    assert not result.unexplained, f"{len(result.unexplained)} differences that docs/imap-differences.md does not explain"
