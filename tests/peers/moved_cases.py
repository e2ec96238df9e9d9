"""Entries that change their names at the directory: whole subtrees, of which a server tells by their tops alone, and names that
change in their spelling."""

from ldap_cases import case
from slapd import group, group_dn, tree, user, user_dn

USERS = 1500
# Nothing but a rename asks for a full sync.
ONCE_A_DAY = 'full-every = "1 d"\nremovals-free = 100\nauthenticate = "bind"\n'


def renamed(dn):
    return dn.replace("ou=People", "ou=Staff")


def crowd(place, users=USERS):
    """A domain of many users, and a group of the last one."""
    last = user_dn(f"b{users - 1}", "d1.test")
    entries = tree(domains=2, users=2) + [user(f"b{number}", "d1.test") for number in range(users)]
    place.slapd_with(entries + [group("owner", [last], "d1.test")])
    place.wasmta_with(ONCE_A_DAY)
    place.follows()
    assert place.rcpt("owner@d1.test") == 250
    return last


def rename(place, last):
    place.slapd.must("ldapmodrdn", "-r", "ou=People,o=d1.test,o=isp", "ou=Staff")
    place.slapd.modify(group_dn("owner", "d1.test"), f"replace: uniqueMember\nuniqueMember: {renamed(last)}")


def has_moved(place, last):
    uid, _, organisation, *_ = (part.split("=")[1] for part in last.split(","))
    address = f"{uid}@{organisation}"
    place.until(lambda: renamed(last) in place.server.command("user", "show", address), f"{address} has moved", 60)
    assert place.may_log_in(address) and place.rcpt("owner@d1.test") == 250


@case("a subtree is renamed and the server killed at once: all of it is there after the start")
def killed_after_rename(place):
    last = crowd(place)
    built = place.log().count("tables_built")
    rename(place, last)
    place.until(lambda: place.log().count("tables_built") > built, "the rename is heard of")
    place.server.kill()
    place.server.start()
    has_moved(place, last)


@case("a subtree is renamed while another one is being taken over: it is taken over, too")
def renamed_meanwhile(place):
    last = crowd(place)
    rename(place, last)
    assert place.rcpt("owner@d1.test") in (250, 451), "a group whose members are on their way is never told to have none"
    place.slapd.must("ldapmodrdn", "-r", "ou=People,o=d0.test,o=isp", "ou=Staff")
    has_moved(place, last)
    has_moved(place, user_dn("u1"))


@case("whose name at the server has changed, and is still coming in, has no wrong password")
def verified_meanwhile(place):
    users = 4 * USERS
    crowd(place, users)
    place.slapd.must("ldapmodrdn", "-r", "ou=People,o=d1.test,o=isp", "ou=Staff")
    place.until(lambda: place.status()["full_wanted"], "the rename is heard of")
    answers = []
    while place.status()["full_wanted"]:
        # By its former name nobody can bind any more; another one each time, for who was let in is not asked about again.
        users -= 1
        answers.append(place.may_log_in(f"b{users}@d1.test"))
    assert answers and all(answers), answers
    assert "authentication_failed" not in place.log()


@case("a name that changes in its spelling alone stays one entry, and goes as one")
def respelt(place):
    place.slapd_with(tree(domains=1, users=3))
    place.wasmta_with(ONCE_A_DAY)
    place.follows()
    place.slapd.must("ldapmodrdn", "-r", user_dn("u0"), "uid=U0")
    place.until(lambda: "uid=U0" in place.server.command("user", "show", "u0@d0.test"), "the new spelling")
    assert place.rcpt("u0@d0.test") == 250
    place.slapd.delete(user_dn("u0"))
    place.until(lambda: place.rcpt("u0@d0.test") == 550, "it is gone")


@case("an address that goes from one who is gone to somebody new is the new one's, also where deletions are seen late")
def taken_over(place):
    place.slapd_with(tree(domains=1, users=5))
    place.wasmta_with('sync = "incremental"\nincremental-every = "1 h"\nfull-every = "1 d"\n')
    place.slapd.delete(user_dn("u4"))
    place.slapd.add(user("fresh", mail="u4@d0.test"))
    # Beside it one that two claim who are both there.
    place.slapd.modify(user_dn("u3"), "replace: mail\nmail: u2@d0.test")
    place.sync("incremental")
    assert "uid=fresh" in place.explained("u4@d0.test") and "uid=u2" in place.explained("u2@d0.test")
    refused = place.status()["refused"]
    assert [one["attribute"] for one in refused] == ["mail"] and "uid=u3" in str(refused), refused
    # What would be refused again is no difference that a full sync would make.
    report = place.sync("full", "--dry-run")
    assert report["modified"] == 0 and report["refused"] == 1, report


@case("of those who are gone and have what others want, an incremental sync takes away no more than is believed")
def taken_over_by_many(place):
    place.slapd_with(tree(domains=1, users=12))
    place.wasmta_with('sync = "manual"\nremovals-free = 2\nremovals-percent-max = 1\n', wait=False)
    place.sync("full")

    def take_over(*numbers):
        for number in numbers:
            place.slapd.delete(user_dn(f"u{number}"))
            place.slapd.add(user(f"fresh{number}", mail=f"u{number}@d0.test"))

    take_over(1, 2)
    place.sync("incremental")
    take_over(3, 4, 5)
    refused = place.sync("incremental", check=False)
    assert refused.returncode == 1 and "lacks 3 of" in refused.stderr, refused
    for number, who in ((1, "fresh"), (2, "fresh"), (3, "u"), (4, "u"), (5, "u")):
        assert f"uid={who}{number}" in place.explained(f"u{number}@d0.test"), number
    place.sync("full", "--force")
    assert "uid=fresh5" in place.explained("u5@d0.test")
