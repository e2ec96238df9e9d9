"""How hostile clients are tried on a real server: a client that says what it likes, and the bounds of what it may cost."""

import re
import resource
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

from instance import check

# What a burst may cost while it lasts, at its peak.
# Measured with a message of 40 MB that is fetched and searched: 132 to 138 MiB, and 153 beside a build that kept both cores busy.
GROWTH_MIB_MAX = 200
SECONDS_MAX = 60
CASES, LONG = [], []


def case(test):
    CASES.append(test)
    return test


def long_case(test):
    LONG.append(test)
    return test


class Peer:
    """A client that says what it likes."""

    def __init__(self, server, listener, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", server.port(listener)), timeout=SECONDS_MAX)
        self.heard = b""
        if tls:
            self.begin_tls()

    def begin_tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket, self.heard = context.wrap_socket(self.socket), b""

    def send(self, octets):
        self.socket.sendall(octets)

    def flood(self, octets, times=1):
        """Sends beside what is read, as long as the server takes it."""

        def sending():
            try:
                for _ in range(times):
                    self.socket.sendall(octets)
            except OSError:
                pass

        threading.Thread(target=sending, daemon=True).start()

    def line(self):
        while b"\n" not in self.heard:
            more = self.socket.recv(1 << 16)
            assert more, f"closed, after {self.heard[-80:]!r}"
            self.heard += more
        line, self.heard = self.heard.split(b"\n", 1)
        return line.rstrip(b"\r").decode(errors="replace")

    def reply(self):
        while (line := self.line())[3:4] == "-":
            pass
        return line

    def say(self, command):
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def tagged(self, command):
        """An IMAP command; gives its last line."""
        self.send(b"a " + command.encode() + b"\r\n")
        while not (line := self.line()).startswith(("a ", "* BYE")):
            pass
        return line

    def last(self):
        """The last line before the server closes."""
        octets = self.heard
        while more := self.socket.recv(1 << 16):
            octets = (octets + more)[-4096:]
        return octets.rstrip().rsplit(b"\n", 1)[-1].decode(errors="replace").strip()

    def close(self):
        self.socket.close()


def starts(reply, *wanted):
    assert reply.startswith(wanted), f"expected {' or '.join(wanted)}, heard {reply!r}"


def memory_mib(server, which):
    """VmRSS: what it holds now; VmHWM: the most it held since `forget_peak`."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(which + r":\s+(\d+)", status)[1]) // 1024


def forget_peak(server):
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


def run(instance, alive=lambda server: None):
    """Tries all cases on one server, which `instance` makes in a folder; `alive` must hold after each. The exit status."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    folder, failures = tempfile.mkdtemp(prefix="wasmta-hostile-"), 0
    server = instance(folder)
    try:
        server.start()
        for test in CASES + (LONG if "--long" in sys.argv else []):
            name, before, began = test.__name__.replace("_", " "), memory_mib(server, "VmRSS"), time.monotonic()
            forget_peak(server)
            fault = None
            try:
                test(server)
                if server.process.poll() is None:
                    alive(server)
            except (AssertionError, OSError) as error:
                fault = f"{type(error).__name__}: {error}"
            if server.process.poll() is not None:
                print(f"FAILED   {name}: the server ended")
                return 1
            grown = memory_mib(server, "VmHWM") - before
            if not fault and grown > GROWTH_MIB_MAX:
                fault = f"memory grew by {grown} MiB"
            failures += fault is not None
            words = f"FAILED   {name}: {fault}" if fault else f"passed   {name}"
            print(f"{words} ({time.monotonic() - began:.1f} s, {grown:+} MiB)", flush=True)
        if "panicked" in server.log.read_text(errors="replace"):
            failures += 1
            print("FAILED   the log tells of a panic")
        status = server.stop()
        violations = check(server)
        if status != 0 or violations:
            failures += 1
            print(f"FAILED   the end: status {status} {violations}")
        return 1 if failures else 0
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
