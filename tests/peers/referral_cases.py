"""The cases of referrals: what lies on another LDAP server (RFC 4511 §4.1.10, §4.5.3)."""

import contextlib

import fake_ldap
import wasmta_server
from ldap_cases import case
from slapd import attributes, domain_entries, tree, user, user_dn

FAR = "o=far.test,o=isp"


def named(*servers):
    listed = ", ".join(f'"{server}"' for server in servers)
    return f'referrals = "follow"\nreferral-servers = [{listed}]'


def reference(url):
    return f"dn: {FAR}\n" + attributes(objectClass=["referral", "extensibleObject"], o="far.test", ref=f"{url}/{FAR}")


def far_entries():
    """A domain whose organisation lies on another server; its node in the DC tree does not."""
    organisation, people, groups, node = domain_entries("far.test")
    top = "dn: o=isp\n" + attributes(objectClass=["top", "organization"], o="isp")
    other = "dn: o=internet\n" + attributes(objectClass=["top", "organization"], o="internet")
    return node, [top, other, organisation, people, groups] + [user(f"f{one}", "far.test") for one in range(5)]


def two_servers(place, further=""):
    node, entries = far_entries()
    far = place.another_slapd(entries)
    place.slapd_with(tree() + [reference(far.url), node])
    place.wasmta_with(f"{named(far.url)}\n{further}", wait="manual" not in further)
    return far


@contextlib.contextmanager
def fakes(count):
    servers = [fake_ldap.FakeLdap() for _ in range(count)]
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


@case("what lies on another server is found there, by full sync, by look-up and at intervals")
def followed(place):
    far = two_servers(place, 'incremental-every = "1 s"')
    place.follows_bases()
    assert place.rcpt("f1@far.test") == 250 and place.rcpt("u1@d0.test") == 250
    assert place.rcpt("nobody@far.test") == 550
    states = {follower["base"]: follower["state"] for follower in place.status()["followers"]}
    assert far.url in states[FAR], states
    # A look-up, at the other server.
    far.add(user("fresh", "far.test"))
    assert place.rcpt("fresh@far.test") == 250
    # Changes, at intervals.
    far.modify(user_dn("f1", "far.test"), "replace: mail\nmail: other@far.test")
    place.until(lambda: "uid=f1" in place.server.command("user", "show", "other@far.test", check=False), "the change")
    # A refresh of everything that the first server has says nothing of what it has not.
    place.server.stop()
    place.slapd.modify(user_dn("u2"), "replace: mail\nmail: second@d0.test")
    place.server.start()
    place.follows_bases()
    assert place.rcpt("second@d0.test") == 250 and place.rcpt("f2@far.test") == 250


@case("a reference that comes while everything is followed live is followed too")
def new_reference(place):
    node, entries = far_entries()
    far = place.another_slapd(entries)
    place.slapd_with()
    place.wasmta_with(named(far.url))
    place.follows_bases()
    place.slapd.must("ldapadd", stdin=node)
    place.slapd.must("ldapadd", "-M", stdin=reference(far.url))
    place.until(lambda: place.known("f1@far.test"), "what lies there")
    assert place.rcpt("f1@far.test") == 250 and place.known("u1@d0.test")


@case("edits and binds go to the server that has the entry")
def edits_follow(place):
    far = two_servers(place, 'authenticate = "bind"')
    place.server.command("user", "add", "eva@far.test", "--password", "first word")
    assert far.search(user_dn("eva", "far.test"), "base").returncode == 0
    assert place.rcpt("eva@far.test") == 250
    far.must("ldappasswd", "-s", "fresh word", user_dn("f1", "far.test"))
    assert place.may_log_in("f1@far.test", "fresh word") and not place.may_log_in("f1@far.test", "wrong")
    assert place.may_log_in("u1@d0.test")
    place.server.command("user", "remove", "eva@far.test")
    assert far.search(user_dn("eva", "far.test"), "base").returncode == 32


@case("a part that is not reached makes no answer: nothing changes, and nothing is refused for good")
def partial(place):
    far = two_servers(place, 'sync = "manual"')
    place.sync("full")
    far.kill()
    place.slapd.delete(user_dn("u9"))
    place.slapd.add(user("meanwhile"))
    for kind in ("full", "incremental"):
        failed = place.sync(kind, "--force", check=False)
        assert failed.returncode == 1 and FAR in failed.stderr, failed
    assert place.known("u9@d0.test") and place.known("f1@far.test") and not place.known("meanwhile@d0.test")
    assert place.rcpt("f1@far.test") == 250
    assert place.rcpt("never-seen@far.test") == 451
    far.start()
    place.sync("full")
    assert not place.known("u9@d0.test") and place.known("f1@far.test") and place.known("meanwhile@d0.test")


@case("a reference that goes takes what lay there with it, by a full sync")
def reference_gone(place):
    two_servers(place, 'sync = "manual"\nremovals-percent-max = 100')
    place.sync("full")
    place.slapd.must("ldapdelete", "-M", FAR)
    place.sync("full")
    assert not place.known("f1@far.test") and place.known("u1@d0.test")


@case("a server that nobody named hears nothing of us")
def not_named(place):
    with fakes(2) as (first, other):
        place.wasmta_with(f'sync = "manual"\n{named(first.url)}', servers=[first.url], wait=False)
        place.sync("full")
        first.references = {"o=isp": [[f"{other.url}/ou=x,o=isp"]]}
        failed = place.sync("full", check=False)
        assert failed.returncode == 1 and "referral-servers" in failed.stderr and other.url in failed.stderr, failed
        first.references, first.referrals = {}, {"o=isp": [f"{other.url}/o=isp", "http://[::1]/", "nonsense"]}
        assert place.sync("full", check=False).returncode == 1
        assert place.rcpt("nobody@fake.test") == 451 and place.rcpt("anna@fake.test") == 250
        assert other.connections == 0 and first.binds


@case("servers that point to each other are asked once, and have nothing")
def loop(place):
    with fakes(2) as (first, other):
        place.wasmta_with(f'sync = "manual"\n{named(other.url)}', servers=[first.url], wait=False)
        place.sync("full")
        # Each says that the other one has the base.
        first.referrals, other.referrals = {"o=isp": [f"{other.url}/o=isp"]}, {"o=isp": [f"{first.url}/o=isp"]}
        before = other.connections
        failed = place.sync("full", "--force", check=False)
        assert failed.returncode == 1 and "each other" in failed.stderr, failed
        assert other.connections == before + 1 and place.rcpt("anna@fake.test") == 250
        # Each has it, and says that the other one has more of it: that is read once.
        first.referrals, other.referrals = {}, {}
        first.references, other.references = {"o=isp": [[f"{other.url}/o=isp"]]}, {"o=isp": [[f"{first.url}/o=isp"]]}
        before = other.connections
        report = place.sync("full")
        assert other.connections == before + 1 and report["removed"] == 0, report


@case("a chain of references ends, and so does a flood of them")
def chain(place):
    with fakes(1) as (first,):
        place.wasmta_with(f'sync = "manual"\n{named(first.url)}', servers=[first.url], wait=False)
        place.sync("full")
        first.deeper = True
        failed = place.sync("full", "--force", check=False)
        assert failed.returncode == 1 and "more than 10 servers away" in failed.stderr, failed
        first.deeper, first.references = False, {"o=isp": [[f"{first.url}/ou={one},o=isp"] for one in range(300)]}
        failed = place.sync("full", "--force", check=False)
        assert failed.returncode == 1 and "more than 256 references" in failed.stderr, failed
        assert place.known("anna@fake.test")


@case("of several servers that have a part, one that answers will do")
def either(place):
    with fakes(2) as (first, other):
        dead = f"ldap://127.0.0.1:{wasmta_server.free_port()}"
        place.wasmta_with(f'sync = "manual"\n{named(dead, other.url)}', servers=[first.url], wait=False)
        first.references = {"o=isp": [[f"{dead}/o=fake.test,o=isp??sub", f"{other.url}/o=fake.test,o=isp??sub"]]}
        place.sync("full")
        assert other.connections == 1 and place.known("anna@fake.test")
        # The name is asked for, and bound with, as at the first server.
        assert other.binds == ["cn=admin,o=isp"], other.binds
