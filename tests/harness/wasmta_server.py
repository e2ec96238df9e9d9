"""Starts the wasmta binary for the scripts in tests/: free ports, a folder of its own, ended by its own process id.

Nothing here knows what a test wants to show; it is the Python side of tests/harness.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent

# The default ports (config/wasmta.toml); `--port-offset` shifts them all.
PORTS = {
    "smtp": 2525,
    "submission": 2587,
    "submissions": 2465,
    "lmtp": 2424,
    "imap": 2143,
    "imaps": 2993,
    "pop3": 2110,
    "pop3s": 2995,
    # Only where a test names it.
    "metrics": 2464,
}
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
OFFSETS_TRIED_MAX = 200


class ServerError(Exception):
    """The server did not start, or did not answer."""


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_offset():
    """An offset at which all of wasmta's ports are free; below the range that the kernel hands out. By chance, so that
    servers that are not started yet, and other runs, hardly ever want the same."""
    chance = random.SystemRandom()
    for _ in range(OFFSETS_TRIED_MAX):
        offset = chance.randrange(2000, 27000)
        if all(port_is_free(port + offset) for port in PORTS.values()):
            return offset
    raise ServerError("no free range of ports")


def wait_for_port(port, seconds, alive=lambda: True):
    """Waits until something accepts connections on the port."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not alive():
            return False
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def build(release=True, cargo=None):
    """Builds the binary and gives its path; `WASMTA` names one that is already there."""
    given = os.environ.get("WASMTA")
    if given:
        return Path(given).resolve()
    command = [cargo or os.environ.get("CARGO", "cargo"), "build"] + (["--release"] if release else [])
    subprocess.run(command, cwd=TOP, check=True)
    return target() / ("release" if release else "debug") / "wasmta"


def target():
    """Where cargo puts what it builds."""
    return Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))


class Wasmta:
    """One instance of the server."""

    def __init__(self, binary, folder, config=None):
        self.binary = Path(binary)
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.log = self.folder / "wasmta.log"
        self.config = Path(config) if config else self.folder / "wasmta.toml"
        self.offset = free_offset()
        self.process = None
        self.folder.mkdir(parents=True, exist_ok=True)
        if config is None:
            for name in ("wasmta.toml", "directory.ldif", "rewrite.rules"):
                source = TOP / "config" / name
                if source.exists():
                    shutil.copy(source, self.folder / name)

    def port(self, name):
        return PORTS[name] + self.offset

    def options(self):
        """The global options that make a command speak of this instance."""
        return ["--config", str(self.config), "--data", str(self.data), "--port-offset", str(self.offset)]

    def launch(self, prefix=()):
        """Starts it, and does not wait."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*prefix, str(self.binary), *self.options(), "serve"],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

    def start(self, wait=START_SECONDS_MAX, prefix=()):
        """Starts it and waits until SMTP, IMAP and POP3 answer."""
        self.launch(prefix)
        for name in ("smtp", "imap", "pop3"):
            if not wait_for_port(self.port(name), wait, lambda: self.process.poll() is None):
                tail = self.log.read_text(errors="replace")[-2000:]
                self.kill()
                raise ServerError(f"wasmta does not listen for {name}; its log ends:\n{tail}")
        return self

    def command(self, *words, check=True, timeout=60):
        """Runs `wasmta …` against this instance and gives its standard output."""
        done = subprocess.run(
            [str(self.binary), *self.options(), *words],
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
        )
        if check and done.returncode != 0:
            raise ServerError(f"wasmta {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def kill(self):
        """SIGKILL: the crash of the fault tests."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def stop(self):
        """SIGTERM, and SIGKILL only when that does not end it. Gives the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode
