"""The servers of the benchmark, each on loopback, in a folder of its own, with durable settings.

Every server has: `name`, `start()`, `stop()`, `pids()` (the roots of its process trees), `port`, `recipient`,
and `drained(sent)`: whether all that was accepted has reached its mailbox or next hop.
Postfix and Dovecot deliver as the user `mail`, which every Debian has.
"""

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

from wasmta_server import TOP, Wasmta, free_port, wait_for_port

START_SECONDS_MAX = 30
MAIL_USER = "mail"
IDLE_USERS = 25


def run_to_file(command, path):
    """Runs a command that leaves daemons behind: they would hold a pipe open for as long as they live."""
    with open(path, "wb") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=START_SECONDS_MAX)
    return path.read_text(errors="replace")


class Floor:
    """tests/bench/floor.rs."""

    name = "floor"
    recipient = "box@dest.test"

    def __init__(self, folder, binary):
        self.folder, self.binary, self.port, self.process = Path(folder), binary, free_port(), None

    def start(self):
        address = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [str(self.binary), address, str(self.folder / "data")], stdout=subprocess.DEVNULL
        )
        assert wait_for_port(self.port, START_SECONDS_MAX), "the floor does not listen"
        return self

    def pids(self):
        return [self.process.pid]

    def drained(self, _sent):
        return True

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()


class WasmtaLocal:
    """wasmta as it is delivered, to a mailbox of its store."""

    name = "wasmta"
    recipient = "user1@example.org"

    def __init__(self, folder, binary, config=""):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("directory.ldif", "rewrite.rules"):
            shutil.copy(TOP / "config" / name, folder / name)
        # Everything that is not said here is as it ships: durable, logging every message.
        (folder / "wasmta.toml").write_text(config)
        self.server = Wasmta(binary, folder, folder / "wasmta.toml")

    @property
    def port(self):
        return self.server.port("smtp")

    def start(self):
        self.server.start()
        return self

    def pids(self):
        return [self.server.process.pid]

    def drained(self, _sent):
        return True

    def imap(self):
        """Processes, port, logins and their password, for idle connections: accounts enough for the limit of sessions
        that one account may have."""
        users = [f"idle{number}@example.org" for number in range(IDLE_USERS)]
        for user in users:
            self.server.command("user", "add", user, "--password", "password")
        return self.pids(), self.server.port("imap"), users, "password"

    def stop(self):
        self.server.stop()


class WasmtaRelay(WasmtaLocal):
    """wasmta that hands everything for dest.test to the sink."""

    name = "wasmta-relay"
    recipient = "box@dest.test"

    def __init__(self, folder, binary, sink):
        hosts = f'[hosts]\n"dest.test" = ["127.0.0.1:{sink.port}"]\n'
        super().__init__(folder, binary, '[smtp]\nrelay-from = ["127.0.0.0/8"]\n' + hosts)
        self.sink, self.before = sink, sink.received

    def drained(self, sent):
        """The sink has counted them all; it counts for one server at a time."""
        if self.sink.received - self.before < sent:
            return False
        self.before = self.sink.received
        return True


class Postfix:
    """Postfix; `route` says what becomes of dest.test."""

    recipient = "box@dest.test"

    def __init__(self, folder, name, route):
        self.folder, self.name, self.route, self.port = Path(folder), name, route, free_port()
        self.etc = self.folder / "etc"

    def start(self):
        for part in ("etc", "spool", "data", "mail"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        shutil.chown(self.folder / "data", "postfix")
        shutil.chown(self.folder / "mail", MAIL_USER, MAIL_USER)
        (self.etc / "main.cf").write_text(MAIN_CF.format(folder=self.folder, route=self.route))
        (self.etc / "master.cf").write_text(MASTER_CF.format(port=self.port))
        said = run_to_file(["postfix", "-c", str(self.etc), "start"], self.folder / "start.log")
        if not wait_for_port(self.port, START_SECONDS_MAX):
            raise RuntimeError(f"postfix does not listen: {said}")
        return self

    def pids(self):
        return [int((self.folder / "spool/pid/master.pid").read_text())]

    def drained(self, _sent):
        """Its queue directories are empty."""
        for queue in ("incoming", "active", "maildrop", "deferred"):
            for _, _, files in os.walk(self.folder / "spool" / queue):
                if files:
                    return False
        return True

    def stop(self):
        if (self.folder / "spool/pid/master.pid").exists():
            run_to_file(["postfix", "-c", str(self.etc), "stop"], self.folder / "stop.log")


def postfix_maildir(folder):
    """Postfix with its own `virtual` delivering to a maildir (each message synced to disk)."""
    import pwd

    user = pwd.getpwnam(MAIL_USER)
    return Postfix(
        folder,
        "postfix-maildir",
        f"""virtual_mailbox_domains = dest.test
virtual_mailbox_maps = static:box/Maildir/
virtual_mailbox_base = {folder}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}""",
    )


def postfix_relay(folder, sink):
    """Postfix that hands everything for dest.test to the sink."""
    return Postfix(
        folder,
        "postfix-relay",
        f"transport_maps = inline:{{dest.test=smtp:[127.0.0.1]:{sink.port}}}\nrelay_domains = dest.test",
    )


class PostfixDovecot(Postfix):
    """Postfix -> LMTP -> Dovecot: queued, stored, and indexed for IMAP."""

    def __init__(self, folder):
        self.dovecot = Dovecot(Path(folder) / "dovecot")
        super().__init__(
            folder,
            "postfix-dovecot",
            f"""virtual_mailbox_domains = dest.test
virtual_mailbox_maps = static:x
virtual_transport = lmtp:inet:127.0.0.1:{self.dovecot.lmtp_port}""",
        )

    def start(self):
        self.dovecot.start()
        return super().start()

    def pids(self):
        return super().pids() + self.dovecot.pids()

    def stop(self):
        super().stop()
        self.dovecot.stop()


class Dovecot:
    """Dovecot's LMTP and IMAP, maildir format, everything synced (`mail_fsync = always`)."""

    def __init__(self, folder):
        self.folder, self.lmtp_port, self.imap_port = Path(folder), free_port(), free_port()
        self.conf = self.folder / "dovecot.conf"

    def start(self):
        for part in ("run", "state", "mail"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        shutil.chown(self.folder / "mail", MAIL_USER, MAIL_USER)
        self.conf.write_text(
            DOVECOT_CONF.format(folder=self.folder, lmtp=self.lmtp_port, imap=self.imap_port, user=MAIL_USER)
        )
        said = run_to_file(["dovecot", "-c", str(self.conf)], self.folder / "start.log")
        if not wait_for_port(self.lmtp_port, START_SECONDS_MAX):
            raise RuntimeError(f"dovecot does not listen: {said}")

    def pids(self):
        return [int((self.folder / "run/master.pid").read_text())]

    def stop(self):
        if (self.folder / "run/master.pid").exists():
            run_to_file(["doveadm", "-c", str(self.conf), "stop"], self.folder / "stop.log")


class Sink:
    """`smtp-sink`: accepts everything and counts it."""

    def __init__(self):
        self.port, self.received, self.process = free_port(), 0, None

    def start(self):
        self.process = subprocess.Popen(
            ["smtp-sink", "-c", "-u", "nobody", f"127.0.0.1:{self.port}", "1000"]
            if os.geteuid() == 0
            else ["smtp-sink", "-c", f"127.0.0.1:{self.port}", "1000"],
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self.count, daemon=True).start()
        assert wait_for_port(self.port, START_SECONDS_MAX), "smtp-sink does not listen"
        return self

    def count(self):
        """It prints `sess=… quit=… mesg=…` and a carriage return at each change."""
        tail = b""
        while octets := os.read(self.process.stdout.fileno(), 1 << 16):
            tail = (tail + octets)[-200:]
            if found := re.findall(rb"mesg=(\d+)\s*\r", tail):
                self.received = int(found[-1])

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()


MAIN_CF = """compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = /tmp, /var, {folder}
myhostname = mx.test
mydestination =
local_recipient_maps =
alias_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 100
smtp_dns_support_level = disabled
smtp_tls_security_level = none
in_flow_delay = 0
notify_classes =
{route}
"""

MASTER_CF = """127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

DOVECOT_CONF = """base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
disable_plaintext_auth = no
ssl = no
mail_uid = {user}
mail_gid = {user}
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u/Maildir
mail_fsync = always
default_process_limit = 2000
default_client_limit = 4000
mail_max_userip_connections = 2000
passdb {{
  driver = static
  args = password=password
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={folder}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
}}
service anvil {{
  client_limit = 8000
}}
service auth {{
  client_limit = 12000
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
  service_count = 0
  process_min_avail = 1
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
  client_limit = 1
}}
"""
