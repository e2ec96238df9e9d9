"""The server of the fault tests: its configuration, and how it is asked whether all is well."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "harness")]

import crowd  # noqa: E402
import wasmta_server  # noqa: E402

CONFIG = """
[smtp]
relay-from = ["127.0.0.0/8"]
[auth]
cleartext = true
{auth}
[log]
level = "warn"
[queue]
retry-first = "1 s"
retry-longest = "2 s"
[channels.smtp]
tls = "off"
connect-timeout = "5 s"
[hosts]
"remote.test" = ["127.0.0.1:{sink}"]
{more}
"""
CHECK_SECONDS_MAX = 300


def instance(binary, folder, sink_port, more="", ldif=""):
    """A server that may relay to the sink, with accounts and rules as they ship; `more` of configuration and accounts."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("directory.ldif", "rewrite.rules"):
        shipped = (wasmta_server.TOP / "config" / name).read_text()
        (folder / name).write_text(shipped + (ldif if name == "directory.ldif" else ""))
    config = folder / "wasmta.toml"
    config.write_text(CONFIG.format(sink=sink_port, more=more, auth=crowd.CONFIG))
    return wasmta_server.Wasmta(binary, folder, config)


def check(server, *words):
    """What `wasmta check`, or another check, finds wrong; empty when all is well."""
    words = words or ("check",)
    done = subprocess.run(
        [str(server.binary), *server.options(), *words],
        cwd=server.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CHECK_SECONDS_MAX,
    )
    return "" if done.returncode == 0 else f"wasmta {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}"
