"""The cases: what a real slapd does, and what mail makes of it."""

import threading
from dataclasses import dataclass
from typing import Callable

import fake_ldap
import slapd
import wasmta_server
from ldap_place import VISIBLE_SECONDS_MAX
from slapd import domain_entries, group, group_dn, tree, user, user_dn


@dataclass
class Case:
    name: str
    run: Callable


ALL = []


def case(name):
    def register(run):
        ALL.append(Case(name, run))
        return run

    return register


@case("a new user gets mail at once, and reads it")
def fresh_user(place):
    place.slapd_with()
    place.wasmta_with()
    place.slapd.add(user("fresh"))
    # No waiting: what the tables do not know is asked about (R20).
    assert place.rcpt("fresh@d0.test") == 250
    place.deliver("fresh@d0.test", "welcome")
    assert place.read("fresh@d0.test", "welcome") is not None
    place.slapd.must("ldapadd", stdin="\n".join(domain_entries("new.test")))
    place.slapd.add(user("first", "new.test"))
    assert place.rcpt("first@new.test") == 250
    assert place.rcpt("first@alias-new.test") == 250


@case("live: additions, changes, removals and moves are seen within a second")
def live(place):
    place.slapd_with()
    place.wasmta_with('miss-timeout = "100 ms"')
    place.follows()

    def shown(name):
        return place.server.command("user", "show", name, check=False)

    def seen(holds, what):
        took = place.until(holds, what)
        assert took < VISIBLE_SECONDS_MAX, f"{what}: {took:.2f} s"

    place.slapd.add(user("one"))
    seen(lambda: "uid=one" in shown("one@d0.test"), "a new user")
    place.slapd.modify(user_dn("one"), "replace: mail\nmail: other@d0.test")
    seen(lambda: "uid=one" in shown("other@d0.test"), "a changed address")
    explained = place.explained("other@d0.test")
    assert f"[{user_dn('one')}; live sync, " in explained, explained
    assert "; full sync, " in explained, explained
    assert place.rcpt("one@d0.test") == 550 and place.rcpt("other@d0.test") == 250
    place.slapd.move(user_dn("one"), "uid=one", "ou=People,o=d1.test,o=isp")
    seen(lambda: "o=d1.test" in shown("other@d0.test"), "a move")
    place.slapd.delete(user_dn("one", "d1.test"))
    seen(lambda: "uid=one" not in shown("other@d0.test"), "a removal")
    assert place.rcpt("other@d0.test") == 550


@case("slapd dies: known addresses are taken, unknown ones deferred, also after a restart")
def outage(place):
    place.slapd_with()
    place.wasmta_with()
    assert place.rcpt("nobody@d0.test") == 550
    place.slapd.kill()
    assert place.rcpt("u1@d0.test") == 250
    assert place.rcpt("never-seen@d0.test") == 451
    place.deliver("u1@d0.test", "without slapd")
    assert place.read("u1@d0.test", "without slapd") is not None
    assert place.server.stop() == 0
    place.server.start()
    assert place.rcpt("u1@d0.test") == 250
    assert place.rcpt("never-seen@d0.test") == 451
    assert place.counter("directory_server_down") >= 1
    place.slapd.start()
    place.follows()
    place.slapd.add(user("never-seen"))
    place.until(lambda: place.rcpt("never-seen@d0.test") == 250, "slapd is followed again")


@case("a first start without a server refuses nobody for good")
def first_start(place):
    nobody = f"ldap://127.0.0.1:{wasmta_server.free_port()}"
    place.wasmta_with(servers=[nobody], wait=False)
    assert place.rcpt("u1@d0.test") == 451
    # The server tries by itself, too: one of the two is told that the other is under way.
    place.until(lambda: "no LDAP server answers" in place.sync("full", check=False).stderr, "the reason")


@case("what changed while nobody listened is caught up with")
def resumed(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    place.server.stop()
    place.slapd.add(user("meanwhile"))
    place.slapd.delete(user_dn("u9"))
    place.server.start()
    place.follows()
    place.until(lambda: place.rcpt("u9@d0.test") == 550, "the removal")
    assert place.rcpt("meanwhile@d0.test") == 250
    history = place.status()["history"]
    assert [record["kind"] for record in history] == ["full"], history


# Table 1 of the patent: what happened at the directory, how to see it here, whether an incremental sync sees it. A full one
# sees all. Access control: who may see an entry is changed, and no entry is.
TABLE_1 = [
    ("new users", True, lambda d: d.add(user("t-new")), lambda p: p.known("t-new@d0.test")),
    (
        "modified users", True,
        lambda d: d.modify(user_dn("u2"), "replace: mail\nmail: t-changed@d0.test"),
        lambda p: p.known("t-changed@d0.test"),
    ),
    ("deleted users", False, lambda d: d.delete(user_dn("u3")), lambda p: not p.known("u3@d0.test")),
    (
        "new members of lists", True,
        lambda d: d.modify(group_dn("all"), f"add: uniqueMember\nuniqueMember: {user_dn('u4')}"),
        lambda p: "u4@d0.test" in p.explained("all@d0.test"),
    ),
    (
        "members removed from lists", True,
        lambda d: d.modify(group_dn("all"), f"delete: uniqueMember\nuniqueMember: {user_dn('u1')}"),
        lambda p: "u1@d0.test" not in p.explained("all@d0.test"),
    ),
    (
        "access-control modifications", False,
        lambda d: d.rules(
            1, f'to dn.exact="{user_dn("u5")}" by * none', f'to * by dn.exact="{slapd.ADMIN}" write by * read'
        ),
        lambda p: not p.known("u5@d0.test"),
    ),
    ("new lists", True, lambda d: d.add(group("t-list", [user_dn("u0")])), lambda p: p.known("t-list@d0.test")),
    ("deleted lists", True, lambda d: d.delete(group_dn("all")), lambda p: not p.known("all@d0.test")),
]


def cell(place, row, kind):
    name, seen_by_incremental, change, is_seen = row
    place.slapd_with()
    # Nobody asks behind our back: the cell shows what one sync does. Bound as the reader, because an administrator sees all.
    place.wasmta_with('sync = "manual"', wait=False, who=slapd.READER)
    place.sync("full")
    assert not is_seen(place), "it is seen before it happened"
    change(place.slapd)
    place.sync(kind)
    if kind == "full" or seen_by_incremental:
        assert is_seen(place), f"{name}: not seen by the {kind} sync"
        if name == "new users":
            assert f"[{user_dn('t-new')}; {kind} sync, " in place.explained("t-new@d0.test")
    else:
        assert not is_seen(place), f"{name}: seen by the {kind} sync, which Table 1 says it is not"


def register_cells():
    for row in TABLE_1:
        for kind in ("full", "incremental"):
            said = "sees" if kind == "full" or row[1] else "does not see"
            ALL.append(Case(f"Table 1: {kind} {said} {row[0]}", lambda place, row=row, kind=kind: cell(place, row, kind)))


register_cells()


@case("an answer that lacks too much changes nothing, until somebody says that it is right")
def guarded(place):
    place.slapd_with(tree(users=40))
    place.wasmta_with('sync = "manual"', wait=False)
    place.sync("full")
    for number in range(20, 40):
        place.slapd.delete(user_dn(f"u{number}"))
        place.slapd.delete(user_dn(f"u{number}", "d1.test"))
    refused = place.sync("full", check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr, refused
    assert place.rcpt("u30@d0.test") == 250
    assert place.counter("sync_failed") == 1
    planned = place.sync("full", "--dry-run", "--force")
    assert planned["removed"] == 40 and len(planned["differences"]) == 40, planned
    assert place.rcpt("u30@d0.test") == 250
    assert place.sync("full", "--force")["removed"] == 40
    place.until(lambda: place.rcpt("u30@d0.test") == 550, "the removals")
    kinds = [(record["kind"], record["failure"] is None) for record in place.status()["history"]]
    assert kinds == [("full", True), ("full", False), ("full", True)], kinds


@case("one domain is synced alone, and a dry run changes nothing")
def alone(place):
    place.slapd_with()
    place.wasmta_with('sync = "manual"', wait=False)
    place.sync("full")
    for domain in ("d0.test", "d1.test"):
        place.slapd.add(user("late", domain))
        place.slapd.delete(user_dn("u9", domain))
    for kind, removed in (("full", 1), ("incremental", 0)):
        planned = place.sync(kind, "--domain", "d0.test", "--dry-run")
        assert (planned["added"], planned["removed"], planned["dry_run"]) == (1, removed, True), planned
        assert not place.known("late@d0.test")
    report = place.sync("incremental", "--domain", "d0.test")
    assert report["added"] == 1 and place.known("late@d0.test") and not place.known("late@d1.test"), report
    report = place.sync("full", "--domain", "d0.test")
    assert report["removed"] == 1 and not place.known("u9@d0.test") and place.known("u9@d1.test"), report
    place.slapd.add(user("twin", mail="u1@d0.test"))
    place.sync("full")
    shown = place.sync("status", "--domain", "alias-d0.test")
    assert (shown["dn"], shown["brought"]["way"], shown["known"]) == ("o=d0.test,o=isp", "full sync", True), shown
    assert [one["dn"] for one in shown["refused"]] == [user_dn("twin")], shown
    # The domain, its containers, ten users of whom one went and one came, and the list.
    assert shown["entries"] == 14, shown
    kinds = [(one["kind"], one["domain"]) for one in shown["history"]]
    assert kinds == [("full", None), ("full", "d0.test"), ("incremental", "d0.test"), ("full", None)], kinds
    other = place.sync("status", "--domain", "d1.test")
    assert other["refused"] == [] and len(other["history"]) == 2, other
    assert not place.sync("status", "--domain", "nobody.test")["known"]


@case("a referral is refused with its address, or left out")
def referral(place):
    elsewhere = "dn: ou=Elsewhere,o=isp\nobjectClass: referral\nobjectClass: extensibleObject\nou: Elsewhere\n"
    place.slapd_with(tree() + [elsewhere + "ref: ldap://other.example/ou=Elsewhere,o=isp\n"])
    place.wasmta_with('sync = "manual"', wait=False)
    failed = place.sync("full", check=False)
    assert failed.returncode == 1 and "other.example" in failed.stderr, failed
    place.server.stop()
    place.clean()
    place.wasmta_with('sync = "manual"\nreferrals = "ignore"', wait=False)
    place.sync("full")
    assert place.known("u1@d0.test")


@case("an address that two entries want stays where it is, and goes on when it is free")
def duplicate(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    place.slapd.add(user("twin", mail="u1@d0.test"))
    place.until(lambda: place.status()["refused"], "the refusal")
    (refused,) = place.status()["refused"]
    assert refused["dn"] == user_dn("twin") and refused["attribute"] == "mail", refused
    assert user_dn("u1") in refused["why"] and place.counter("sync_entry_refused") == 1
    assert user_dn("u1") in place.explained("u1@d0.test")
    place.slapd.delete(user_dn("u1"))
    place.until(lambda: user_dn("twin") in place.explained("u1@d0.test"), "the twin's turn")
    assert place.status()["refused"] == []


@case("two users exchange their addresses")
def exchanged(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    place.slapd.modify(user_dn("u1"), "replace: mail\nmail: u2@d0.test")
    place.until(lambda: place.status()["refused"], "the first one has to wait")
    place.slapd.modify(user_dn("u2"), "replace: mail\nmail: u1@d0.test")
    place.until(lambda: user_dn("u2") in place.explained("u1@d0.test"), "the exchange")
    assert user_dn("u1") in place.explained("u2@d0.test") and place.status()["refused"] == []


@case("a domain without change costs nothing")
def unchanged(place):
    place.slapd_with()
    place.wasmta_with('sync = "manual"', wait=False)
    place.sync("full")
    built = place.counter("tables_built")
    for kind in ("full", "incremental", "full"):
        report = place.sync(kind)
        assert report["added"] + report["modified"] + report["removed"] == 0, report
    # The same content, written anew: the source calls it modified, and it is not.
    place.slapd.modify(user_dn("u1"), "replace: sn\nsn: u1")
    assert place.sync("incremental")["modified"] == 0
    assert place.counter("tables_built") == built, "tables were built for nothing"
    place.slapd.modify(user_dn("u1"), "replace: mail\nmail: new@d0.test")
    place.sync("incremental")
    assert place.counter("tables_built") == built + 1
    assert "entries=1 " in place.log().rsplit("tables_built", 1)[1], "one entry was to be looked at"


@case("a server without live sync is asked at intervals")
def fallback(place):
    place.slapd_with(live=False)
    place.wasmta_with('incremental-every = "1 s"\nmiss-timeout = "100 ms"')
    place.until(lambda: "intervals" in str(place.status()["followers"]), "the fallback")
    place.slapd.modify(user_dn("u1"), "replace: mail\nmail: later@d0.test")
    place.until(lambda: "uid=u1" in place.server.command("user", "show", "later@d0.test", check=False), "the change")


@case("a cookie that the server has forgotten leads to a refresh")
def refresh_required(place):
    fake = fake_ldap.FakeLdap(forgets=True)
    try:
        place.wasmta_with(servers=[fake.url])
        place.follows()
        place.server.stop()
        fake.refusals = 1
        place.server.start()
        place.follows_bases()
        assert fake.refused == 2, f"each base is refused once: {fake.refused}"
        assert "refreshed" in place.log()
        assert place.rcpt("anna@fake.test") == 250
    finally:
        fake.stop()


@case("a server that talks nonsense harms nothing")
def nonsense(place):
    fake = fake_ldap.FakeLdap(forgets=False)
    try:
        place.wasmta_with(servers=[fake.url])
        place.follows()
        fake.nonsense = True
        failed = place.sync("full", check=False)
        assert failed.returncode == 1, failed
        assert place.rcpt("anna@fake.test") == 250
        assert place.rcpt("nobody@fake.test") == 451
    finally:
        fake.stop()


@case("full syncs and live changes at once end alike")
def at_once(place):
    place.slapd_with(tree(users=60))
    place.wasmta_with('removals-percent-max = 100')
    place.follows()
    stop = threading.Event()
    faults = []

    def syncs():
        while not stop.is_set():
            done = place.sync("full", check=False)
            if done.returncode != 0:
                faults.append(done.stderr)

    syncing = threading.Thread(target=syncs)
    syncing.start()
    try:
        for number in range(40):
            place.slapd.add(user(f"new{number}"))
            place.slapd.modify(user_dn(f"u{number}"), f"replace: sn\nsn: changed {number}")
            place.slapd.delete(user_dn(f"new{number}") if number % 2 else user_dn(f"u{number}"))
    finally:
        stop.set()
        syncing.join()
    assert not faults, faults[0]
    place.until(lambda: place.known("new38@d0.test") and not place.known("new39@d0.test"), "the last of them")
    left = place.sync("full", "--dry-run")
    assert (left["added"], left["modified"], left["removed"]) == (0, 0, 0), left
    for number in range(40):
        assert place.known(f"new{number}@d0.test") == (number % 2 == 0), number
        assert place.known(f"u{number}@d0.test") == (number % 2 == 1), number


@case("StartTLS and ldaps, with a certificate that is verified")
def encrypted(place):
    place.slapd_with(tls=True)
    authority = f'ca-file = "{place.slapd.folder}/ca.pem"'
    encrypted = f"ldaps://localhost:{place.slapd.tls_port}"
    for further, url in ((f"start-tls = true\n{authority}", place.slapd.url), (authority, encrypted)):
        place.wasmta_with(further, servers=[url])
        place.follows()
        place.server.stop()
        assert "sync_finished" in place.log()
        place.clean()
    # Another authority, or another name: nothing is said to such a server.
    (place.slapd.folder / "other.pem").write_text(other_authority(place))
    place.wasmta_with(f'ca-file = "{place.slapd.folder}/other.pem"', servers=[encrypted], wait=False)
    place.until(lambda: place.counter("directory_server_down") >= 1, "the refusal")
    assert place.status()["full_at"] is None and "ertificate" in place.log(), place.log()[-1000:]


def other_authority(place):
    import subprocess

    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "other.key", "-subj", "/CN=another"]
    return subprocess.run(
        ["openssl", *words], cwd=place.slapd.folder, check=True, capture_output=True, text=True
    ).stdout


@case("a subtree that moves is followed as a whole")
def subtree(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    place.slapd.add("dn: ou=Team,o=d0.test,o=isp\nobjectClass: organizationalUnit\nou: Team\n")
    place.slapd.add(user("member").replace("ou=People", "ou=Team"))
    place.until(lambda: place.known("member@d0.test"), "the user")
    place.slapd.move("ou=Team,o=d0.test,o=isp", "ou=Crew", "o=d0.test,o=isp")
    place.until(lambda: "ou=Crew" in place.server.command("user", "show", "member@d0.test"), "the subtree")
    assert place.rcpt("member@d0.test") == 250


@case("a source that was set back to a backup is believed")
def set_back(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    place.slapd.modify(user_dn("u1"), "replace: mail\nmail: changed@d0.test")
    place.until(lambda: place.known("changed@d0.test"), "the change")
    place.slapd.stop()
    place.slapd.empty()
    place.slapd.load(tree())
    place.slapd.start()
    place.follows()
    place.sync("full", "--force")
    assert place.known("u1@d0.test") and not place.known("changed@d0.test")


@case("a source that comes back nearly empty removes nothing")
def emptied(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    place.slapd.stop()
    place.slapd.empty()
    place.slapd.load(tree(domains=0))
    place.slapd.start()
    place.until(lambda: "lacks" in str(place.status()["followers"]), "the guard of the live sync")
    refused = place.sync("full", check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr, refused
    for user_number in range(10):
        assert place.rcpt(f"u{user_number}@d0.test") == 250
    place.sync("full", "--force")
    assert place.rcpt("u1@d0.test") == 550


@case("the second server takes over")
def failover(place):
    place.slapd_with()
    dead = f"ldap://127.0.0.1:{wasmta_server.free_port()}"
    place.wasmta_with(servers=[dead, place.slapd.url])
    place.follows()
    servers = {server["server"]: server["up"] for server in place.status()["servers"]}
    assert servers == {dead: False, place.slapd.url: True}, servers
    place.slapd.add(user("second"))
    assert place.rcpt("second@d0.test") == 250


@case("commands write to the LDAP server, parents first, and the result is there at once")
def written(place):
    place.slapd_with()
    place.wasmta_with()
    place.server.command("domain", "add", "new.branch.test")
    for dn in ("dc=new,dc=branch,dc=test,o=internet", "dc=branch,dc=test,o=internet", "o=new.branch.test,o=isp"):
        assert place.slapd.search(dn, "base").returncode == 0, dn
    place.server.command("user", "add", "eva@new.branch.test", "--password", "first word")
    assert place.rcpt("eva@new.branch.test") == 250
    assert place.may_log_in("eva@new.branch.test", "first word")
    place.server.command("user", "passwd", "eva@new.branch.test", "--password", "second word")
    assert not place.may_log_in("eva@new.branch.test", "first word")
    assert place.may_log_in("eva@new.branch.test", "second word")
    place.server.command("user", "remove", "eva@new.branch.test")
    assert place.slapd.search(user_dn("eva", "new.branch.test"), "base").returncode == 32
    assert place.rcpt("eva@new.branch.test") == 550
    place.server.command("domain", "remove", "new.branch.test")
    assert place.slapd.search("o=new.branch.test,o=isp", "base").returncode == 32


@case("a directory that may only be read refuses edits")
def read_only(place):
    place.slapd_with()
    place.wasmta_with("writable = false")
    assert "only read" in str(expect_failure(place, "user", "add", "eva@d0.test", "--password", "x"))
    assert place.slapd.search(user_dn("eva"), "base").returncode == 32


def expect_failure(place, *words):
    try:
        place.server.command(*words)
    except wasmta_server.ServerError as error:
        return error
    raise AssertionError(f"{words} did not fail")


@case("passwords are verified by bind")
def by_bind(place):
    place.slapd_with()
    place.wasmta_with('authenticate = "bind"')
    place.slapd.must("ldappasswd", "-s", "fresh word", user_dn("u1"))
    assert place.may_log_in("u1@d0.test", "fresh word")
    assert not place.may_log_in("u1@d0.test", "wrong")
    # While slapd is down the hash that was last shown counts.
    place.follows()
    place.slapd.kill()
    assert place.may_log_in("u2@d0.test")


@case("a user without a stored hash logs in by bind")
def clear_text(place):
    place.slapd_with()
    place.wasmta_with()
    place.slapd.add(user("plain", userPassword="in the clear"))
    assert place.rcpt("plain@d0.test") == 250
    assert place.may_log_in("plain@d0.test", "in the clear")
    shown = place.server.command("user", "show", "plain@d0.test")
    assert "clear" not in shown and "userPassword" not in shown, shown
    # What was right a while ago is asked about again.
    place.slapd.modify(user_dn("plain"), "replace: userPassword\nuserPassword: another word")
    place.until(lambda: not place.may_log_in("plain@d0.test", "in the clear"), "the former password", 30)
    assert place.may_log_in("plain@d0.test", "another word")
    place.slapd.kill()
    assert place.may_log_in("plain@d0.test", "another word")
    assert not place.may_log_in("plain@d0.test", "in the clear")


@case("three users pass their addresses round, and an organisation is renamed under its domain")
def rings(place):
    place.slapd_with()
    place.wasmta_with('miss-timeout = "100 ms"')
    place.follows()
    for holder, wanted in (("u1", "u2"), ("u2", "u3"), ("u3", "u1")):
        place.slapd.modify(user_dn(holder), f"replace: mail\nmail: {wanted}@d0.test")
    place.until(lambda: user_dn("u3") in place.explained("u1@d0.test"), "the ring")
    assert user_dn("u1") in place.explained("u2@d0.test") and user_dn("u2") in place.explained("u3@d0.test")
    assert place.status()["refused"] == []
    place.slapd.must("ldapadd", stdin="\n".join(domain_entries("moved.test")))
    place.until(lambda: place.rcpt("postmaster@moved.test") in (250, 550) and "moved.test" in place.server.command("domain", "list"), "the domain")
    place.slapd.must("ldapmodrdn", "-r", "o=moved.test,o=isp", "o=Moved")
    place.slapd.modify("dc=moved,dc=test,o=internet", "replace: inetDomainBaseDN\ninetDomainBaseDN: o=Moved,o=isp")
    place.until(lambda: "o=Moved,o=isp" in place.server.command("domain", "show", "moved.test"), "the new name")
    place.until(lambda: place.status()["refused"] == [], "nothing refused")


@case("what was refused under an earlier name does not come back when it is gone")
def renamed_while_refused(place):
    place.slapd_with()
    place.wasmta_with('miss-timeout = "100 ms"')
    place.follows()
    place.slapd.add(user("ha"))
    place.slapd.add(user("hb"))
    place.until(lambda: place.rcpt("hb@d0.test") == 250, "both")
    place.slapd.modify(user_dn("hb"), "replace: mail\nmail: ha@d0.test")
    place.until(lambda: place.status()["refused"], "a double address is refused")
    place.slapd.must("ldapmodrdn", "-r", user_dn("hb"), "uid=hc")
    place.until(lambda: "uid=hc" in str(place.status()["refused"]), "the new name")
    assert len(place.status()["refused"]) == 1, place.status()["refused"]
    place.slapd.delete(user_dn("hc"))
    place.slapd.delete(user_dn("ha"))
    place.until(lambda: place.rcpt("ha@d0.test") == 550, "nobody is left")
    assert place.status()["refused"] == []


@case("a base that is not there is no answer: nobody is refused for good")
def no_base(place):
    entries = [entry for entry in slapd.tree() if "o=internet" not in entry.splitlines()[0]]
    place.slapd = place.another_slapd(entries, suffixes=("o=isp",))
    place.wasmta_with('miss-timeout = "2 s"', wait=False)
    place.until(lambda: "o=internet is not there" in str(place.status()), "the base is named")
    for unknown in ("u1@elsewhere.test", "nobody@d0.test"):
        assert place.rcpt(unknown) == 451, unknown


@case("a changed address takes the mailbox along: by modification, with a move, and in a ring")
def mailbox_follows(place):
    place.slapd_with()
    place.wasmta_with('miss-timeout = "100 ms"')
    place.follows()
    for name in ("u1", "u2", "u3"):
        place.deliver(f"{name}@d0.test", f"for {name}")
    place.slapd.modify(user_dn("u1"), "replace: mail\nmail: married@d0.test")
    place.until(lambda: place.rcpt("married@d0.test") == 250, "the new address")
    place.deliver("married@d0.test", "later")
    assert place.read("married@d0.test", "for u1") is not None
    assert place.read("married@d0.test", "later") is not None
    # To another domain, with another name, by two operations: each moves the mailbox.
    place.slapd.move(user_dn("u1"), "uid=married", "ou=People,o=d1.test,o=isp")
    place.slapd.modify(user_dn("married", "d1.test"), "replace: mail\nmail: other@d1.test")
    place.until(lambda: place.rcpt("other@d1.test") == 250, "the other domain")
    assert place.read("other@d1.test", "for u1") is not None
    # They take each other's: nobody sees the other's mail.
    place.slapd.modify(user_dn("u2"), "replace: mail\nmail: u3@d0.test")
    place.until(lambda: place.status()["refused"], "the first one has to wait")
    place.slapd.modify(user_dn("u3"), "replace: mail\nmail: u2@d0.test")
    place.until(lambda: user_dn("u3") in place.explained("u2@d0.test"), "the exchange")
    assert place.read("u2@d0.test", "for u3") is not None and place.read("u2@d0.test", "for u2") is None
    assert place.read("u3@d0.test", "for u2") is not None and place.read("u3@d0.test", "for u3") is None
    # While nobody listens, and found by a full sync.
    place.server.stop()
    place.slapd.modify(user_dn("u3"), "replace: mail\nmail: third@d0.test")
    place.server.start()
    place.until(lambda: place.rcpt("third@d0.test") == 250, "what changed meanwhile")
    assert place.read("third@d0.test", "for u3") is not None
    # In two steps, with another name of the entry in between.
    place.follows()
    place.slapd.modify(user_dn("u3"), "delete: mail")
    place.until(lambda: place.rcpt("third@d0.test") == 550, "nobody has it")
    place.slapd.must("ldapmodrdn", "-r", user_dn("u3"), "uid=fourth")
    place.until(lambda: place.known("fourth"), "its name")
    place.slapd.modify(user_dn("fourth"), "add: mail\nmail: fourth@d0.test")
    place.until(lambda: place.rcpt("fourth@d0.test") == 250, "the new one")
    assert place.read("fourth@d0.test", "for u3") is not None
    assert place.counter("account_not_moved") == 0


@case("a dry run counts what the run does, moves too")
def counted_alike(place):
    place.slapd_with()
    place.wasmta_with('sync = "manual"', wait=False)
    place.sync("full")

    def change(number):
        place.slapd.must("ldapmodrdn", "-r", user_dn(f"u{number}"), f"uid=renamed{number}")
        place.slapd.move(user_dn(f"u{number + 1}"), f"uid=moved{number}", "ou=People,o=d1.test,o=isp")
        place.slapd.modify(user_dn(f"u{number + 2}"), f"replace: mail\nmail: x{number}@d0.test")
        place.slapd.add(user(f"fresh{number}"))

    for number, kind in ((1, "full"), (5, "incremental")):
        change(number)
        counts = [
            tuple(report[what] for what in ("added", "modified", "moved", "removed", "refused"))
            for report in (place.sync(kind, "--dry-run"), place.sync(kind))
        ]
        assert counts == [(1, 1, 2, 0, 0)] * 2, (kind, counts)


@case("a name that is used again brings no mailbox with it")
def name_used_again(place):
    place.slapd_with()
    place.wasmta_with('sync = "manual"\nmiss-timeout = "100 ms"', wait=False)
    place.sync("full")
    for name in ("u1", "u2", "u3", "u4"):
        place.deliver(f"{name}@d0.test", f"for {name}")
    for number, kind in ((1, "full"), (3, "incremental")):
        gone, moves = f"u{number}", f"u{number + 1}"
        # Somebody new has the uid of somebody who left.
        place.slapd.delete(user_dn(gone))
        place.slapd.add(user(gone, mail=f"new{number}@d0.test"))
        # Somebody takes over the uid of that one, too, and has another address since.
        place.slapd.must("ldapmodrdn", "-r", user_dn(gone), f"uid=other{number}")
        place.slapd.must("ldapmodrdn", "-r", user_dn(moves), f"uid={gone}")
        place.slapd.modify(user_dn(gone), f"replace: mail\nmail: seven{number}@d0.test")
        place.sync(kind)
        assert place.read(f"new{number}@d0.test", f"for {gone}") is None, kind
        assert place.read(f"seven{number}@d0.test", f"for {moves}") is not None, kind
        assert place.read(f"seven{number}@d0.test", f"for {gone}") is None, kind


@case("two entries exchange their names, with or without their addresses")
def names_exchanged(place):
    place.slapd_with()
    place.wasmta_with('sync = "manual"\nmiss-timeout = "100 ms"', wait=False)
    place.sync("full")

    def exchange(one, other):
        for old, new in ((one, "tmp"), (other, one), ("tmp", other)):
            place.slapd.must("ldapmodrdn", "-r", user_dn(old), f"uid={new}")

    for name in ("u1", "u2", "u3", "u4"):
        place.deliver(f"{name}@d0.test", f"for {name}")
    exchange("u1", "u2")
    exchange("u3", "u4")
    for name, mail in (("u3", "x@d0.test"), ("u4", "u4@d0.test"), ("u3", "u3@d0.test")):
        place.slapd.modify(user_dn(name), f"replace: mail\nmail: {mail}")
    place.sync("full")
    assert place.status()["refused"] == []
    place.slapd.stop()
    assert [place.rcpt(f"u{number}@d0.test") for number in (1, 2, 3, 4)] == [250] * 4
    assert place.read("u1@d0.test", "for u1") is not None and place.read("u2@d0.test", "for u2") is not None
    # The addresses went with the names: so did whose they are.
    assert place.read("u4@d0.test", "for u3") is not None and place.read("u3@d0.test", "for u4") is not None


@case("more users pass their addresses round than one batch takes")
def passed_round(place):
    # 2,100 in one ring, 150 pairs far from each other, and the last one takes the address of somebody who left.
    ring, users = 2100, 2402
    place.slapd_with(tree(domains=1, users=users))
    place.wasmta_with('sync = "manual"\nmiss-timeout = "100 ms"', wait=False)
    place.sync("full")
    seen = (0, 1000, ring - 1, ring, ring + 299, users - 1)
    for number in seen:
        place.deliver(f"u{number}@d0.test", f"for {number}")
    takes = {number: (number + 1) % ring for number in range(ring)}
    takes |= {ring + number: ring + 299 - number for number in range(300)}
    takes |= {users - 1: users - 2}
    place.slapd.delete(user_dn(f"u{users - 2}"))
    place.slapd.must(
        "ldapmodify",
        stdin="".join(
            f"dn: {user_dn(f'u{number}')}\nchangetype: modify\nreplace: mail\nmail: u{other}@d0.test\n\n"
            for number, other in takes.items()
        ),
    )
    report = place.sync("full")
    counts = tuple(report[what] for what in ("added", "modified", "moved", "removed", "refused"))
    assert counts == (0, len(takes), 0, 1, 0), counts
    assert place.status()["refused"] == [] and place.counter("sync_entry_refused") == 0
    for number in seen:
        assert user_dn(f"u{number}") in place.explained(f"u{takes[number]}@d0.test"), number
        assert place.read(f"u{takes[number]}@d0.test", f"for {number}") is not None, number
    assert place.counter("account_not_moved") == 0
