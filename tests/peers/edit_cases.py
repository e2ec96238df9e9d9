"""Any entry, changed by command: what is written to the LDAP server, and what mail makes of it."""

from ldap_cases import case, expect_failure
from slapd import user_dn


@case("attributes, addresses, groups and LDIF are written to the LDAP server, too")
def edited(place):
    place.slapd_with()
    place.wasmta_with()
    command = place.server.command
    command("domain", "add", "edit.test")
    command("user", "add", "eva@edit.test", "--password", "first word")
    command("user", "set", "eva@edit.test", "mailUserStatus=inactive", "mailQuota=2M")
    assert place.rcpt("eva@edit.test") == 450
    assert "mailQuota: 2M" in place.slapd.search(user_dn("eva", "edit.test"), "base").stdout
    command("user", "set", "eva@edit.test", "mailUserStatus=active", "mailQuota=")
    assert "mailQuota" not in place.slapd.search(user_dn("eva", "edit.test"), "base").stdout
    command("alias", "add", "eva@edit.test", "e.v.a@edit.test")
    assert place.rcpt("e.v.a@edit.test") == 250
    command("group", "add", "crew@edit.test", "eva@edit.test")
    assert place.rcpt("crew@edit.test") == 250
    crew = "cn=crew,ou=Groups,o=edit.test,o=isp"
    command("group", "member", "add", "crew@edit.test", "far@elsewhere.test")
    assert "far@elsewhere.test" in place.slapd.search(crew, "base").stdout
    ldif = place.server.folder / "changes.ldif"
    dn = user_dn("eva", "edit.test")
    ldif.write_text(
        f"dn: {dn}\nchangetype: modify\nreplace: mailAlternateAddress\nmailAlternateAddress: third@edit.test\n\n"
        f"dn: {crew}\nchangetype: delete\n"
    )
    assert "2 changes would be made" in command("directory", "apply", str(ldif), "--dry-run")
    assert place.rcpt("e.v.a@edit.test") == 250
    assert "2 changes made" in command("directory", "apply", str(ldif))
    assert place.slapd.search(crew, "base").returncode == 32
    assert [place.rcpt(f"{name}@edit.test") for name in ("third", "e.v.a", "crew")] == [250, 550, 550]
    # What the server's schema refuses is told as the server says it.
    assert "LDAP server" in str(expect_failure(place, "user", "set", "eva@edit.test", "--any", "noSuchThing=1"))
