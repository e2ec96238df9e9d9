"""The cases of several LDAP directories: each tenant's own servers, subtrees and domains (R4)."""

import fake_ldap
import slapd
from ldap_cases import case
from slapd import attributes, domain_entries, tree, user, user_dn

TOP = "dn: o=acme\n" + attributes(objectClass=["top", "organization"], o="acme")
TENANT = """
[directory.tenants.acme]
servers = ["{url}"]
bases = ["o=acme"]
domains = ["acme.test", ".acme.test"]
bind-dn = "cn=admin,o=acme"
password-file = "ldap.password"
connect-timeout = "2 s"
operation-timeout = "5 s"
miss-remembered = "1 s"
"""


def of_acme(text):
    return text.replace("o=isp", "o=acme")


def acme_entries(users=10):
    organisation, people, groups, _ = domain_entries("acme.test")
    organisation = organisation.replace("associatedDomain: alias-acme.test", "associatedDomain: alias.acme.test")
    users = [user(f"a{one}", "acme.test") for one in range(users)]
    return [TOP] + [of_acme(entry) for entry in [organisation, people, groups, *users]]


def two_tenants(place, further="", tenant="", wait=True, users=10):
    """The general directory, and one of a tenant's own."""
    acme = place.another_slapd(acme_entries(users), suffixes=("o=acme",))
    place.slapd_with(tree(users=users))
    place.wasmta_with(further + TENANT.format(url=acme.url) + tenant, wait=wait)
    return acme


def source(place, name):
    (one,) = [one for one in place.status()["sources"] if one["source"] == name]
    return one


@case("a tenant's users come from the tenant's own servers, and log in there")
def own_servers(place):
    acme = two_tenants(place, tenant='authenticate = "bind"\n')
    place.follows()
    assert place.rcpt("a1@acme.test") == 250 and place.rcpt("u1@d0.test") == 250
    assert place.rcpt("nobody@acme.test") == 550 and place.rcpt("nobody@d0.test") == 550
    acme.add(of_acme(user("fresh", "acme.test")))
    assert place.rcpt("fresh@acme.test") == 250
    acme.modify(of_acme(user_dn("a2", "acme.test")), "replace: mail\nmail: second@acme.test")
    place.until(lambda: place.known("second@acme.test"), "the change")
    acme.must("ldappasswd", "-s", "fresh word", of_acme(user_dn("a1", "acme.test")))
    assert place.may_log_in("a1@acme.test", "fresh word") and not place.may_log_in("a1@acme.test", "wrong")
    assert place.may_log_in("u1@d0.test")
    # What is new goes where the domain belongs.
    place.server.command("user", "add", "eva@acme.test", "--password", "first word")
    place.server.command("domain", "add", "sub.acme.test", "--administrator", "a1@acme.test")
    place.server.command("domain", "add", "new.test", "--administrator", "u1@d0.test")
    assert acme.search("o=sub.acme.test,o=acme", "base").returncode == 0
    assert place.slapd.search("o=new.test,o=isp", "base").returncode == 0
    assert place.rcpt("eva@acme.test") == 250 and place.rcpt("postmaster@sub.acme.test") == 250
    assert "acme" in place.server.command("sync", "status")
    shown = place.server.command("sync", "status", "--domain", "alias.acme.test")
    assert "source acme" in shown and "o=acme.test,o=acme" in shown, shown


@case("a tenant names no other's domains, addresses or entries")
def not_anothers(place):
    acme = two_tenants(place)
    place.follows()
    stolen = domain_entries("d1.test")[0].replace("associatedDomain: alias-d1.test", "associatedDomain: x.acme.test")
    acme.add(of_acme(stolen))
    acme.add(of_acme(user("thief", "acme.test", mailAlternateAddress=["u1@d0.test", "victim@d0.test"])))
    acme.modify("o=acme.test,o=acme", "add: associatedDomain\nassociatedDomain: other.test")
    place.until(lambda: len(source(place, "acme")["refused"]) == 3, "the refusals")
    refused = {one["dn"]: one for one in source(place, "acme")["refused"]}
    assert refused["o=d1.test,o=acme"]["attribute"] == "sunPreferredDomain", refused
    assert all("domain of the source ldap" in one["why"] for one in refused.values()), refused
    assert source(place, "ldap")["refused"] == []
    # Nor is the other one's asked for, and what was good before is good still.
    place.sync("full")
    assert place.rcpt("victim@d0.test") == 550 and place.rcpt("u1@d1.test") == 250
    assert user_dn("u1") in place.explained("u1@d0.test")
    assert place.rcpt("a1@acme.test") == 250 and place.rcpt("a1@alias.acme.test") == 250
    assert place.rcpt("thief@acme.test") == 451, "it is there, and cannot be taken"


@case("a tenant's server that lies about others' entries changes none of them")
def liar(place):
    domain = {"objectClass": ["top", "organization", "mailDomain"], "sunPreferredDomain": ["acme.test"]}
    honest = {
        "o=acme": {"objectClass": ["top", "organization"], "o": ["acme"]},
        "o=acme.test,o=acme": domain,
        "uid=a1,o=acme.test,o=acme": {"objectClass": ["top", "inetMailUser"], "uid": ["a1"], "mail": ["a1@acme.test"]},
    }
    fake = fake_ldap.FakeLdap(tree=honest)
    try:
        place.slapd_with()
        fake.strangers = {user_dn("u1"): {"objectClass": ["top", "inetMailUser"], "mail": ["a1@acme.test"]}}
        place.wasmta_with(TENANT.format(url=fake.url))
        place.follows()
        assert place.rcpt("a1@acme.test") == 250
        (refused,) = source(place, "acme")["refused"]
        assert refused["dn"] == user_dn("u1") and "outside of the bases of acme" in refused["why"], refused
        assert user_dn("u1") in place.explained("u1@d0.test")
        # It shows nothing more: its own guard says no, and nobody else's entries are counted.
        fake.tree, fake.strangers = {"o=acme": honest["o=acme"]}, {}
        done = place.sync("full", "--source", "acme", "--dry-run")
        assert done["removed"] == 2, done
        place.sync("full")
        assert place.known("u1@d0.test") and not place.known("a1@acme.test")
    finally:
        fake.stop()


@case("a tenant that is down holds no other back")
def one_is_down(place):
    acme = two_tenants(place)
    place.follows()
    acme.kill()
    done = place.sync("full", check=False)
    assert done.returncode == 1 and "acme" in done.stdout, done
    place.slapd.add(user("live"))
    place.until(lambda: place.known("live@d0.test"), "a change of the other one")
    assert place.rcpt("never-seen@d0.test") == 550 and place.rcpt("never-seen@acme.test") == 451
    assert place.rcpt("a1@acme.test") == 250
    # From the start, too: nothing is known of the tenant, and all of the other.
    place.server.stop()
    place.clean()
    place.server.start()
    place.until(lambda: source(place, "ldap")["full_at"] is not None, "the full sync of the one that is up")
    place.until(lambda: place.rcpt("u1@d0.test") == 250, "its tables")
    assert source(place, "acme")["full_at"] is None and place.rcpt("a1@acme.test") == 451
    assert place.rcpt("never-seen@d0.test") == 550
    acme.start()
    place.until(lambda: place.rcpt("a1@acme.test") == 250, "the tenant, once it is there", seconds=30)


@case("what a tenant lacks is the tenant's alone, and so is its guard")
def own_guard(place):
    acme = two_tenants(place, "removals-free = 0\nremovals-percent-max = 0\n")
    place.follows()
    acme.stop()
    acme.empty()
    acme.load([TOP, of_acme(domain_entries("acme.test")[0].replace("alias-acme", "alias.acme"))])
    acme.start()
    refused = place.sync("full", "--source", "acme", check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr, refused
    place.sync("full", "--source", "ldap")
    assert place.known("a1@acme.test")
    place.sync("full", "--source", "acme", "--force")
    assert not place.known("a1@acme.test") and place.known("u1@d0.test")
    kinds = [(one["source"], one["failure"] is None) for one in source(place, "acme")["history"]]
    assert kinds[:2] == [("acme", True), ("acme", False)], kinds
    assert all(one["failure"] is None for one in source(place, "ldap")["history"])


@case("large directories are taken over beside each other, while both change")
def side_by_side(place):
    acme = two_tenants(place, users=3000, wait=False)
    for number in range(20):
        acme.add(of_acme(user(f"new{number}", "acme.test")))
        place.slapd.add(user(f"new{number}"))
        acme.delete(of_acme(user_dn(f"a{number}", "acme.test")))
    place.until(lambda: all(source(place, name)["full_at"] for name in ("ldap", "acme")), "both full syncs", seconds=60)
    place.follows()
    place.until(lambda: place.known("new19@acme.test") and place.known("new19@d0.test"), "the last changes")
    left = place.sync("full", "--dry-run")["sources"]
    assert [(one["added"], one["modified"], one["removed"]) for one in left] == [(0, 0, 0)] * 2, left
    assert not place.known("a19@acme.test") and place.known("a20@acme.test") and place.known("u19@d1.test")


@case("domains that are given to another source go over to it, and those of a source that is gone go")
def given_away(place):
    two_tenants(place, "removals-percent-max = 100\n", "removals-percent-max = 100\n")
    place.follows()
    place.server.stop()
    text = place.server.config.read_text()
    place.server.config.write_text(text.replace('domains = ["acme.test", ".acme.test"]', 'domains = ["else.test"]'))
    place.server.start()
    place.sync("full")
    assert not place.known("a1@acme.test") and place.known("u1@d0.test")
    place.server.stop()
    place.server.config.write_text(text)
    place.server.start()
    place.sync("full")
    assert place.known("a1@acme.test")
    place.server.stop()
    general, rest = text.split("[directory.tenants.acme]")
    place.server.config.write_text(general + rest[rest.index("[routing]"):])
    place.server.start()
    place.sync("full")
    assert not place.known("a1@acme.test") and place.known("u1@d0.test")
