"""The cases of addresses and domains that have just come: what was missed a moment ago is not refused for that (R20)."""

import fake_dns
from ldap_cases import case, expect_failure
from slapd import PASSWORD, attributes, tree, user, user_dn
from tenant_cases import of_acme, source, two_tenants

# So that nothing but the look-up of a miss, or a command, brings anything.
SELDOM = 'sync = "incremental"\nincremental-every = "1 h"\n'
LONG = "1 h"


@case("a domain that was missed a moment ago is there as soon as it is added, and so are its users")
def missed_before(place):
    place.slapd_with()
    place.wasmta_with(SELDOM, remembered=LONG)
    assert place.rcpt("anna@new.test") == 550
    place.server.command("domain", "add", "new.test", "--administrator", "u1@d0.test")
    place.slapd.add(user("anna", "new.test"))
    assert place.rcpt("anna@new.test") == 250
    # An address that was missed, too, once the tree has it.
    assert place.rcpt("eva@new.test") == 550
    place.server.command("user", "add", "eva@new.test", "--password", "first word")
    assert place.rcpt("eva@new.test") == 250


@case("a user who has just come is found at a domain that the DNS alone leads here")
def at_a_domain_by_dns(place):
    fake = fake_dns.FakeDns({"by-dns.test": "mail.test"})
    try:
        place.slapd_with(tree() + [user("old", mail="old@by-dns.test")])
        table = f'[dns.tables.list]\ndomains = ["by-dns.test", "later.test"]\nservers = ["{fake.address}"]\nunknown-users = "refuse"\n'
        place.wasmta_with(SELDOM + table, remembered=LONG)
        place.until(lambda: place.rcpt("old@by-dns.test") == 250, "the table")
        assert place.rcpt("nobody@by-dns.test") == 550
        place.slapd.add(user("fresh", mail="fresh@by-dns.test"))
        assert place.rcpt("fresh@by-dns.test") == 250
        # Log-ins ask the DNS, too: at once, and without an answer that is no wrong password.
        place.slapd.add(user("soon", mail="soon@later.test"))
        fake.hosts["later.test"] = "mail.test"
        place.until(lambda: place.may_log_in("soon@later.test"), "the log-in", seconds=4)
        place.slapd.kill()
        assert place.rcpt("other@by-dns.test") == 451, "nobody can say that"
        assert place.rcpt("fresh@by-dns.test") == 250
    finally:
        fake.stop()


@case("what the mirror would not take back is not written to a tenant's server")
def not_written(place):
    acme = two_tenants(place)
    place.follows()
    commands = {
        "alias add a1@acme.test x@d0.test": "d0.test is a domain of the source ldap",
        "user set a1@acme.test mailAlternateAddress=x@d0.test": "d0.test is a domain of the source ldap",
        "domain set acme.test associatedDomain=other.test": "other.test is a domain of the source ldap",
    }
    for command, why in commands.items():
        assert why in str(expect_failure(place, *command.split())), command
    assert "x@d0.test" not in acme.search(of_acme(user_dn("a1", "acme.test")), "base").stdout
    assert "other.test" not in acme.search("o=acme.test,o=acme", "base").stdout
    assert source(place, "acme")["refused"] == []


@case("entries of a source that was taken out of the configuration hold no other one up")
def left_over(place):
    guarded = "removals-free = 1\nremovals-percent-max = 10\n"
    two_tenants(place, guarded)
    place.follows()
    place.server.stop()
    text = place.server.config.read_text()
    general, rest = text.split("[directory.tenants.acme]")
    place.server.config.write_text(general + rest[rest.index("[routing]"):])
    place.server.start()
    place.follows()
    place.slapd.delete(user_dn("u1"))
    place.until(lambda: not place.known("u1@d0.test"), "the one that is gone")
    done = place.sync("full")
    assert done["left_over"] > 10 and done["removed"] == 0, done
    assert place.known("a1@acme.test") and place.counter("sync_left_over") > 0
    # The guard of those that are the source's own stays on.
    done = place.sync("full", "--left-over")
    assert done["left_over"] == 0 and done["removed"] > 10, done
    assert not place.known("a1@acme.test") and place.known("u2@d0.test")


@case("a password that was changed at the server and in the file needs no restart")
def changed_password(place):
    who = "cn=wasmta,o=isp"
    entry = f"dn: {who}\n" + attributes(objectClass=["organizationalRole", "simpleSecurityObject"], cn="wasmta",
                                        userPassword=PASSWORD)
    place.slapd_with(tree() + [entry])
    place.wasmta_with(SELDOM, who=who, remembered="0 s")
    assert place.rcpt("fresh@d0.test") == 550
    place.slapd.must("ldappasswd", "-s", "another word", who)
    file = place.server.folder / "ldap.password"
    # Connections that are open go on by the old one.
    place.slapd.stop()
    place.slapd.start()
    place.slapd.add(user("fresh"))
    mend = "mend bind-dn, or the first line of password-file"
    place.until(lambda: place.rcpt("fresh@d0.test") == 451 and mend in place.log(), "the refusal", seconds=30)
    file.write_text("another word\n")
    place.until(lambda: place.rcpt("fresh@d0.test") == 250, "the new password", seconds=30)
