"""Cases of `tests/peers/dns`: routing tables from a real BIND's zones, and from domains that are watched (R11, R25)."""

import imaplib
import shutil
import signal
import smtplib
import socket
import subprocess
import time

NAMED = """
include "{folder}/transfer.key";
options {{ directory "{folder}"; pid-file "{folder}/named.pid"; session-keyfile "{folder}/session.key";
 listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; notify explicit;
 also-notify {{ 127.0.0.1 port {notify} key transfer-key; }}; notify-delay 0; allow-transfer {{ key transfer-key; }};
 managed-keys-directory "{folder}"; }};
controls {{ }};
zone "customers.test" {{ type primary; file "{folder}/customers.test.db"; allow-update {{ key transfer-key; }}; }};
"""
ZONE = """$TTL 60
@ IN SOA ns.customers.test. hostmaster.customers.test. 1 3600 600 86400 60
@ IN NS ns.customers.test.
ns IN A 127.0.0.1
mail IN A 127.0.0.1
local IN MX 10 mail.dyn.test.
backup IN MX 10 mail
backup IN MX 20 mail.dyn.test.
elsewhere IN MX 10 mail
*.wild IN MX 10 mail.dyn.test.
"""
CONFIGURATION = """
[server]
name = "mail.dyn.test"
stop-grace = "1 s"
[auth]
cleartext = true
argon2-memory = "64 KiB"
argon2-passes = 1
scram-iterations = 4096
[dns]
servers = ["127.0.0.1:{port}"]
notify-listen = "127.0.0.1:{notify}"
[dns.publish]
to = "nowhere"
{tables}
[directory]
ldif = "users.ldif"
"""
USERS = """dn: o=internet
objectClass: organization
o: internet

dn: o=isp
objectClass: organization
o: isp

dn: uid=anna,o=isp
objectClass: inetMailUser
uid: anna
mail: anna@local.customers.test
userPassword: password
"""
TABLE = """
[dns.tables.customers]
zone = "customers.test"
primary = "127.0.0.1:{port}"
key-file = "{key}"
removals-free = 2
again-min = "1 s"
"""


def serve(place, key="transfer.key", tables=None):
    """A server that follows the zone by that key, or these tables."""
    path = place.named.folder / key
    tables = tables or TABLE.format(port=place.named.port, key=path)
    # The port that named notifies is the true one: what is shifted when the server starts is taken off here.
    server = place.new_server()
    text = CONFIGURATION.format(port=place.named.port, notify=place.named.notify - server.offset, tables=tables)
    server.config.write_text(text)
    (server.config.parent / "users.ldif").write_text(USERS)
    server.start()


def status(place):
    return place.command("sync", "status")


def is_read(place, serial=1):
    return f"serial {serial}:" in status(place)


def explained(place, address):
    return place.command("explain", address)


def update(place, *lines):
    """One dynamic update, signed; named notifies by itself."""
    script = "\n".join([f"server 127.0.0.1 {place.named.port}", *lines, "send", ""])
    key = str(place.named.folder / "transfer.key")
    done = subprocess.run(["nsupdate", "-k", key], input=script, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def take_mail(place, recipient):
    with smtplib.SMTP("127.0.0.1", place.server.port("smtp"), timeout=30) as session:
        session.ehlo("client.test")
        session.mail("someone@remote.test")
        return session.rcpt(recipient)[0]


def deliver(place, recipient):
    with smtplib.SMTP("127.0.0.1", place.server.port("smtp"), timeout=30) as session:
        session.sendmail("someone@remote.test", [recipient], "Subject: by the DNS\r\n\r\nGood day.\r\n")


def a_zone_makes_domains_local_and_handed_on(place, until):
    serve(place)
    until(lambda: is_read(place), "the zone is read")
    said = status(place)
    assert "3 domains with MX, 2 lead here, 1 of them are handed on, 1 names left out" in said, said
    local = explained(place, "anna@local.customers.test")
    origin = f"[dns: local.customers.test. MX 10 mail.dyn.test. (zone customers.test from 127.0.0.1:{place.named.port}, serial 1); table customers, read "
    assert origin in local and "channel store" in local, local
    backup = explained(place, "anybody@backup.customers.test")
    assert "better mail hosts" in backup and "channel smtp  next hop backup.customers.test" in backup, backup
    assert "550" in explained(place, "anybody@elsewhere.customers.test")
    deliver(place, "anna@local.customers.test")
    assert take_mail(place, "nobody@local.customers.test") == 450, "not known is not unknown"


def a_changed_zone_is_followed_at_once(place, until):
    serve(place)
    until(lambda: is_read(place), "the zone is read")
    update(place, "zone customers.test", "update add new.customers.test 60 MX 5 mail.dyn.test.")
    until(lambda: "[dns: new.customers.test." in explained(place, "x@new.customers.test"), "a NOTIFY brings the row")
    assert "serial 2)" in explained(place, "x@new.customers.test")
    assert "serial 1)" in explained(place, "anna@local.customers.test"), "others stay as they were"
    update(
        place,
        "zone customers.test",
        "update delete new.customers.test MX",
        "update delete backup.customers.test MX",
        "update add backup.customers.test 60 MX 5 mail.dyn.test.",
    )
    until(lambda: "Relaying denied" in explained(place, "x@new.customers.test"), "the row goes with its record")
    assert "handled here" in explained(place, "x@backup.customers.test"), "we are the best host now"
    log = (place.named.folder / "named.out").read_text(errors="replace")
    assert "IXFR" in log and "TSIG transfer-key" in log, log[-3000:]


def a_dead_name_server_costs_no_mail(place, until):
    serve(place)
    until(lambda: is_read(place), "the zone is read")
    place.named.stop()
    said = place.command("sync", "dns", "customers", check=False)
    assert "nothing is changed" in said, said
    deliver(place, "anna@local.customers.test")
    place.server.stop()
    place.server.start()
    deliver(place, "anna@local.customers.test")
    until(lambda: "failing" in status(place), "that is told")
    assert "serial 1:" in status(place), "over a restart"
    place.named.start()
    until(lambda: " good " in status(place), "and it is read again by itself")


def a_name_server_that_hangs_holds_no_mail_up(place, until):
    serve(place)
    until(lambda: is_read(place), "the zone is read")
    place.named.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        deliver(place, "anna@local.customers.test")
        assert take_mail(place, "x@backup.customers.test") == 250, "what it said last holds"
        assert time.monotonic() - began < 5
        said = place.command("sync", "dns", "customers", check=False)
        assert "nothing is changed" in said, said
        assert "serial 1:" in status(place)
    finally:
        place.named.process.send_signal(signal.SIGCONT)
    place.command("sync", "dns", "customers")
    assert " good " in status(place), status(place)


def a_wrong_key_changes_nothing(place, until):
    serve(place)
    until(lambda: is_read(place), "the zone is read")
    place.server.stop()
    text = place.server.config.read_text().replace("transfer.key", "bad.key")
    place.server.config.write_text(text)
    place.server.start()
    until(lambda: "failing" in status(place), "the refusal is told")
    assert "compare key-file" in status(place) or "allow-transfer" in status(place), status(place)
    assert "channel store" in explained(place, "anna@local.customers.test"), "rows stay"
    assert "dns_table_failed" in place.server.log.read_text(errors="replace")


def what_was_never_read_is_not_unknown(place, until):
    serve(place, key="bad.key")
    until(lambda: "never-read" in status(place) and "failed" in status(place), "it was asked")
    assert take_mail(place, "anna@local.customers.test") == 451
    assert take_mail(place, "anna@other.test") == 550


def too_much_that_goes_needs_a_word(place, until):
    serve(place)
    until(lambda: is_read(place), "the zone is read")
    names = [f"d{n}.customers.test" for n in range(8)]
    update(place, "zone customers.test", *[f"update add {name} 60 MX 5 mail.dyn.test." for name in names])
    until(lambda: is_read(place, 2), "more domains")
    update(place, "zone customers.test", *[f"update delete {name} MX" for name in names])
    until(lambda: "8 of 10 domains would go" in status(place), "it is not believed")
    assert "[dns: d1." in explained(place, "x@d1.customers.test")
    said = place.command("sync", "dns", "customers", "--force")
    assert "8 domains changed, 8 of them here" in said, said
    assert "550" in explained(place, "x@d1.customers.test")


def mail_for_an_unknown_domain_adds_it(place, until):
    serve(place, tables="[dns.tables]\n")
    config = place.server.config
    assert take_mail(place, "postmaster@local.customers.test") == 550, "it is off by default"
    place.server.stop()
    config.write_text(config.read_text() + "new-domains-by-mail = true\nnew-domains-per-hour = 1\n")
    place.server.start()
    assert take_mail(place, "postmaster@local.customers.test") == 250
    assert "dc=local" in place.command("domain", "show", "local.customers.test")
    # Others are better hosts; nobody has it; one an hour is enough.
    for domain, code in [("backup.customers.test", 550), ("none.customers.test", 550)]:
        assert take_mail(place, f"postmaster@{domain}") == code, domain
    update(place, "zone customers.test", "update add second.customers.test 60 MX 10 mail.dyn.test.")
    assert take_mail(place, "postmaster@second.customers.test") // 100 == 4
    # What was said a moment ago of one that is led here by now counts no longer.
    update(place, "zone customers.test", "update add none.customers.test 60 MX 10 mail.dyn.test.")
    until(lambda: take_mail(place, "postmaster@none.customers.test") // 100 == 4, "it is asked about anew")


def a_reload_says_by_which_names_mail_leads_here(place, until):
    """Own names of the server are read anew, also by what makes domains (R18)."""
    serve(place, tables="[dns.tables]\n")
    server = place.server
    server.stop()
    text = server.config.read_text() + "new-domains-by-mail = true\n[routing]\nown-names = "
    server.config.write_text(text + '["mx.old.test"]\n')
    server.start()
    names = [("first", "mx.old.test"), ("second", "mx.old.test"), ("third", "mx.new.test"), ("fourth", "mail.dyn.test")]
    records = [f"update add {name}.customers.test 60 MX 10 {host}." for name, host in names]
    update(place, "zone customers.test", *records)
    for name, code in [("first", 250), ("third", 550)]:
        assert take_mail(place, f"postmaster@{name}.customers.test") == code, name
    server.config.write_text(text + '["mx.new.test"]\n')
    place.command("reload")
    assert take_mail(place, "postmaster@second.customers.test") == 550, "that name is not ours any more"
    until(lambda: take_mail(place, "postmaster@third.customers.test") == 250, "this one is ours now")
    for name in ("first", "fourth"):
        assert take_mail(place, f"postmaster@{name}.customers.test") == 250, "what was made stays; our first name is ours"


def domains_of_a_list_are_watched(place, until):
    names = ["local.customers.test", "backup.customers.test", "none.customers.test", "refused.test"]
    listed = ", ".join(f'"{name}"' for name in names)
    serve(place, tables=f'[dns.tables.partners]\ndomains = [{listed}]\nagain-min = "1 s"\nagain-max = "2 s"\n')
    until(lambda: "2 lead here, 1 of them are handed on" in status(place), "their MX are asked for")
    assert "refused.test" in status(place), "what cannot be found out is told"
    assert "[dns: local.customers.test. MX 10 mail.dyn.test. (asked of" in explained(place, "x@local.customers.test")
    update(place, "zone customers.test", "update delete local.customers.test MX")
    until(lambda: "550" in explained(place, "x@local.customers.test"), "the row goes when the time of its record is up")


def a_table_that_lags_behind_the_dns_bounces_nothing(place, until):
    # Nobody tells of the change, and the zone is not asked again by itself: its table lags.
    lagging = TABLE.replace('again-min = "1 s"', 'again-min = "1 h"').format(
        port=place.named.port, key=place.named.folder / "transfer.key"
    )
    serve(place, tables=lagging)
    server = place.server
    server.stop()
    text = server.config.read_text()
    server.config.write_text("".join(line for line in text.splitlines(True) if not line.startswith("notify-listen")))
    users = server.config.parent / "users.ldif"
    users.write_text(USERS.replace("userPassword", "mailAlternateAddress: anna@backup.customers.test\nuserPassword"))
    shutil.rmtree(server.data)
    server.start()
    until(lambda: is_read(place), "the zone is read")
    update(
        place,
        "zone customers.test",
        "update delete backup.customers.test MX",
        "update add backup.customers.test 60 MX 5 mail.dyn.test.",
    )
    # The table still says that others are better hosts; the DNS says that there is none but us.
    assert "better mail hosts" in explained(place, "anna@backup.customers.test")
    deliver(place, "anna@backup.customers.test")
    until(lambda: "its table lags" in server.log.read_text(errors="replace"), "it waits, and says why")
    *_, tried = [line for line in server.log.read_text(errors="replace").splitlines() if " attempted " in line]
    assert "outcome=deferred" in tried and "its table lags" in tried, tried
    assert "serial 1:" in status(place), "the table has not been read since"
    assert "anna@backup.customers.test" in place.command("queue", "list"), "it is still there"
    place.command("sync", "dns", "customers")
    place.command("queue", "retry", "--all")
    until(lambda: "0 messages" in place.command("queue", "list"), "the table follows, and so does the mail")
    with imaplib.IMAP4("127.0.0.1", server.port("imap")) as session:
        session.login("anna@local.customers.test", "password")
        assert session.select("INBOX")[1] == [b"1"], "it is anna's, and no report of a failure"


def a_listed_domain_whose_dns_fails_is_not_refused_for_good(place, until):
    def table(*names):
        return "[dns.tables.partners]\ndomains = [" + ", ".join(f'"{name}"' for name in names) + "]\n"

    first = table("local.customers.test", "refused.test")
    serve(place, tables=first)
    until(lambda: "1 domains with MX, 1 lead here" in status(place), "what answers is known")
    assert take_mail(place, "anna@refused.test") == 451, "others of the list were read, this one was not"
    # A domain is added to the list, and nobody answers after the restart.
    server = place.server
    server.stop()
    place.named.stop()
    text = server.config.read_text()
    assert first in text
    server.config.write_text(text.replace(first, table("local.customers.test", "backup.customers.test")))
    server.start()
    assert take_mail(place, "anna@backup.customers.test") == 451, "it was never asked about"
    assert take_mail(place, "anna@local.customers.test") == 250, "what was known stays"
    assert take_mail(place, "anna@refused.test") == 550, "it is in no table any more"
    place.named.start()
    until(lambda: take_mail(place, "anna@backup.customers.test") == 250, "and is asked about when mail comes")


def mail_for_a_domain_that_came_a_moment_ago_is_not_refused(place, until):
    listed = '[dns.tables.partners]\ndomains = ["local.customers.test", "new.customers.test"]\nagain-min = "1 h"\n'
    zone = TABLE.replace('again-min = "1 s"', 'again-min = "1 h"').format(
        port=place.named.port, key=place.named.folder / "transfer.key"
    )
    serve(place, tables=listed)
    server = place.server
    until(lambda: "1 domains with MX" in status(place), "the list is read")
    update(place, "zone customers.test", "update add new.customers.test 60 MX 5 mail.dyn.test.")
    assert take_mail(place, "x@new.customers.test") == 450, "the list asks about it at once"
    assert "[dns: new.customers.test." in explained(place, "x@new.customers.test")
    server.stop()
    text = server.config.read_text().replace(listed, zone)
    # Nobody tells of changes.
    server.config.write_text("".join(line for line in text.splitlines(True) if not line.startswith("notify-listen")))
    server.start()
    until(lambda: is_read(place, 2), "the zone is read")
    update(place, "zone customers.test", "update add newer.customers.test 60 MX 5 mail.dyn.test.")
    assert "[dns: newer.customers.test." in explained(place, "x@newer.customers.test"), "so does the zone"
    assert take_mail(place, "x@none.customers.test") == 550, "what is nowhere is unknown"
    place.named.stop()
    until(lambda: take_mail(place, "x@none.customers.test") == 451, "and nobody knows when nobody answers")


def a_command_shows_what_the_tables_have_of_a_domain(place, until):
    names = ["local.customers.test", "backup.customers.test", "elsewhere.customers.test", "refused.test"]
    listed = ", ".join(f'"{name}"' for name in names)
    serve(place, tables=f"[dns.tables.partners]\ndomains = [{listed}]\n")
    until(lambda: "2 lead here" in status(place), "the list is read")
    origin = f"local.customers.test. MX 10 mail.dyn.test. (asked of 127.0.0.1:{place.named.port})"
    said = place.command("domain", "check", "local.customers.test")
    assert "MX 10 mail.dyn.test.: this host is the best, the domain is local" in said, said
    assert "local.customers.test is in order" in said and "domain add" not in said, said
    said = place.command("domain", "check", "backup.customers.test")
    assert "others are better, its mail goes on to them" in said, said
    for name, expected in [
        ("elsewhere.customers.test", "none of them is this host"),
        ("refused.test", "partners (asked of"),
        ("none.test", "`wasmta domain add none.test`"),
    ]:
        done = subprocess.run(
            [place.binary, *place.server.options(), "domain", "check", name], capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 1 and expected in done.stdout, (name, done)
        assert ("domain add" in done.stdout) == (name == "none.test"), done.stdout
    said = place.command("domain", "rows", "local.customers.test")
    assert said.startswith("1 rows of local.customers.test, which the DNS leads here (local):"), said
    assert origin in said, said
    said = place.command("domain", "list")
    assert origin in said and "backup.customers.test" in said and "elsewhere" not in said, said


def too_much_that_goes_from_a_list_needs_a_word(place, until):
    names = ["local.customers.test", "backup.customers.test", "late.customers.test", "unasked.customers.test"]
    listed = ", ".join(f'"{name}"' for name in names)
    table = f'[dns.tables.partners]\ndomains = [{listed}]\nagain-min = "1 h"\nremovals-free = 1\n'
    serve(place, tables=table)
    until(lambda: "2 lead here" in status(place), "the list is read")
    gone = [f"update delete {name} MX" for name in names[:2]]
    update(place, "zone customers.test", *gone, "update add late.customers.test 60 MX 5 mail.dyn.test.")
    said = place.command("sync", "dns", "partners", check=False)
    assert "1 domains changed, 1 of them here" in said and "2 of 2 domains would go" in said, said
    checked = place.command("domain", "check", names[0], check=False)
    assert "the DNS says no MX now" in checked and "`wasmta sync dns partners --force`" in checked, checked
    # What comes is in force; what goes is not, and that stands with every answer about another domain.
    update(place, "zone customers.test", "update add unasked.customers.test 60 MX 5 mail.dyn.test.")
    assert take_mail(place, "x@unasked.customers.test") == 450, "it is asked about alone"
    said = status(place)
    # Of how many: the one that has just come may be counted among them, or not yet.
    assert " failing " in said and "4 lead here" in said, said
    assert "2 of 3 domains would go" in said or "2 of 4 domains would go" in said, said
    said = place.command("sync", "dns", "partners", check=False)
    assert "0 domains changed" in said and "2 of 4 domains would go" in said, said
    said = place.command("sync", "dns", "partners", "--force")
    assert "2 domains changed, 2 of them here" in said, said
    assert " good " in status(place) and "2 lead here" in status(place), status(place)


def mail_that_waits_survives_another_table_that_was_never_read(place, until):
    listed = '[dns.tables.partners]\ndomains = ["backup.customers.test"]\n[channels.smtp]\nconnect-timeout = "1 s"\n'
    serve(place, tables=listed)
    server = place.server
    until(lambda: "1 of them are handed on" in status(place), "it is read")
    deliver(place, "anna@backup.customers.test")
    server.stop()
    update(
        place,
        "zone customers.test",
        "update delete backup.customers.test MX",
        "update add backup.customers.test 60 MX 5 mail.dyn.test.",
    )
    # The zone has it now, and its primary does not answer.
    unread = TABLE.format(port=1, key=place.named.folder / "transfer.key")
    server.config.write_text(server.config.read_text().replace(listed.split("[channels")[0], unread))
    server.start()
    place.command("queue", "retry", "--all")
    until(lambda: "the DNS table customers" in server.log.read_text(errors="replace"), "it waits, and says why")
    assert "anna@backup.customers.test" in place.command("queue", "list"), "it is still there"
    assert "5.4.6" not in server.log.read_text(errors="replace")


def a_port_for_notices_that_is_taken_is_told(place, until):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as holder:
            holder.bind(("127.0.0.1", place.named.notify))
            if kind == socket.SOCK_STREAM:
                holder.listen()
            serve(place)
            until(lambda: is_read(place), "the zone is read nevertheless")
            log = place.server.log.read_text(errors="replace")
            *_, told = [line for line in log.splitlines() if "dns.notify-listen" in line]
            assert "dns_table_failed" in told and "Address already in use" in told, told
            assert f"127.0.0.1:{place.named.notify} cannot be listened at" in told, told
            deliver(place, "anna@local.customers.test")
            place.server.stop()


CASES = [
    a_zone_makes_domains_local_and_handed_on,
    a_changed_zone_is_followed_at_once,
    a_dead_name_server_costs_no_mail,
    a_name_server_that_hangs_holds_no_mail_up,
    a_wrong_key_changes_nothing,
    what_was_never_read_is_not_unknown,
    too_much_that_goes_needs_a_word,
    domains_of_a_list_are_watched,
    a_table_that_lags_behind_the_dns_bounces_nothing,
    a_listed_domain_whose_dns_fails_is_not_refused_for_good,
    mail_for_a_domain_that_came_a_moment_ago_is_not_refused,
    a_command_shows_what_the_tables_have_of_a_domain,
    too_much_that_goes_from_a_list_needs_a_word,
    mail_that_waits_survives_another_table_that_was_never_read,
    a_port_for_notices_that_is_taken_is_told,
    mail_for_an_unknown_domain_adds_it,
    a_reload_says_by_which_names_mail_leads_here,
]
