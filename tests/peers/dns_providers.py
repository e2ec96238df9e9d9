"""Cases of `tests/peers/dns`: records of mail domains at a provider, by its HTTP interface (R15). The provider is a real
PowerDNS: the one of those which dns-update knows that runs anywhere."""

import json
import sqlite3
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import wasmta_server

COMMANDS = {"pdns_server": ["pdns-server", "pdns-backend-sqlite3"]}
SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
KEY = "right-key-of-the-test"
STOP_SECONDS_MAX = 10
PDNS = """
launch=gsqlite3
gsqlite3-database={folder}/pdns.sqlite3
local-address=127.0.0.1
local-port={port}
api=yes
api-key={key}
webserver=yes
webserver-address=127.0.0.1
webserver-port={http}
webserver-allow-from=127.0.0.1
socket-dir={folder}
daemon=no
guardian=no
cache-ttl=0
negquery-cache-ttl=0
query-cache-ttl=0
zone-cache-refresh-interval=0
"""
CONFIGURATION = """
[server]
name = "mail.dyn.test"
stop-grace = "1 s"
[auth]
argon2-memory = "64 KiB"
argon2-passes = 1
scram-iterations = 4096
[dns]
servers = ["127.0.0.1:{port}"]
own-addresses = ["192.0.2.1"]
[dns.publish]
to = "provider"
provider = "pdns"
zones = ["dyn.test", "absent.test"]
credentials-file = "provider.toml"
mail-hosts = ["mx.one.dyn.test"]
[dns.publish.texts]
"@" = "v=spf1 mx -all"
_dmarc = "v=DMARC1; p=none; rua=mailto:postmaster@$D"
_long = "{long}"
[dns.publish.services]
"_imaps._tcp" = "993"
[directory]
ldif = "empty.ldif"
"""
EMPTY = "dn: o=internet\nobjectClass: organization\no: internet\n\ndn: o=isp\nobjectClass: organization\no: isp\n"
LONG = "k=" + "x" * 300


class Pdns:
    """PowerDNS with one zone."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        self.port, self.http = wasmta_server.free_port(), wasmta_server.free_port()
        folder.mkdir(exist_ok=True)
        with sqlite3.connect(folder / "pdns.sqlite3") as database:
            database.executescript(SCHEMA.read_text())

    def start(self):
        text = PDNS.format(folder=self.folder, port=self.port, http=self.http, key=KEY)
        (self.folder / "pdns.conf").write_text(text)
        with open(self.folder / "pdns.out", "ab") as out:
            command = ["pdns_server", f"--config-dir={self.folder}"]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        alive = lambda: self.process.poll() is None  # noqa: E731
        if not wasmta_server.wait_for_port(self.http, wasmta_server.START_SECONDS_MAX, alive):
            raise AssertionError(f"pdns_server does not start: {(self.folder / 'pdns.out').read_text()[-2000:]}")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(STOP_SECONDS_MAX)
            self.process = None

    def api(self, method, path, body):
        url = f"http://127.0.0.1:{self.http}/api/v1/servers/localhost/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"X-API-Key": KEY}, method=method)
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read()!r}") from error

    def put(self, name, kind, *contents):
        """Records that are somebody else's."""
        records = [{"content": content, "disabled": False} for content in contents]
        change = {"name": name, "type": kind, "ttl": 60, "changetype": "REPLACE", "records": records}
        self.api("PATCH", "zones/dyn.test.", {"rrsets": [change]})


def begin(place, key=KEY, started=True):
    """PowerDNS with its zone, and a server that publishes there."""
    pdns = Pdns(place.folder / "pdns")
    # What ends the case ends this name server.
    place.named = pdns
    pdns.start()
    pdns.api("POST", "zones", {"name": "dyn.test.", "kind": "Native", "nameservers": ["ns.dyn.test."]})
    pdns.put("one.dyn.test.", "TXT", '"not ours"')
    pdns.put("one.dyn.test.", "MX", "5 old.dyn.test.")
    server = place.new_server()
    folder = server.config.parent
    server.config.write_text(CONFIGURATION.format(port=pdns.port, long=LONG))
    (folder / "empty.ldif").write_text(EMPTY)
    credentials(place, key)
    if not started:
        pdns.stop()
    server.start()
    return pdns


def credentials(place, key):
    file = place.server.config.parent / "provider.toml"
    file.write_text(f'api-key = "{key}"\nurl = "http://127.0.0.1:{place.named.http}"\n')
    file.chmod(0o600)


def told(place):
    return place.server.log.read_text(errors="replace")


def records_come_to_a_provider_and_go_with_the_entry(place, peers):
    pdns = begin(place)
    ask = lambda name, kind: peers.ask(pdns.port, name, kind)  # noqa: E731
    said = place.command("domain", "add", "one.dyn.test")
    assert "published by the provider PowerDNS Authoritative" in said, said
    peers.expect(ask("one.dyn.test", "MX"), ["10 mx.one.dyn.test."], "the MX is replaced")
    peers.expect(ask("one.dyn.test", "TXT"), ['"not ours"', '"v=spf1 mx -all"'], "a text of somebody else stays")
    dmarc = ['"v=DMARC1; p=none; rua=mailto:postmaster@one.dyn.test"']
    peers.expect(ask("_dmarc.one.dyn.test", "TXT"), dmarc, "a text with semicolons")
    peers.expect(["".join(ask("_long.one.dyn.test", "TXT")).replace('" "', "")], [f'"{LONG}"'], "a long text")
    peers.expect(ask("_imaps._tcp.one.dyn.test", "SRV"), ["0 1 993 mx.one.dyn.test."], "a service")
    peers.expect(ask("mx.one.dyn.test", "A"), ["192.0.2.1"], "the mail host's address")
    checked = place.command("domain", "check", "one.dyn.test")
    assert "one.dyn.test is in order" in checked and "by the provider PowerDNS Authoritative" in checked, checked
    place.command("domain", "remove", "one.dyn.test")
    peers.expect(ask("one.dyn.test", "TXT"), ['"not ours"'], "only our text goes")
    for name, kind in (("one.dyn.test", "MX"), ("_dmarc.one.dyn.test", "TXT"), ("_long.one.dyn.test", "TXT"),
                       ("_imaps._tcp.one.dyn.test", "SRV"), ("mx.one.dyn.test", "A")):
        peers.expect(ask(name, kind), [], f"{name} {kind} goes with the entry")
    assert KEY not in told(place), "the key stands in the log"


def credentials_that_a_provider_refuses_are_told_and_mended_in_their_file(place, peers):
    pdns = begin(place, key="another-key-of-the-test")
    said = place.command("domain", "add", "four.dyn.test")
    assert "does not accept the credentials" in said and "dns.publish.credentials-file" in said, said
    assert "dns_failed" in told(place) and "another-key" not in told(place) + said, said
    peers.expect(peers.ask(pdns.port, "four.dyn.test", "MX"), [], "nothing is published")
    credentials(place, KEY)
    peers.until(lambda: peers.ask(pdns.port, "four.dyn.test", "MX") == ["10 mx.one.dyn.test."], "it is published by itself")


def what_a_provider_that_is_away_has_to_be_told_is_told_later(place, peers):
    pdns = begin(place, started=False)
    said = place.command("domain", "add", "two.dyn.test")
    assert "cannot be reached" in said and "tried again" in said, said
    assert "two.dyn.test" in place.command("explain", "postmaster@two.dyn.test"), "mail flows meanwhile"
    place.server.kill()
    pdns.start()
    place.server.start()
    peers.until(lambda: peers.ask(pdns.port, "two.dyn.test", "MX") == ["10 mx.one.dyn.test."], "the next start goes on")


def a_change_that_fails_halfway_goes_with_its_domain(place, peers):
    pdns = begin(place)
    pdns.put("_dmarc.half.dyn.test.", "CNAME", "elsewhere.dyn.test.")
    said = place.command("domain", "add", "half.dyn.test")
    assert "not published yet: PowerDNS Authoritative refuses the records in dyn.test" in said, said
    peers.expect(peers.ask(pdns.port, "half.dyn.test", "MX"), ["10 mx.one.dyn.test."], "what came before the failure")
    place.server.kill()
    place.server.start()
    place.command("domain", "remove", "half.dyn.test")
    for kind in ("MX", "TXT"):
        peers.expect(peers.ask(pdns.port, "half.dyn.test", kind), [], f"{kind} goes, too")
    alias = peers.ask(pdns.port, "_dmarc.half.dyn.test", "CNAME")
    peers.expect(alias, ["elsewhere.dyn.test."], "what is somebody else's stays")


def a_zone_that_a_provider_does_not_have_is_told(place, peers):
    begin(place)
    said = place.command("domain", "add", "new.absent.test")
    assert "has no zone absent.test" in said and "dns.publish.zones" in said, said


CASES = [
    records_come_to_a_provider_and_go_with_the_entry,
    credentials_that_a_provider_refuses_are_told_and_mended_in_their_file,
    what_a_provider_that_is_away_has_to_be_told_is_told_later,
    a_change_that_fails_halfway_goes_with_its_domain,
    a_zone_that_a_provider_does_not_have_is_told,
]
