"""The cases of faults: directories that lie, break off, drag, or hold what breaks every rule. What was good stays, and each fault is
told with its entry and attribute."""

import contextlib
import smtplib
import time

import fake_ldap
from ldap_cases import case
from slapd import group, group_dn, tree, user, user_dn

MANUAL = 'sync = "manual"\n'


@contextlib.contextmanager
def lying(place, further=MANUAL, tree=None):
    """A server that may lie, and a wasmta that has taken everything over before it does."""
    fake = fake_ldap.FakeLdap(tree=dict(fake_ldap.TREE if tree is None else tree))
    try:
        place.wasmta_with(further, servers=[fake.url], wait="manual" not in further)
        if "manual" in further:
            place.sync("full")
        yield fake
    finally:
        fake.stop()


def told(place, event, *words):
    # The log is written beside what it tells of.
    def is_there():
        lines = [line for line in place.log().splitlines() if f" {event} " in line]
        return any(all(word in line for word in words) for line in lines)

    place.until(is_there, f"{event} {words}")


def stays(place):
    assert place.known("anna@fake.test") and place.rcpt("anna@fake.test") == 250


@case("an answer that breaks off, or meets a size limit, changes nothing")
def cut_off(place):
    with lying(place) as fake:
        for fault, word in (("cut_after", "ended"), ("limit_after", "sizeLimitExceeded")):
            setattr(fake, fault, 1)
            for kind in ("full", "incremental"):
                failed = place.sync(kind, "--force", check=False)
                assert failed.returncode == 1, (fault, kind, failed)
                stays(place)
            assert place.rcpt("nobody@fake.test") in (250, 451, 550)
            told(place, "sync_failed", word)
            setattr(fake, fault, None)
        assert place.sync("full")["removed"] == 0
        stays(place)


@case("a first sync that breaks off serves whom it has seen, and the next one goes on from there")
def cut_off_first(place):
    fake = fake_ldap.FakeLdap(tree=fake_ldap.TREE | {
        "dc=test,o=internet": {"objectClass": ["top", "domain"], "dc": ["test"]},
        "dc=fake,dc=test,o=internet": {"objectClass": ["top", "domain"], "dc": ["fake"]},
        "dc=far,dc=fake,dc=test,o=internet": {"objectClass": ["top", "domain"], "dc": ["far"]},
    })
    try:
        # The three entries of the first base come, and three of the four of the second one.
        fake.cut_after = 3
        place.wasmta_with(MANUAL, servers=[fake.url], wait=False)
        failed = place.sync("full", check=False)
        assert failed.returncode == 1 and "ended" in failed.stderr, failed
        place.until(lambda: place.known("anna@fake.test"), "the tables")
        assert place.rcpt("anna@fake.test") == 250
        assert place.status()["full_at"] is None
        fake.cut_after = None
        done = place.sync("full")
        assert (done["added"], done["modified"], done["removed"]) == (4, 0, 0), done
        stays(place)
    finally:
        fake.stop()


@case("a slow server holds no mail up")
def slow(place):
    with lying(place, MANUAL + 'miss-timeout = "500 ms"\n') as fake:
        fake.delay = 3
        began = time.monotonic()
        assert place.rcpt("anna@fake.test") == 250
        assert time.monotonic() - began < 1, "who is known is not asked about"
        began = time.monotonic()
        assert place.rcpt("nobody@fake.test") == 451
        assert time.monotonic() - began < 2.5, "a look-up has its time"
        fake.delay = 8
        failed = place.sync("full", check=False)
        assert failed.returncode == 1 and "in time" in failed.stderr, failed
        stays(place)


@case("values that mail cannot use are told with entry and attribute, and the rest of the entry is used")
def defects(place):
    with lying(place) as fake:
        dn = "uid=bert,o=fake.test,o=isp"
        fake.tree[dn] = {
            "objectClass": ["top", "inetMailUser"], "uid": ["bert"], "mail": ["bert@fake.test"],
            "mailAlternateAddress": ["no address at all"], "mailUserStatus": ["sleepy"], "mailQuota": ["much"],
            "cn": [b"\xff\xfe no text"], "jpegPhoto": [b"\xff\xd8"],
        }
        place.sync("full")
        assert place.rcpt("bert@fake.test") in (250, 450, 451), "a status that is none is no licence to refuse for good"
        place.until(lambda: "directory_defect" in place.log(), "the defects")
        told(place, "directory_defect", dn, "mailAlternateAddress", "no address at all")
        told(place, "directory_defect", dn, "mailQuota")
        stays(place)


@case("names that are none, or hostile, are refused one by one")
def hostile_names(place):
    with lying(place) as fake:
        plain = {"objectClass": ["top", "inetMailUser"], "mail": ["x@fake.test"]}
        names = {
            b"uid=\xff\xfe,o=isp": "no UTF-8",
            "nonsense": "nonsense",
            "uid=a\x00b,o=isp,": "",
            "uid=" + "x" * 1900 + ",o=isp": "too long",
            ",".join(["ou=deep"] * 80) + ",o=isp": "longer",
            "uid=elsewhere,o=other": "outside of the bases",
            "uid=*)(uid=*,o=isp": "",
            "uid=\\2c\\22\\5c,o=fake.test,o=isp": "",
        }
        for number, name in enumerate(names):
            fake.strangers[name] = plain | {"mail": [f"x{number}@fake.test"]}
        report = place.sync("full")
        assert report["refused"] >= 5, report
        stays(place)
        whys = " ".join(one["why"] for one in place.status()["refused"])
        for word in filter(None, names.values()):
            assert word in whys, (word, whys)
        assert place.rcpt("x7@fake.test") == 250, "strange, and valid"
        fake.strangers = {}
        place.sync("full", "--force")
        assert place.status()["refused"] == []
        stays(place)


@case("an address is one entry's, across domains too, whoever comes second")
def across_domains(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    place.slapd.add(user("twin", "d1.test", mail="u1@d0.test"))
    place.until(lambda: place.status()["refused"], "the refusal")
    (refused,) = place.status()["refused"]
    assert refused["dn"] == user_dn("twin", "d1.test") and refused["attribute"] == "mail", refused
    told(place, "sync_entry_refused", user_dn("twin", "d1.test"), "attribute=mail")
    checked = place.server.command("domain", "check", "d1.test", check=False)
    assert f"{user_dn('twin', 'd1.test')}, its mail: " in checked and "is in order" not in checked, checked
    assert "twin" not in place.server.command("domain", "check", "d0.test", check=False)
    place.sync("full")
    assert user_dn("u1") in place.explained("u1@d0.test") and "twin" not in place.explained("u1@d0.test")


@case("groups that contain each other end, and each member gets one copy")
def loops(place):
    place.slapd_with()
    place.slapd.stop()
    place.slapd.empty()
    first = group("one", [user_dn("u1"), group_dn("two")])
    second = group("two", [user_dn("u2"), group_dn("one"), group_dn("two")])
    place.slapd.load(tree() + [first, second])
    place.slapd.start()
    place.wasmta_with()
    explained = place.explained("one@d0.test")
    assert "accepted for 2" in explained, explained
    place.deliver("two@d0.test", "to a circle")
    for name in ("u1", "u2"):
        assert place.read(f"{name}@d0.test", "to a circle") is not None


def members(count):
    return [f"uid=m{number:07},ou=People,o=fake.test,o=isp" for number in range(count)]


@case("a group of a hundred thousand members is taken, and one that is larger than any entry is refused alone")
def large_group(place):
    dn = "cn=all,o=fake.test,o=isp"
    with lying(place, MANUAL + 'connections-max = 4\n') as fake:
        fake.tree[dn] = {"objectClass": ["top", "inetMailGroup"], "cn": ["all"], "mail": ["all@fake.test"],
                         "uniqueMember": members(100_000)}
        assert place.sync("full")["added"] == 1
        assert "primary address of a group" in place.server.command("domain", "rows", "fake.test")
        began = time.monotonic()
        code = place.rcpt("all@fake.test")
        assert code // 100 in (2, 4, 5) and time.monotonic() - began < 15, code
        stays(place)
        # More than ENTRY_OCTETS_MAX: told, and the last good version stays.
        fake.tree[dn]["uniqueMember"] = members(250_000)
        place.sync("full", "--force")
        told(place, "sync_entry_refused", dn, "attribute=uniqueMember", "larger than")
        assert "primary address of a group" in place.server.command("domain", "rows", "fake.test")
        stays(place)


@case("slapd is killed again and again while mail flows, and no known recipient is refused")
def killed(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    for round_number in range(5):
        place.slapd.kill()
        for number in range(10):
            assert place.rcpt(f"u{number}@d0.test") == 250
        assert place.rcpt(f"new{round_number}@d0.test") == 451
        place.slapd.start()
        place.slapd.add(user(f"new{round_number}"))
        place.until(lambda number=round_number: place.rcpt(f"new{number}@d0.test") == 250, "the new one", seconds=40)
    with smtplib.SMTP("127.0.0.1", place.server.port("smtp"), timeout=20) as client:
        client.sendmail("stranger@remote.test", [f"new{one}@d0.test" for one in range(5)], "Subject: to all\r\n\r\nhello\r\n")


@case("slapd is restored from a backup: who asks for what it has again is not refused, and all is compared anew")
def restored(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    slapd = place.slapd
    slapd.stop()
    dumps = slapd.dump()
    slapd.start()
    place.follows()
    slapd.modify(user_dn("u8"), "replace: mail\nmail: u8new@d0.test")
    slapd.modify(user_dn("u5"), "replace: mailUserStatus\nmailUserStatus: disabled")
    place.until(lambda: place.rcpt("u8new@d0.test") == 250 and place.rcpt("u5@d0.test") != 250, "the changes")
    place.server.stop()
    slapd.stop()
    slapd.empty()
    slapd.restore(dumps)
    slapd.start()
    # Somebody writes: what has its state goes on from here, and is told of nothing older.
    slapd.add(user("later"))
    place.server.start()
    place.until(lambda: place.known("later"), "what was written since")
    assert place.rcpt("u8@d0.test") in (250, 451)
    place.until(lambda: place.rcpt("u8@d0.test") == 250, "the former address")
    place.until(lambda: place.rcpt("u5@d0.test") == 250, "the former status")
    place.until(lambda: place.rcpt("u8new@d0.test") == 550, "what is there no more")
