"""More mail clients at their normal work, against the default configuration: programs and libraries that people read with."""

import email
import email.policy
import hashlib
import imaplib
import json
import mailbox
import ssl
import sys

from cases import case, in_terminal, NEOMUTTRC
from place import PASSWORD

USER4, USER5, USER6 = "user4@example.org", "user5@example.org", "user6@example.org"
MANY = 120
FOLDERS = ["Archive/2026", "Gr&APYA3w-e", "With space"]


def maildir(path):
    """What a maildir holds, by subject: key, message and box."""
    box = mailbox.Maildir(path, create=False)
    return {message["Subject"]: (key, message, box) for key, message in box.items()}


def fill(place, user, box, count, prefix):
    """Messages by APPEND, every third one seen."""
    session = place.imap(user)
    session.create(f'"{box}"')
    subjects = [f"{prefix} {number}" for number in range(count)]
    for number, subject in enumerate(subjects):
        flags = "(\\Seen)" if number % 3 == 0 else ""
        octets = place.message(subject).replace("\n", "\r\n").encode()
        assert session.append(f'"{box}"', flags, None, octets)[0] == "OK"
    session.logout()
    return subjects


def on_server(place, user, box):
    """Flags of each message there, by subject."""
    session = place.imap(user)
    session.select(f'"{box}"', readonly=True)
    _, answer = session.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    session.logout()
    found = {}
    for part in answer:
        if isinstance(part, tuple):
            subject = email.message_from_bytes(part[1], policy=email.policy.default)["Subject"]
            found[subject] = part[0].partition(b"FLAGS (")[2].partition(b")")[0].decode().replace("\\Recent", "").split()
    return found


@case("mbsync keeps many mailboxes in step, both ways", "mbsync")
def mbsync_folders(place):
    for at, folder in enumerate(FOLDERS):
        fill(place, USER4, folder, MANY if at == 0 else 3, folder)
    local = place.folder / "mail"
    local.mkdir()
    config = place.folder / "mbsyncrc"
    config.write_text(MBSYNCRC.format(port=place.port("imaps"), user=USER4, password=PASSWORD, local=local,
                                      certificate=place.certificate()))

    def sync():
        place.run("mbsync", "-c", str(config), "-V", "all")

    sync()
    near = {folder: maildir(path) for folder, path in zip(FOLDERS, (local / "Archive/2026", local / FOLDERS[1], local / "With space"))}
    assert [len(near[folder]) for folder in FOLDERS] == [MANY, 3, 3], {folder: len(found) for folder, found in near.items()}
    seen = sum("S" in message.get_flags() for _, message, _ in near[FOLDERS[0]].values())
    assert seen == MANY / 3, f"{seen} are seen"
    # A new mailbox, flags and deletions of every fourth message from the near side; a mailbox from the far side.
    made = mailbox.Maildir(local / "Made here")
    made.add(mailbox.MaildirMessage(place.message("made here")))
    for number, (key, message, box) in enumerate(near[FOLDERS[0]].values()):
        if number % 4 == 0:
            box.remove(key)
        elif number % 4 == 1:
            message.set_subdir("cur")
            message.add_flag("F")
            box[key] = message
    fill(place, USER4, "Made there", 1, "made there")
    sync()
    far = on_server(place, USER4, FOLDERS[0])
    assert len(far) == MANY - MANY / 4, f"{len(far)} are left"
    assert sum("\\Flagged" in flags for flags in far.values()) == MANY / 4
    assert list(on_server(place, USER4, "Made here")) == ["made here"]
    assert list(maildir(local / "Made there")) == ["made there 0"]
    # Nothing is left to do, and nothing is there twice.
    sync()
    assert on_server(place, USER4, FOLDERS[0]) == far


MBSYNCRC = """IMAPStore far
Host 127.0.0.1
Port {port}
User {user}
Pass {password}
SSLType IMAPS
CertificateFile {certificate}

MaildirStore near
Path {local}/
Inbox {local}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Sync All
Expunge Both
Create Both
SyncState *
"""


@case("offlineimap keeps maildirs in step, both ways", "offlineimap")
def offlineimap_syncs(place):
    subjects = fill(place, USER5, "Lists", 12, place.subject("offlineimap"))
    local, config = place.folder / "mail", place.folder / "offlineimaprc"
    config.write_text(OFFLINEIMAPRC.format(port=place.port("imaps"), user=USER5, password=PASSWORD, folder=place.folder,
                                           fingerprint=fingerprint(place)))

    def sync():
        done = place.run("offlineimap", "-c", str(config), "-o", "-u", "basic")
        assert "ERROR" not in done.stdout + done.stderr, (done.stdout + done.stderr)[-2000:]
        return maildir(local / "Lists")

    near = sync()
    assert set(near) == set(subjects), "what is on the server did not come down"
    assert "S" in near[subjects[0]][1].get_flags() and "S" not in near[subjects[1]][1].get_flags()
    # From the near side: a flag, a deletion, a new message; from the far side: a flag and a deletion.
    key, message, box = near[subjects[1]]
    message.set_subdir("cur")
    message.add_flag("F")
    box[key] = message
    box.remove(near[subjects[2]][0])
    box.add(mailbox.MaildirMessage(place.message("from here")))
    session = place.imap(USER5)
    session.select("Lists")
    session.store("4", "+FLAGS", "(\\Answered)")
    session.store("5", "+FLAGS", "(\\Deleted)")
    session.expunge()
    session.logout()
    near, far = sync(), on_server(place, USER5, "Lists")
    assert "\\Flagged" in far[subjects[1]] and subjects[2] not in far and "from here" in far, far
    assert "R" in near[subjects[3]][1].get_flags() and subjects[4] not in near, list(near)
    assert set(near) == set(far)


def fingerprint(place):
    """Of the server's own certificate: offlineimap trusts either this, or names that authorities vouch for."""
    return hashlib.sha1(ssl.PEM_cert_to_DER_cert(place.certificate().read_text())).hexdigest()


OFFLINEIMAPRC = """[general]
accounts = one
metadata = {folder}/metadata
socktimeout = 30

[Account one]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {folder}/mail

[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = yes
cert_fingerprint = {fingerprint}
folderfilter = lambda name: name in ("INBOX", "Lists")
"""


@case("neomutt searches, flags, moves and comes back with its cache", "neomutt")
def neomutt_works(place):
    subjects = fill(place, USER6, "Work", 6, "neomutt work")
    rc = place.folder / "neomuttrc"
    (place.folder / "cache").mkdir()
    rc.write_text(
        NEOMUTTRC.format(user=USER6, password=PASSWORD, submission=place.port("submission"), imap=place.port("imap"),
                         certificate=place.certificate())
        + f'set header_cache = "{place.folder}/cache"\nset message_cachedir = "{place.folder}/cache"\nset delete = yes\n'
        + f'set folder = "imap://127.0.0.1:{place.port("imap")}/"\n'
    )
    environment = {"HOME": str(place.folder), "TERM": "xterm", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    place.imap(USER6).create("Kept")
    work = f"imap://127.0.0.1:{place.port('imap')}/Work"

    def press(keys):
        in_terminal(place, ["neomutt", "-F", str(rc), "-f", work, "-e", f'push "{keys}"'], environment)

    # The server is asked for the body (=b), the header is searched here (~s).
    press("<tag-pattern>=b line<enter><tag-prefix><flag-message><untag-pattern>.<enter><sync-mailbox><exit>")
    assert all("\\Flagged" in flags for flags in on_server(place, USER6, "Work").values()), on_server(place, USER6, "Work")
    press(f"<tag-pattern>~s 'work 4'<enter><tag-prefix><save-message>=Kept<enter><sync-mailbox><exit>")
    assert list(on_server(place, USER6, "Kept")) == [subjects[4]], on_server(place, USER6, "Kept")
    assert set(on_server(place, USER6, "Work")) == set(subjects) - {subjects[4]}


@case("curl appends, lists, searches and fetches parts", "curl")
def curl_works(place):
    subject = place.subject("curl works")
    (place.folder / "message").write_text(MULTIPART.format(subject=subject).replace("\n", "\r\n"))
    base = f"imaps://127.0.0.1:{place.port('imaps')}"
    login = ("curl", "-sS", "-k", "--user", f"{USER6}:{PASSWORD}")
    place.run(*login, base, "-X", "CREATE Curled")
    place.run(*login, f"{base}/Curled", "-T", "message")
    found = place.run(*login, f"{base}/Curled?SUBJECT%20%22{subject.replace(' ', '%20')}%22").stdout
    assert found.strip() == "* SEARCH 1", found
    part = place.run(*login, f"{base}/Curled;MAILINDEX=1;SECTION=2").stdout
    assert part == "second part", part
    head = place.run(*login, f"{base}/Curled;UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)").stdout
    assert head.strip() == f"Subject: {subject}", head
    place.run(*login, f"{base}/Curled", "-X", "STORE 1 +FLAGS (\\Deleted)")
    place.run(*login, f"{base}/Curled", "-X", "EXPUNGE")
    status = place.run(*login, base, "-X", "STATUS Curled (MESSAGES)").stdout
    assert "MESSAGES 0" in status, status


MULTIPART = """From: anna@example.net
To: user6@example.org
Subject: {subject}
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b

first part
--b
Content-Type: text/html

second part
--b--
"""


@case("getmail fetches by IMAP and POP3 under TLS", "getmail")
def getmail_fetches(place):
    for retriever, port in (("SimpleIMAPSSLRetriever", "imaps"), ("SimplePOP3SSLRetriever", "pop3s")):
        subject = place.subject(retriever)
        place.put(USER5, subject)
        fetched, folder = place.folder / retriever, place.folder / f"state-{retriever}"
        folder.mkdir()
        (folder / "getmailrc").write_text(GETMAILRC.format(
            retriever=retriever, port=place.port(port), user=USER5, password=PASSWORD, fetched=fetched,
            mailboxes='mailboxes = ("INBOX",)\n' if "IMAP" in retriever else "",
        ))
        command = ("getmail", "--getmaildir", str(folder), "--rcfile", "getmailrc")
        place.run(*command)
        assert f"Subject: {subject}\n" in fetched.read_text(), fetched.read_text()[-500:]
        count = fetched.read_text().count("Subject: ")
        # What was fetched once is not fetched again, though it stays: unique identifiers hold.
        place.put(USER5, f"{subject} again")
        place.run(*command)
        again = fetched.read_text().count("Subject: ")
        assert again == count + 1, f"{retriever}: {count} messages, then {again}"


# It refuses to write a maildir as root.
GETMAILRC = """[retriever]
type = {retriever}
server = 127.0.0.1
port = {port}
username = {user}
password = {password}
{mailboxes}
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat >> {fetched}")
allow_root_commands = true

[options]
read_all = false
delete = false
delivered_to = false
received = false
"""


@case("Python's imapclient works, and waits in IDLE", "imapclient")
def imapclient_works(place):
    place.run(sys.executable, str(place.script("imapclient_session.py")), str(place.port("imap")), USER6, PASSWORD, env=place.libraries())


@case("Node's imapflow works, and waits in IDLE", "node", "imapflow")
def imapflow_works(place):
    done = place.run("node", str(place.script("imapflow_session.cjs")), str(place.port("imaps")), USER5, PASSWORD, env=place.libraries())
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["heard"] >= 1, f"nothing was heard in IDLE: {told}"


@case("imaplib annotates, puts messages together, and hears of other mailboxes")
def imaplib_extends(place):
    subject = place.subject("extended")
    box = f"Ext {subject}"
    session, listener = place.imap(USER4), place.imap(USER4)
    imaplib.Commands.update(dict.fromkeys(("GETMETADATA", "SETMETADATA", "NOTIFY"), ("AUTH", "SELECTED")))
    capabilities = session.capability()[1][0].split()
    assert {b"METADATA", b"CATENATE", b"NOTIFY"} <= set(capabilities), capabilities
    assert session.create(f'"{box}"')[0] == "OK"
    wanted = "(MessageNew MessageExpunge MailboxName MailboxMetadataChange)"
    assert listener._simple_command("NOTIFY", "SET", f'(mailboxes "{box}" {wanted})')[0] == "OK"
    # Nothing is asked: what follows comes by itself.
    entries = '(/shared/comment "for all" /private/comment "mine")'
    assert session._simple_command("SETMETADATA", f'"{box}"', entries)[0] == "OK"
    told = {listener.readline().split()[-1] for _ in range(2)}
    assert told == {b"/shared/comment", b"/private/comment"}, told
    assert session._simple_command("GETMETADATA", "(DEPTH infinity)", f'"{box}"', "(/shared /private)")[0] == "OK"
    _, answer = session.response("METADATA")
    assert answer[0].endswith(b'(/shared/comment "for all" /private/comment "mine")'), answer
    head = f"Subject: {subject}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    draft = head + "--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
    assert session.append(f'"{box}"', None, None, draft.encode())[0] == "OK"
    line = listener.readline()
    assert line.startswith(b"* STATUS ") and b"MESSAGES 1 UIDNEXT 2" in line, line
    path = "/" + box.replace(" ", "%20")
    parts = f'(URL "{path}/;UID=1/;SECTION=HEADER" URL "{path}/;UID=1/;SECTION=2")'
    assert session._simple_command("APPEND", f'"{box}"', "CATENATE", parts)[0] == "OK"
    typ, answer = session._simple_command("APPEND", f'"{box}"', "CATENATE", f'(URL "{path}/;UID=9")')
    assert typ == "NO" and answer[0].startswith(b"[BADURL "), answer
    assert session.select(f'"{box}"')[0] == "OK"
    _, answer = session.fetch("2", "(BODY.PEEK[])")
    assert answer[0][1] == head.encode() + b"two", answer
    assert session.close()[0] == "OK" and session.delete(f'"{box}"')[0] == "OK"
    lines = [listener.readline() for _ in range(2)]
    assert lines[0].startswith(b"* STATUS ") and lines[1].startswith(b"* LIST (\\NonExistent"), lines
    session.logout()
    listener.logout()
