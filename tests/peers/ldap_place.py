"""What an LDAP case has at hand: a slapd of its own, a wasmta that mirrors it, and ways to see what mail makes of it."""

import imaplib
import json
import shutil
import smtplib
import subprocess
import time

import slapd
import wasmta_server
from place import find, insecure_tls

VISIBLE_SECONDS_MAX = 1.0
PATIENCE_SECONDS = 15
PASSWORD = "password"

CONFIGURATION = """
[server]
name = "mail.test"
stop-grace = "1 s"
[auth]
cleartext = true
argon2-memory = "64 KiB"
argon2-passes = 1
scram-iterations = 4096
[dns]
servers = []
[directory]
source = "ldap"
[directory.ldap]
servers = [{servers}]
bases = ["o=isp", "o=internet"]
bind-dn = "{admin}"
password-file = "ldap.password"
connect-timeout = "2 s"
operation-timeout = "5 s"
miss-remembered = "{remembered}"
{further}
[routing]
"""


class LdapPlace:
    """One case's surroundings."""

    def __init__(self, binary, folder):
        self.folder = folder
        self.binary = binary
        self.slapd = None
        self.others = []
        self.server = None

    def slapd_with(self, entries=None, live=True, tls=False):
        tls_port = wasmta_server.free_port() if tls else None
        self.slapd = slapd.Slapd(self.folder / "slapd", wasmta_server.free_port(), live, tls_port)
        self.slapd.load(slapd.tree() if entries is None else entries)
        return self.slapd.start()

    def another_slapd(self, entries, suffixes=("o=isp", "o=internet")):
        """One more server, with entries of its own."""
        folder = self.folder / f"slapd-{len(self.others)}"
        other = slapd.Slapd(folder, wasmta_server.free_port(), suffixes=suffixes)
        self.others.append(other)
        other.load(entries)
        return other.start()

    def wasmta_with(self, further="", servers=None, wait=True, who=slapd.ADMIN, remembered="1 s", resolver=None):
        urls = servers or [self.slapd.url]
        self.server = wasmta_server.Wasmta(self.binary, self.folder / "server")
        (self.server.folder / "ldap.password").write_text(slapd.PASSWORD + "\n")
        listed = ", ".join(f'"{url}"' for url in urls)
        text = CONFIGURATION.format(servers=listed, admin=who, further=further, remembered=remembered)
        if resolver is not None:
            text = text.replace("servers = []", f'servers = ["{resolver}"]')
        self.server.config.write_text(text)
        self.server.start()
        if wait:
            self.until(lambda: self.status()["full_at"] is not None, "the first full sync")
        return self.server

    def clean(self):
        """Forgets what the server that was stopped has kept."""
        shutil.rmtree(self.server.data)
        self.server.log.unlink()

    def follows(self):
        """Waits until every base is followed live."""
        self.until(lambda: self.status()["followers"] and all(f["follows"] for f in self.status()["followers"]), "live")

    def follows_bases(self):
        """Waits until every base that is no reference is followed live."""
        def live():
            states = {follower["base"]: follower["follows"] for follower in self.status()["followers"]}
            return states.get("o=isp") and states.get("o=internet")

        self.until(live, "live")

    def end(self):
        try:
            if self.server is not None:
                self.server.stop()
        finally:
            for one in [self.slapd, *self.others]:
                if one is not None:
                    one.stop()

    # What one sees of the server.

    def status(self):
        return json.loads(self.server.command("sync", "status", "--json"))

    def sync(self, *words, check=True, seconds_max=60):
        done = subprocess.run(
            [str(self.binary), *self.server.options(), "sync", *words, "--json"], capture_output=True, text=True,
            timeout=seconds_max,
        )
        if check:
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)
        return done

    def rcpt(self, address):
        """The code that a stranger gets for a recipient."""
        client = smtplib.SMTP("127.0.0.1", self.server.port("smtp"), timeout=20)
        try:
            client.helo("remote.test")
            client.mail("stranger@remote.test")
            return client.rcpt(address)[0]
        finally:
            client.close()

    def deliver(self, address, subject):
        client = smtplib.SMTP("127.0.0.1", self.server.port("smtp"), timeout=20)
        try:
            client.sendmail("stranger@remote.test", [address], f"Subject: {subject}\r\n\r\nhello\r\n")
        finally:
            client.close()

    def read(self, login, subject, password=PASSWORD):
        session = imaplib.IMAP4("127.0.0.1", self.server.port("imap"))
        try:
            session.starttls(insecure_tls())
            session.login(login, password)
            return find(session, subject, "INBOX")
        finally:
            session.shutdown()

    def may_log_in(self, login, password=PASSWORD):
        session = imaplib.IMAP4("127.0.0.1", self.server.port("imap"))
        try:
            session.starttls(insecure_tls())
            session.login(login, password)
            return True
        except imaplib.IMAP4.error:
            return False
        finally:
            session.shutdown()

    def known(self, address):
        """Whether the tree here has it; asks nobody else."""
        return "dn: " in self.server.command("user", "show", address, check=False)

    def explained(self, address):
        return self.server.command("explain", address)

    def counter(self, name):
        return json.loads(self.server.command("status", "--json"))["counters"].get(name, 0)

    def until(self, holds, what, seconds=PATIENCE_SECONDS):
        """Waits until something holds; how long that took."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > seconds:
                raise AssertionError(f"not within {seconds} s: {what}")
            time.sleep(0.01)
        return time.monotonic() - began

    def log(self):
        return self.server.log.read_text(errors="replace")
