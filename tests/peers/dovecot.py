"""A Dovecot of our own: on loopback, in a folder of its own, with any user and one password."""

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import wasmta_server

PASSWORD = "password"
# With it any login may act for any user.
MASTER_PASSWORD = "of-the-master"
START_SECONDS_MAX = 20

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
mail_location = maildir:{folder}/mail/%u/Maildir
mail_fsync = never
first_valid_uid = 0
mail_uid = {user}
mail_gid = {group}
{users}
passdb {{
  driver = static
  args = password={master_password}
  master = yes
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = .
  prefix = {prefix}
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
"""


class Dovecot:
    """One instance; `prefix` is that of the account's own mailboxes."""

    def __init__(self, prefix=""):
        # Not below the test's folder, which the user of the mail may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="wasmta-dovecot-"))
        self.folder.chmod(0o755)
        self.port, self.tls_port = wasmta_server.free_port(), wasmta_server.free_port()
        self.process = None
        self.root = os.geteuid() == 0
        self.owner = pwd.getpwnam("nobody" if self.root else getpass.getuser())
        mail = self.folder / "mail"
        mail.mkdir()
        self.own(mail)
        self.certificate()
        name = self.owner.pw_name
        users = "" if self.root else f"default_internal_user = {name}\ndefault_login_user = {name}"
        (self.folder / "dovecot.conf").write_text(CONFIG.format(
            folder=self.folder, user=self.owner.pw_uid, group=self.owner.pw_gid, users=users,
            password=PASSWORD, master_password=MASTER_PASSWORD, port=self.port, tls_port=self.tls_port, prefix=prefix,
        ))

    def own(self, path):
        """Gives a file or folder to the user that the mail belongs to."""
        if self.root:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)

    def own_all(self, top):
        self.own(top)
        for folder, folders, files in os.walk(top):
            for name in folders + files:
                self.own(Path(folder) / name)

    def certificate(self):
        """Of a host and no authority: as a server has it."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
             "-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "cert.pem")],
            check=True, capture_output=True,
        )

    def maildir(self, user):
        return self.folder / "mail" / user / "Maildir"

    def start(self):
        binary = shutil.which("dovecot") or "/usr/sbin/dovecot"
        self.process = subprocess.Popen(
            [binary, "-F", "-c", str(self.folder / "dovecot.conf")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for port in (self.port, self.tls_port):
            if not wasmta_server.wait_for_port(port, START_SECONDS_MAX, lambda: self.process.poll() is None):
                log = self.folder / "dovecot.log"
                raise AssertionError(f"Dovecot does not listen: {log.read_text() if log.exists() else ''}")
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(START_SECONDS_MAX)
        # Its log and mail are of no use any more; a file that it still writes is removed at the second try.
        for _ in range(2):
            shutil.rmtree(self.folder, ignore_errors=True)
            time.sleep(0.1)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()
