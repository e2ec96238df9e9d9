"""What the benchmark measures: processor time of whole process trees, messages a second, syncs, memory."""

import functools
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
DRAIN_SECONDS_MAX = 120
DRAIN_POLL_SECONDS = 0.02
LOAD_SECONDS_MAX = 300
SYNC_CALLS = ("fsync", "fdatasync", "msync", "sync_file_range", "syncfs", "sync")
# write calls that are a sync each when the descriptor was opened with O_SYNC or O_DSYNC (LMDB's meta page)
WRITE_CALLS = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
O_DSYNC = 0o10000


def tree(roots):
    """The processes of the trees that begin at these."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = stat_fields(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, []))
    return found


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(roots):
    """Processor time, user and system, of the trees: the living, and the dead whom their parents have reaped."""
    ticks = 0
    for pid in tree(roots):
        fields = stat_fields(pid)
        if fields:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_SECOND


def memory_kib(roots):
    """Proportional set size of the trees, in KiB."""
    total = 0
    for pid in tree(roots):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
    return total


def anonymous_kib(roots):
    """Memory of the trees that is not of files, in KiB."""
    total = 0
    for pid in tree(roots):
        try:
            total += int(re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M).group(1))
        except OSError:
            continue
    return total


def smtp_source(server, messages, persistent, sessions, octets):
    """Runs Postfix's load generator against a server."""
    command = ["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(octets)]
    command += ["-d"] if persistent else []
    command += ["-f", "sender@source.test", "-t", server.recipient, f"127.0.0.1:{server.port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECONDS_MAX)
    if done.returncode != 0:
        raise RuntimeError(f"{server.name}: smtp-source: {done.stdout}{done.stderr}")


def load(server, messages, persistent, sessions, octets):
    """One round: CPU milliseconds a message, and messages a second until the last is where it belongs."""
    cpu, began = cpu_seconds(server.pids()), time.monotonic()
    smtp_source(server, messages, persistent, sessions, octets)
    while not server.drained(messages):
        if time.monotonic() - began > DRAIN_SECONDS_MAX:
            raise RuntimeError(f"{server.name}: not all messages arrived within {DRAIN_SECONDS_MAX} s")
        time.sleep(DRAIN_POLL_SECONDS)
    seconds = time.monotonic() - began
    # Work that goes on after the last message (closing sessions, deleting queue files) is the server's too.
    time.sleep(0.2)
    return {
        "cpu_ms": (cpu_seconds(server.pids()) - cpu) * 1000 / messages,
        "messages_per_second": messages / seconds,
    }


def medians(by_server):
    """The median of each measure over a server's rounds, and how far the rounds spread."""
    result = {}
    for name, runs in by_server.items():
        entry = result.setdefault(name, {})
        for measured in ("cpu_ms", "messages_per_second"):
            values = [run[measured] for run in runs]
            entry[measured] = statistics.median(values)
            entry[f"{measured}_min"], entry[f"{measured}_max"] = min(values), max(values)
    return result


def syncs(server, messages, sessions, octets, folder, persistent=False):
    """Sync calls per message, counted by strace over the whole tree; None where strace is not there.

    A write to a descriptor with O_DSYNC is a sync too: LMDB writes its meta page so.
    """
    if not shutil.which("strace"):
        return None
    trace = Path(folder) / "strace"
    attach = [word for pid in tree(server.pids()) for word in ("-p", str(pid))]
    calls = ",".join(SYNC_CALLS + WRITE_CALLS)
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-y", "-s", "0", "-o", str(trace), "-e", f"trace={calls}", *attach],
        stderr=subprocess.DEVNULL,
    )
    time.sleep(1)
    synced_files = synchronous_files(server)
    try:
        load(server, messages, persistent, sessions, octets)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    calls = {}
    for line in trace.read_text(errors="replace").splitlines():
        call = re.match(r"\d+\s+(\w+)\((\d+)?(?:<([^>]*)>)?", line)
        if not call:
            continue
        name, _, path = call.groups()
        if name in SYNC_CALLS:
            calls[name] = calls.get(name, 0) + 1
        elif name in WRITE_CALLS and (call.group(2), path) in synced_files:
            calls["O_DSYNC write"] = calls.get("O_DSYNC write", 0) + 1
    trace.unlink()
    return {name: count / messages for name, count in calls.items()}


def synchronous_files(server):
    """(descriptor, path) of what the server holds open with O_DSYNC."""
    found = set()
    for pid in tree(server.pids()):
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):
                text = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text()
                flags = int(re.search(r"^flags:\s+(\d+)", text, re.M).group(1), 8)
                if flags & O_DSYNC:
                    found.add((descriptor, os.readlink(f"/proc/{pid}/fd/{descriptor}")))
        except OSError:
            continue
    return found


def idle_imap(pids, port, users, password, connections):
    """Memory of one idle IMAP connection (logged in, INBOX selected, IDLE), in KiB."""
    # What the first sessions bring into memory for all is not the price of one connection.
    for user in users:
        idle_connection(port, user, password).close()
    time.sleep(1)
    before = memory_kib(pids)
    open_connections = []
    try:
        for number in range(connections):
            open_connections.append(idle_connection(port, users[number % len(users)], password))
        time.sleep(2)
        return (memory_kib(pids) - before) / connections
    finally:
        for connection in open_connections:
            connection.close()


def idle_connection(port, user, password):
    """Under TLS, as nearly all real ones are, where the server offers it."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    greeting = expect(connection, b"* ")
    if b"LOGINDISABLED" in greeting or b"STARTTLS" in greeting:
        connection.sendall(b"t STARTTLS\r\n")
        expect(connection, b"t OK")
        connection = insecure_tls().wrap_socket(connection)
    for tag, command in ((b"a", f"LOGIN {user} {password}"), (b"b", "SELECT INBOX")):
        connection.sendall(tag + b" " + command.encode() + b"\r\n")
        expect(connection, tag + b" OK")
    connection.sendall(b"c IDLE\r\n")
    expect(connection, b"+")
    return connection


@functools.cache
def insecure_tls():
    """One for all: each holds the certificates of all authorities, and ten thousand of them are gigabytes."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def expect(connection, start):
    """Reads until a line that begins so, and gives it."""
    received = b""
    while True:
        octets = connection.recv(4096)
        if not octets:
            raise RuntimeError(f"the server closed: {received!r}")
        received += octets
        for line in received.split(b"\r\n")[:-1]:
            if line.startswith(start):
                return line
            if re.match(rb"\w+ (NO|BAD)", line):
                raise RuntimeError(f"the server said {line!r}")


def sync_milliseconds(folder):
    """What one durable write of 4 KiB costs on the file system of the runs: the median of 50."""
    path, times = Path(folder) / "sync-probe", []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for _ in range(50):
            began = time.perf_counter()
            os.write(descriptor, b"x" * 4096)
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(times)


def machine(folder):
    """The machine, as far as it explains the figures."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))
    filesystem = subprocess.run(
        ["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True
    ).stdout.strip()
    return {
        "cpu": cpu.group(1) if cpu else "?",
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 1048576, 1),
        "kernel": os.uname().release,
        "filesystem": filesystem,
        "sync_ms": round(sync_milliseconds(folder), 3),
        "load_average_before": os.getloadavg()[0],
    }
