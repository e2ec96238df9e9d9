"""What becomes of mail for every kind of entry that a directory may hold: options, statuses, groups, out of a real slapd."""

import email
import email.policy
import imaplib
import smtplib

from ldap_cases import case
from ldap_place import PASSWORD
from place import insecure_tls
from slapd import group, group_dn, tree, user, user_dn

ALWAYS = {"vacationStartDate": "20200101000000Z", "vacationEndDate": "20991231000000Z"}
PAST = {"vacationStartDate": "20200101000000Z", "vacationEndDate": "20200201000000Z"}


def u(name):
    return user_dn(name)


# Name, attributes of the user, the code that RCPT gets, and whose INBOX has the message afterwards.
USERS = [
    ("forward", {"mailDeliveryOption": "forward", "mailForwardingAddress": ["u1@d0.test", "ext@other.test"]}, 250, ["u1"]),
    ("fwdkeep", {"mailDeliveryOption": ["mailbox", "forward"], "mailForwardingAddress": "u1@d0.test"}, 250, ["fwdkeep", "u1"]),
    ("fwdself", {"mailDeliveryOption": "forward", "mailForwardingAddress": ["fwdself@d0.test", "u1@d0.test"]}, 250, ["fwdself", "u1"]),
    ("vacfwd", {"mailDeliveryOption": ["forward", "autoreply"], "mailForwardingAddress": "u2@d0.test",
                "mailAutoReplyMode": "vacation", "mailAutoReplyText": "away, forwarded"}, 250, ["u2"]),
    ("inactive", {"mailUserStatus": "inactive"}, 450, []),
    ("deleted", {"mailUserStatus": "deleted"}, 550, []),
    ("removed", {"mailUserStatus": "removed"}, 550, []),
    ("disabled", {"mailUserStatus": "disabled"}, 550, []),
    ("overquota", {"mailUserStatus": "overquota"}, 452, []),
    ("hold", {"mailUserStatus": "hold"}, 250, []),
    ("ustatus", {"inetUserStatus": "inactive"}, 450, []),
    ("program", {"mailDeliveryOption": "program", "mailProgramDeliveryInfo": "unregistered"}, 250, []),
    ("unknown", {"mailDeliveryOption": ["fly", "mailbox"]}, 250, ["unknown"]),
    ("file", {"mailDeliveryOption": ["file", "mailbox"], "mailDeliveryFileURL": "unregistered"}, 250, ["file"]),
    ("nomailhost", {}, 250, ["nomailhost"]),
    ("ownhost", {"mailHost": "mail.test"}, 250, ["ownhost"]),
    ("otherhost", {"mailHost": "store2.test"}, 250, []),
    ("routed", {"mailRoutingAddress": "routed@store2.test"}, 250, []),
    ("equiv", {"mailEquivalentAddress": "equiv-old@d0.test"}, 250, ["equiv"]),
    ("utf8", {"cn": "Jürgen Groß"}, 250, ["utf8"]),
    ("manyalts", {"mailAlternateAddress": [f"alt{number}@d0.test" for number in range(50)]}, 250, ["manyalts"]),
    ("fullmsgs", {"mailMsgQuota": "0"}, 452, []),
]

NEVER = "cn=nobody,o=isp"
# Name, members, attributes of the group, sender, code of RCPT, and whose INBOX has the message.
GROUPS = [
    ("everybody", [u(f"u{number}") for number in range(10)], {}, "s@remote.test", 250, [f"u{number}" for number in range(10)]),
    ("rfc822", [NEVER], {"mgrpRFC822MailMember": ["u1@d0.test", "ext@other.test"]}, "s@remote.test", 250, ["u1"]),
    ("nested", [group_dn("everybody"), u("u3")], {}, "s@remote.test", 250, [f"u{number}" for number in range(10)]),
    ("loopA", [group_dn("loopB")], {}, "s@remote.test", 250, ["u1"]),
    ("loopB", [group_dn("loopA"), u("u1")], {}, "s@remote.test", 250, ["u1"]),
    ("moderated", [u("u1")], {"mgrpModerator": "mailto:u2@d0.test", "mgrpMsgRejectAction": "toModerator",
                              "mgrpAllowedBroadcaster": "mailto:u5@d0.test"}, "s@remote.test", 250, ["u2"]),
    ("restricted", [u("u1")], {"mgrpAllowedDomain": "d0.test", "mgrpMsgRejectText": "not allowed here"}, "s@remote.test", 550, []),
    ("allowed", [u("u1")], {"mgrpAllowedDomain": "d0.test"}, "u4@d0.test", 250, ["u1"]),
    ("bcast", [u("u1")], {"mgrpAllowedBroadcaster": "mailto:u5@d0.test"}, "u5@d0.test", 250, ["u1"]),
    ("dynamic", [NEVER], {"memberURL": "ldap:///ou=People,o=d0.test,o=isp??sub?(uid=u1*)"}, "s@remote.test", 250, ["u1"]),
    ("toobig", [u("u1")], {"mgrpMsgMaxSize": "2000"}, "s@remote.test", 250, ["u1"]),
    ("hdr", [u("u1")], {"mgrpAddHeader": "X-List: hdr", "mgrpRemoveHeader": "X-Gone", "mgrpMsgPrefixText": "[prefix]",
                        "mgrpMsgSuffixText": "[suffix]", "mgrpErrorsTo": "mailto:u9@d0.test"}, "s@remote.test", 250, ["u1"]),
    ("empty", [NEVER], {}, "s@remote.test", 550, []),
    ("gone", [u("u1")], {"inetMailGroupStatus": "deleted"}, "s@remote.test", 550, []),
]


def post(place, sender, address, subject, body="hello", further=""):
    """The code that RCPT gets or, where that is 250, the message."""
    client = smtplib.SMTP("127.0.0.1", place.server.port("smtp"), timeout=20)
    try:
        client.ehlo("remote.test")
        client.mail(sender)
        code, _ = client.rcpt(address)
        if code == 250:
            code, _ = client.data(f"From: {sender}\r\nTo: {address}\r\nX-Gone: x\r\nSubject: {subject}\r\n{further}\r\n{body}\r\n".encode())
        return code
    finally:
        client.close()


class Boxes:
    """What is in the INBOXes: their subjects, and how often each is there."""

    def __init__(self, place):
        self.place = place

    def messages(self, name):
        session = imaplib.IMAP4("127.0.0.1", self.place.server.port("imap"))
        try:
            session.starttls(insecure_tls())
            session.login(f"{name}@d0.test", PASSWORD)
            session.select("INBOX", readonly=True)
            _, answer = session.fetch("1:*", "(BODY.PEEK[])") if session.untagged_responses.get("EXISTS", [b"0"])[-1] != b"0" else (0, [])
            octets = [part[1] for part in answer if isinstance(part, tuple)]
            return [email.message_from_bytes(one, policy=email.policy.default) for one in octets]
        finally:
            session.shutdown()

    def count(self, name, subject):
        return sum(message["Subject"] == subject for message in self.messages(name))


def start(place, entries):
    place.slapd_with(tree(1, 10) + entries)
    place.wasmta_with()


def expect(place, boxes, what, holders, others):
    for name in holders:
        place.until(lambda: boxes.count(name, what) == 1, f"{what} in the INBOX of {name}")
    for name in others:
        assert boxes.count(name, what) == 0, f"{what} is in the INBOX of {name}"


@case("every kind of user gets what its entry says")
def users(place):
    entries = [user(name, **further) for name, further, _, _ in USERS]
    start(place, entries)
    boxes = Boxes(place)
    for name, _, code, holders in USERS:
        came = post(place, "s@remote.test", f"{name}@d0.test", f"to {name}")
        assert came == code, f"RCPT of {name}: {came}, not {code}"
        expect(place, boxes, f"to {name}", holders, ["u7"])
    assert "hold@d0.test" in place.server.command("queue", "list", "--channel", "hold")
    # What nobody has registered waits: a slip loses no mail.
    for channel in ("program", "file"):
        assert f"{channel}@d0.test" in place.server.command("queue", "list", "--channel", channel)


@case("every kind of group gets what its entry says")
def groups(place):
    entries = [group(name, members, **further) for name, members, further, _, _, _ in GROUPS]
    start(place, entries)
    boxes = Boxes(place)
    for name, _, _, sender, code, holders in GROUPS:
        came = post(place, sender, f"{name}@d0.test", f"to {name}")
        assert came == code, f"RCPT of {name}: {came}, not {code}"
        expect(place, boxes, f"to {name}", holders, [other for other in ("u7",) if other not in holders])
    listed = next(message for message in boxes.messages("u1") if message["Subject"] == "to hdr")
    assert listed["Return-Path"] == "<u9@d0.test>" and listed["X-List"] == "hdr" and listed["X-Gone"] is None
    assert listed["List-Id"] == "hdr <hdr.d0.test>", listed["List-Id"]
    body = listed.get_payload().replace("\r\n", "\n")
    assert body == "[prefix]\nhello\n[suffix]\n", body
    # Too large for the list, and for nobody else: its sender hears so at the end of data.
    assert post(place, "u8@d0.test", "toobig@d0.test", "too big", "x" * 900 + "\r\n" + "x" * 900 + "\r\n" + "x" * 900) == 552
    assert boxes.count("u1", "too big") == 0


@case("automatic replies: once, in time, and to whoever may be answered")
def answers(place):
    reply = {"mailDeliveryOption": ["mailbox", "autoreply"]}
    entries = [
        user("vacation", **reply, **ALWAYS, mailAutoReplySubject="Out: $SUBJECT", mailAutoReplyText="I am away.$Back on Monday.",
             mailAutoReplyTextInternal="Away (internal)."),
        user("vacpast", **reply, **PAST, mailAutoReplyText="past"),
        user("echo", **reply, mailAutoReplyMode="echo", mailAutoReplyText="echo"),
        user("pong", **reply, mailAutoReplyMode="reply", mailAutoReplyText="pong"),
        user("ping", **reply, mailAutoReplyMode="reply", mailAutoReplyText="ping"),
    ]
    start(place, entries)
    boxes = Boxes(place)
    for _ in range(3):
        assert post(place, "u1@d0.test", "vacation@d0.test", "lunch") == 250
    place.until(lambda: boxes.count("vacation", "lunch") == 3, "three messages")
    assert post(place, "u2@d0.test", "vacpast@d0.test", "past") == 250
    assert post(place, "u3@d0.test", "echo@d0.test", "sound", "what was written") == 250
    place.until(lambda: boxes.count("u1", "Out: lunch") == 1, "the answer")
    answer = next(message for message in boxes.messages("u1") if message["Subject"] == "Out: lunch")
    assert answer["Return-Path"] == "<>" and answer["Auto-Submitted"] == "auto-replied", answer
    assert answer.get_payload().strip() == "Away (internal).", answer.get_payload()
    place.until(lambda: boxes.count("u3", "Auto: sound") == 1, "the echo")
    echo = next(message for message in boxes.messages("u3") if message["Subject"] == "Auto: sound")
    assert "what was written" in echo.as_string()
    # Two who answer everything: one answer, and no answer to that.
    assert post(place, "ping@d0.test", "pong@d0.test", "ball") == 250
    place.until(lambda: boxes.count("ping", "Auto: ball") == 1, "the answer of pong")
    place.until(lambda: "0 messages" in place.server.command("queue", "list"), "an empty queue")
    assert len(boxes.messages("pong")) == 1 and len(boxes.messages("ping")) == 1
    assert len(boxes.messages("u1")) == 1 and boxes.messages("u2") == []


@case("a profile that its owner sets is written to slapd and holds at once")
def owned(place):
    place.slapd_with(tree(1, 10))
    place.wasmta_with("writable = true")
    place.server.command("profile", "set", "u1@d0.test", "--deliver", "mailbox,forward", "--forward", "u2@d0.test")
    assert "mailForwardingAddress: u2@d0.test" in place.slapd.search(user_dn("u1"), "base").stdout
    boxes = Boxes(place)
    assert post(place, "s@remote.test", "u1@d0.test", "both") == 250
    expect(place, boxes, "both", ["u1", "u2"], ["u3"])
