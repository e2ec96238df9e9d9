"""A session of Python's `imapclient` (a library): arguments are port, user and password. Ends with 0 when all was as it should be."""

import ssl
import sys
from datetime import datetime

from imapclient import IMAPClient

PORT, USER, PASSWORD = int(sys.argv[1]), sys.argv[2], sys.argv[3]
WAIT_SECONDS_MAX = 20
MESSAGE = "From: Jürgen <j@example.net>\r\nTo: {user}\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?= {number}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nText {number}: größer\r\n"


def client():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    made = IMAPClient("127.0.0.1", port=PORT, ssl=False, timeout=WAIT_SECONDS_MAX)
    made.starttls(context)
    made.login(USER, PASSWORD)
    return made


def message(number):
    return MESSAGE.format(user=USER, number=number).encode()


def main():
    first, second = client(), client()
    name = "Entwürfe/Ä & B"
    if not first.folder_exists(name):
        first.create_folder(name)
    first.subscribe_folder(name)
    assert name in [folder for _, _, folder in first.list_folders()], "a name with umlauts is not listed"
    assert name in [folder for _, _, folder in first.list_sub_folders()]
    assert first.namespace().personal, "no personal namespace"
    when = datetime(2026, 2, 3, 4, 5, 6)
    for number in range(5):
        first.append(name, message(number), flags=[b"\\Seen", "Wichtig"] if number == 2 else [], msg_time=when)
    told = first.select_folder(name)
    assert told[b"EXISTS"] == 5 and b"Wichtig" in told[b"FLAGS"] and told[b"UIDNEXT"] == 6, told
    uids = first.search(["UNSEEN"])
    assert len(uids) == 4, uids
    assert len(first.search(["SUBJECT", "grüße"], charset="UTF-8")) == 5, "encoded words are not found"
    assert first.search(["TEXT", "größer", "KEYWORD", "Wichtig"], charset="UTF-8") == [3]
    assert first.search(["OR", "FROM", "nobody", "NOT", ["SEEN"]]) == uids
    fetched = first.fetch(uids, ["FLAGS", "ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE", "RFC822.SIZE", "BODY[HEADER.FIELDS (SUBJECT)]"])
    assert set(fetched) == set(uids)
    for uid, data in fetched.items():
        envelope = data[b"ENVELOPE"]
        assert envelope.subject.startswith(b"=?utf-8?q?gr=C3=BC=C3=9Fe?="), envelope
        assert envelope.from_[0].mailbox == b"j" and envelope.from_[0].host == b"example.net"
        assert data[b"RFC822.SIZE"] == len(message(uid - 1)) and data[b"BODYSTRUCTURE"][0] == b"text", data
        assert data[b"INTERNALDATE"].timestamp() == when.timestamp(), data[b"INTERNALDATE"]
    assert first.fetch([2], ["BODY.PEEK[]<0.5>"])[2][b"BODY[]<0>"] == message(1)[:5]
    # Another session waits, and is told of what this one does.
    second.select_folder(name)
    second.idle()
    first.add_flags(uids[:2], [b"\\Flagged"])
    first.append(name, message(9))
    first.set_flags([uids[2]], [b"\\Deleted"])
    first.expunge()
    heard = []
    while not any(b"EXPUNGE" in one for one in heard) or not any(b"EXISTS" in one for one in heard):
        got = second.idle_check(timeout=WAIT_SECONDS_MAX)
        assert got, f"nothing more was heard after {heard}"
        heard += got
    second.idle_done()
    first.create_folder("Verschoben")
    first.move([1], "Verschoben")
    assert first.folder_status("Verschoben", ["MESSAGES", "UNSEEN"])[b"MESSAGES"] == 1
    first.copy([2], "Verschoben")
    assert first.folder_status("Verschoben", ["MESSAGES"])[b"MESSAGES"] == 2
    first.unselect_folder()
    second.close_folder()
    for folder in ("Verschoben", name):
        first.delete_folder(folder)
    for one in (first, second):
        one.logout()


if __name__ == "__main__":
    main()
