"""A monitoring system at its normal work: Prometheus reads the server's numbers, and is asked for them."""

import json
import re
import smtplib
import subprocess
import time
import urllib.parse
import urllib.request

from cases import USER1, case
from wasmta_server import free_port

# What is laid under the server's configuration; the port is moved with the others.
LISTENER = """
[listeners.metrics]
protocol = "metrics"
address = "127.0.0.1:2464"
"""
CONFIG = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: wasmta
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""
ANSWER_SECONDS_MAX = 30


def value(port, query):
    """What Prometheus says to a query: the number of its only series, or nothing."""
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return None
    return float(found[0]["value"][1]) if len(found) == 1 else None


def until(port, query, wanted):
    """Waits until it says that."""
    end = time.monotonic() + ANSWER_SECONDS_MAX
    while (last := value(port, query)) != wanted:
        assert time.monotonic() < end, f"{query} is {last}, not {wanted}"
        time.sleep(0.1)


@case("Prometheus reads the numbers", "prometheus", "promtool")
def prometheus(place):
    server = place.server
    if LISTENER not in server.config.read_text():
        with open(server.config, "a") as config:
            config.write(LISTENER)
    server.command("reload")
    numbers = place.port("metrics")
    page = urllib.request.urlopen(f"http://127.0.0.1:{numbers}/metrics", timeout=10).read().decode()
    told = place.run("promtool", "check", "metrics", stdin=page)
    assert not told.stdout + told.stderr, told.stdout + told.stderr

    (place.folder / "prometheus.yml").write_text(CONFIG.format(port=numbers))
    port = free_port()
    with open(place.folder / "log", "wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={place.folder}/prometheus.yml", f"--storage.tsdb.path={place.folder}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}"],
            cwd=place.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
    try:
        until(port, "up", 1)
        before = int(re.search(r'^wasmta_events_total{event="accepted"} (\d+)$', page, re.MULTILINE).group(1))
        subject = place.subject("numbers")
        with smtplib.SMTP("127.0.0.1", place.port("smtp")) as session:
            session.sendmail("user2@example.org", [USER1], place.message(subject))
        place.arrived(USER1, subject)
        until(port, 'wasmta_events_total{event="accepted"}', before + 1)
        assert value(port, 'wasmta_directory_entries{kind="user"}') > 0
    finally:
        process.terminate()
        process.wait()
