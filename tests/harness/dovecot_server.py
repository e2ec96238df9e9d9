"""Debian's Dovecot on loopback, in a folder of its own, for tests and benchmarks that hold wasmta's IMAP beside it.

Any user name, one password. It runs as the user `mail`, which every Debian has, and wants to be started by root.
"""

import os
import shutil
import subprocess
from pathlib import Path

from wasmta_server import free_port, wait_for_port

PASSWORD = "password"
MAIL_USER = "mail"
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30
CONNECTIONS_MAX = 12_000


def program():
    """Where Dovecot is; None where it cannot be run."""
    return (shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")) if os.geteuid() == 0 else None


class Dovecot:
    """One instance. `mail_fsync` as in its manual: `optimized` is its default, `always` is more."""

    def __init__(self, folder, mail_fsync="optimized", more=""):
        self.folder, self.port, self.process = Path(folder), free_port(), None
        self.conf = self.folder / "dovecot.conf"
        self.settings = {"fsync": mail_fsync, "more": more, "user": MAIL_USER, "connections": CONNECTIONS_MAX}

    def start(self):
        for part in ("run", "state", "mail"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        shutil.chown(self.folder / "mail", MAIL_USER, MAIL_USER)
        self.conf.write_text(CONF.format(folder=self.folder, port=self.port, password=PASSWORD, **self.settings))
        with open(self.folder / "start.log", "wb") as log:
            # In the foreground: then it is our child, and is ended by its own id.
            self.process = subprocess.Popen(
                [program(), "-F", "-c", str(self.conf)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if not wait_for_port(self.port, START_SECONDS_MAX, lambda: self.process.poll() is None):
            said = (self.folder / "start.log").read_text(errors="replace")
            self.stop()
            raise RuntimeError(f"dovecot does not listen: {said[-1000:]}")
        return self

    def pids(self):
        return [self.process.pid]

    def version(self):
        return subprocess.run([program(), "--version"], capture_output=True, text=True).stdout.strip()

    def stop(self):
        """Its master ends its children."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


CONF = """base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
disable_plaintext_auth = no
ssl = no
mail_uid = {user}
mail_gid = {user}
first_valid_uid = 1
mail_location = sdbox:{folder}/mail/%u/dbox
mail_fsync = {fsync}
default_process_limit = {connections}
default_client_limit = {connections}
mail_max_userip_connections = {connections}
imap_max_line_length = 1M
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={folder}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service anvil {{
  client_limit = 50000
}}
service auth {{
  client_limit = 50000
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
  service_count = 0
  process_min_avail = 2
}}
service imap {{
  process_limit = {connections}
}}
{more}
"""
