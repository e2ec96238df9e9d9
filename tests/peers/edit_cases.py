"""Any entry, changed by command: what is written to the LDAP server, and what mail makes of it."""

import subprocess

import slapd
from ldap_cases import case, expect_failure
from slapd import domain_entries, user, user_dn


@case("what commands write to the LDAP server is the server's own: no start doubts it")
def not_doubted(place):
    place.slapd_with()
    place.wasmta_with()
    place.server.command("domain", "add", "edit.test")
    place.server.command("user", "add", "eva@edit.test", "--password", "first word")
    place.server.stop()
    place.server.start()
    place.until(lambda: "listening" in place.log(), "the start")
    done = subprocess.run([str(place.binary), *place.server.options(), "check-config"], capture_output=True, text=True)
    assert done.returncode == 0 and "directory.source" not in done.stdout, done
    place.server.stop()
    assert "configuration_doubtful" not in place.log()
    place.server.start()


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


@case("a change leaves what others wrote at the LDAP server since the last sync")
def others_stay(place):
    everybody = "cn=everybody,ou=Groups,o=d0.test,o=isp"
    place.slapd_with(live=False)
    place.slapd.add(
        f"dn: {everybody}\nobjectClass: top\nobjectClass: groupOfUniqueNames\nobjectClass: inetMailGroup\n"
        f"cn: everybody\nmail: everybody@d0.test\nuniqueMember: {user_dn('u1')}\n"
    )
    place.wasmta_with('sync = "incremental"\nincremental-every = "1 h"')
    command, slapd = place.server.command, place.slapd
    slapd.modify(everybody, f"add: uniqueMember\nuniqueMember: {user_dn('u2')}")
    command("group", "member", "add", "everybody@d0.test", "u3@d0.test")

    def members():
        lines = slapd.search(everybody, "base").stdout.splitlines()
        return sorted(line.split("uid=")[1].split(",")[0] for line in lines if line.startswith("uniqueMember: "))

    assert members() == ["u1", "u2", "u3"], members()
    slapd.modify(everybody, f"add: uniqueMember\nuniqueMember: {user_dn('u4')}")
    command("group", "member", "remove", "everybody@d0.test", "u1@d0.test")
    command("user", "remove", "u3@d0.test")
    assert members() == ["u2", "u4"], members()
    ldif = place.server.folder / "others.ldif"
    slapd.modify(everybody, f"add: uniqueMember\nuniqueMember: {user_dn('u0')}")
    ldif.write_text(
        f"dn: {everybody}\nchangetype: modify\nadd: uniqueMember\nuniqueMember: {user_dn('u5')}\n-\n"
        f"delete: uniqueMember\nuniqueMember: {user_dn('u2').upper()}\n"
    )
    command("directory", "apply", str(ldif))
    assert members() == ["u0", "u4", "u5"], members()
    # What is asked for as a whole is given as a whole; and so is what the server cannot compare (it has no equality rule).
    command("user", "set", "u1@d0.test", "description=one", "--any")
    slapd.modify(user_dn("u1"), "add: description\ndescription: two", "add: jpegPhoto\njpegPhoto: first")
    command("user", "set", "u1@d0.test", "description=three", "--any")
    found = slapd.search(user_dn("u1"), "base").stdout
    assert "description: three" in found and "two" not in found, found
    ldif.write_text(f"dn: {user_dn('u1')}\nchangetype: modify\nadd: jpegPhoto\njpegPhoto: second\n")
    command("directory", "apply", str(ldif))
    assert slapd.search(user_dn("u1"), "base").stdout.count("jpegPhoto") == 2


@case("LDIF of several changes at the LDAP server: in order, and what was refused is named with its line")
def several(place):
    place.slapd_with()
    place.wasmta_with()
    command, ldif = place.server.command, place.server.folder / "several.ldif"
    dn, other = user_dn("u1"), user_dn("u2")
    modify = f"dn: {dn}\nchangetype: modify\n"
    ldif.write_text(
        f"{modify}replace: mailUserStatus\nmailUserStatus: inactive\n-\nadd: description\ndescription: passing\n\n"
        f"dn: {other}\nchangetype: modify\nreplace: cn\ncn: Between\n\n"
        f"{modify}replace: mailUserStatus\nmailUserStatus: active\n-\ndelete: description\n"
    )
    assert "3 changes made" in command("directory", "apply", str(ldif))
    found = place.slapd.search(dn, "base").stdout
    assert "mailUserStatus: active" in found and "passing" not in found, found
    ldif.write_text(
        f"{modify}add: description\ndescription: first\n\n"
        f"dn: {other}\nchangetype: modify\nadd: noSuchThing\nnoSuchThing: 1\n\n"
        f"{modify}replace: description\ndescription: last\n"
    )
    why = str(expect_failure(place, "directory", "apply", str(ldif)))
    assert f"line 6: " in why and other in why and "1 of 3 changes were made before it" in why, why
    assert "description: first" in place.slapd.search(dn, "base").stdout
    # From that line on, mended.
    text = ldif.read_text().replace("noSuchThing", "description")
    ldif.write_text("\n".join(text.splitlines()[5:]) + "\n")
    assert "2 changes made" in command("directory", "apply", str(ldif))
    assert "description: last" in place.slapd.search(dn, "base").stdout


@case("a dry run says that the directory is only read, and which names lie below no base")
def only_read(place):
    place.slapd_with()
    place.wasmta_with("writable = false")
    ldif = place.server.folder / "refused.ldif"
    ldif.write_text(f"dn: {user_dn('u1')}\nchangetype: modify\nadd: description\ndescription: x\n")
    why = str(expect_failure(place, "directory", "apply", str(ldif), "--dry-run"))
    assert "line 1: " in why and "only read it" in why and "none of the changes" in why, why
    ldif.write_text("dn: o=elsewhere\nobjectClass: organization\no: elsewhere\n")
    why = str(expect_failure(place, "directory", "apply", str(ldif), "--dry-run"))
    assert "line 1: " in why and "below no base" in why, why


@case("a domain with entries that are not mail's stays, and they with it")
def foreign_entries(place):
    place.slapd_with()
    place.wasmta_with()
    place.server.command("domain", "add", "firm.test", "--administrator", "u1@d0.test")
    printer = "cn=printer,ou=Groups,o=firm.test,o=isp"
    place.slapd.add(f"dn: {printer}\nobjectClass: device\ncn: printer\n")
    place.sync("full")
    assert printer in str(expect_failure(place, "domain", "remove", "firm.test"))
    assert place.slapd.search(printer, "base").returncode == 0
    place.slapd.delete(printer)
    place.sync("full")
    assert "no mail domain" in place.server.command("domain", "remove", "firm.test")


@case("a domain is removed with what was added since the last sync, or not at all")
def added_since(place):
    place.slapd_with()
    place.wasmta_with('sync = "manual"', wait=False)
    place.sync("full")
    place.slapd.add(user("late", "d1.test"))
    printer = "cn=printer,o=d1.test,o=isp"
    place.slapd.add(f"dn: {printer}\nobjectClass: device\ncn: printer\n")
    assert printer in str(expect_failure(place, "domain", "remove", "d1.test", "--with-users"))
    for name in ("u1", "late"):
        assert place.slapd.search(user_dn(name, "d1.test"), "base").returncode == 0, name
    place.slapd.stop()
    assert "nothing is removed" in str(expect_failure(place, "domain", "remove", "d1.test", "--with-users"))
    place.slapd.start()
    place.slapd.delete(printer)
    # Somebody has begun there already.
    place.slapd.delete("dc=d1,dc=test,o=internet")
    place.server.command("domain", "remove", "d1.test", "--with-users")
    assert place.slapd.search("o=d1.test,o=isp", "base").returncode == 32


@case("a domain whose addition was broken off is completed by the same command, whatever there was of it")
def completed_domain(place):
    node = "dn: dc={name},dc=test,o=internet\nobjectClass: domain\nobjectClass: inetDomain\ndc: {name}\ninetDomainBaseDN: {base}\n"
    organization = "dn: {base}\nobjectClass: organization\nobjectClass: inetDomain\nobjectClass: mailDomain\no: {o}\n" \
        "sunPreferredDomain: {o}\nmailDomainStatus: active\ndescription: as it was\n"
    unit = "dn: ou={ou},{base}\nobjectClass: organizationalUnit\nou: {ou}\n"
    place.slapd_with()
    place.wasmta_with()
    command, slapd = place.server.command, place.slapd
    names = ["alone", "bare", "people"]
    for at, name in enumerate(names):
        base = f"o={name}.test,o=isp"
        parts = [node.format(name=name, base=base), organization.format(base=base, o=f"{name}.test"), unit.format(ou="People", base=base)]
        slapd.must("ldapadd", stdin="\n".join(parts[: at + 1]))
    place.sync("full")
    for at, name in enumerate(names):
        base, domain = f"o={name}.test,o=isp", f"{name}.test"
        checked = command("domain", "check", domain, check=False)
        assert "is in order" not in checked and f"`wasmta domain add {domain}` completes it" in checked, checked
        answer = command("domain", "add", domain, "--administrator", "u1@d0.test")
        assert "was a mail domain in part, and is whole now" in answer, answer
        told = [line.strip() for line in answer.splitlines() if line.startswith("  ") and "=" in line]
        made = [base, f"ou=People,{base}", f"ou=Groups,{base}", f"cn=postmaster,ou=Groups,{base}"][at:]
        assert told == made, told
        for dn in made:
            assert slapd.search(dn, "base").returncode == 0, dn
        assert ("as it was" in slapd.search(base, "base").stdout) == (at > 0)
        assert place.rcpt(f"postmaster@{domain}") == 250
        command("user", "add", f"eva@{domain}", "--password", "first word")
        assert place.rcpt(f"eva@{domain}") == 250
        assert "is a mail domain already" in str(expect_failure(place, "domain", "add", domain))
        checked = command("domain", "check", domain, check=False)
        assert "completes it" not in checked and "ou=" not in checked, checked
    # Where the base is nobody's to write, nothing is.
    slapd.must("ldapadd", stdin=node.format(name="far", base="o=far.test,o=elsewhere"))
    place.sync("full")
    assert "below no base" in str(expect_failure(place, "domain", "add", "far.test"))


@case("an addition goes on from what it wrote before a crash, also where the mirror does not know of it yet")
def unseen_parts(place):
    place.slapd_with(live=False)
    place.wasmta_with('sync = "incremental"\nincremental-every = "1 h"')
    command, slapd = place.server.command, place.slapd
    base = "o=unseen.test,o=isp"
    slapd.must("ldapadd", stdin="\n".join(domain_entries("unseen.test")[:2] + domain_entries("unseen.test")[3:]))
    answer = command("domain", "add", "unseen.test", "--administrator", "u1@d0.test")
    assert "is whole now" in answer and f"cn=postmaster,ou=Groups,{base}" in answer and "ou=People" not in answer, answer
    assert slapd.search(f"cn=postmaster,ou=Groups,{base}", "base").returncode == 0
    assert place.rcpt("postmaster@unseen.test") == 250
    # Somebody who is there is no gap.
    slapd.add(user("eva", "unseen.test"))
    why = str(expect_failure(place, "user", "add", "eva@unseen.test", "--password", "first word"))
    assert "uid=eva" in why and "exists already" in why, why


@case("groups whose members are elsewhere, or nobody yet; a last member that a server's group must keep is told with the group")
def members_elsewhere(place):
    place.slapd_with()
    place.wasmta_with()
    command = place.server.command
    command("group", "add", "far@d0.test", "carla@elsewhere.test")
    command("group", "add", "none@d0.test")
    command("group", "member", "add", "none@d0.test", "u1@d0.test")
    assert [place.rcpt(f"{name}@d0.test") for name in ("far", "none")] == [250, 250]
    command("group", "add", "last@d0.test", "u9@d0.test")
    why = str(expect_failure(place, "user", "remove", "u9@d0.test"))
    assert "cn=last,ou=Groups,o=d0.test,o=isp" in why and "objectClassViolation" in why, why
    assert place.rcpt("u9@d0.test") == 250


@case("of two commands that give one address at the same time one is refused, and leaves nothing at the server")
def at_the_same_time(place):
    place.slapd_with()
    place.wasmta_with()
    place.follows()
    for number in range(8):
        address = f"both{number}@d0.test"
        words = [
            ["alias", "add", "u1@d0.test", address], ["alias", "add", "u2@d0.test", address], ["user", "add", address],
        ]
        running = [
            subprocess.Popen(
                [str(place.binary), *place.server.options(), *one], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True,
            )
            for one in words
        ]
        said = [(one.communicate("password\n", timeout=60)[0], one.returncode) for one in running]
        assert sorted(code for _, code in said) == [0, 1, 1], said
        has = f"(|(mail={address})(mailAlternateAddress={address}))"
        found = place.slapd.search("o=isp", "sub", has, "dn").stdout
        assert found.count("dn: ") == 1, found
    assert "sync_entry_refused" not in place.log()


@case("before the first full sync has ended no address of a domain that is here is given: it may be somebody's there")
def not_complete(place):
    place.slapd_with()
    place.wasmta_with('sync = "manual"', wait=False)
    # A look-up brings this user, and nobody else.
    assert place.rcpt("u1@d0.test") == 250
    for words in (["alias", "add", "u1@d0.test", "u2@d0.test"], ["group", "add", "u2@d0.test", "u1@d0.test"]):
        why = str(expect_failure(place, *words))
        assert "the first full sync of the source ldap has not ended yet" in why and "wasmta sync full" in why, why
    has = "(|(mail=u2@d0.test)(mailAlternateAddress=u2@d0.test))"
    assert place.slapd.search("o=isp", "sub", has, "dn").stdout.count("dn: ") == 1
    place.sync("full")
    assert "belongs to" in str(expect_failure(place, "alias", "add", "u1@d0.test", "u2@d0.test"))
    place.server.command("alias", "add", "u1@d0.test", "first@d0.test")
    assert [place.rcpt(f"{name}@d0.test") for name in ("u2", "first")] == [250, 250]


@case("before the first full sync has ended nobody is said not to be there, and nothing is removed as nobody's")
def not_here_yet(place):
    place.slapd_with()
    place.wasmta_with('sync = "manual"', wait=False)
    # A look-up brings this user, and nobody else.
    assert place.rcpt("u1@d0.test") == 250
    yet = "here yet, and there may be one: the first full sync of the source ldap has not ended"
    for words in (
        ["user", "show", "u2@d0.test"], ["user", "set", "u2@d0.test", "cn=x"], ["user", "remove", "u2@d0.test", "--mail"],
        ["user", "passwd", "u2@d0.test", "--password", "another"], ["alias", "list", "u2@d0.test"],
        ["group", "show", "g0@d0.test"], ["group", "remove", "g0@d0.test"], ["domain", "show", "d1.test"],
        ["profile", "show", "u2@d0.test"], ["store", "quota", "u2@d0.test"], ["mailbox", "list", "u2@d0.test"],
        ["user", "add", "new@d1.test", "--password", "a word"], ["group", "add", "new@d1.test"], ["alias", "add", "u1@d0.test", "new@d1.test"],
    ):
        why = str(expect_failure(place, *words))
        assert yet in why and "wasmta sync full" in why, why
    for words in (["user", "list"], ["group", "list", "d0.test"], ["domain", "list"]):
        assert "there may be more: the first full sync" in place.server.command(*words), words
    place.sync("full")
    assert "mail: u2@d0.test" in place.server.command("user", "show", "u2@d0.test")
    assert "there may be more" not in place.server.command("user", "list")
    why = str(expect_failure(place, "user", "show", "nobody@d0.test"))
    assert "there is no user nobody@d0.test" in why and "yet" not in why, why


@case("a domain is added where a base of the directory is not there yet: what the first full sync waits for")
def base_missing(place):
    entries = slapd.tree(1, 1)
    place.slapd_with([entry for entry in entries if entry.split("\n", 1)[0].endswith("o=isp") and "d0" not in entry.split("\n", 1)[0]])
    place.wasmta_with(wait=False)
    place.until(lambda: "o=internet is not there" in place.log(), "the sync to find no base")
    place.server.command("domain", "add", "first.test")
    place.until(lambda: place.status()["full_at"] is not None, "the first full sync")
    place.server.command("user", "add", "eva@first.test", "--password", "first word")
    assert place.rcpt("eva@first.test") == 250
