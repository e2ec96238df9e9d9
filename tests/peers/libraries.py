"""Client libraries that no package of Debian brings: installed by their own tools, of one version, below `target/`."""

import os
import shutil
import subprocess
import sys

import wasmta_server

INSTALL_SECONDS_MAX = 180
# Name → tool, and the version that the cases were written with.
ALL = {"imapclient": ("pip", "3.0.1"), "imapflow": ("npm", "1.0.191")}


def folder(name):
    return wasmta_server.target() / "peers" / name


def place_of(name):
    """What is there when it is installed."""
    tool, _ = ALL[name]
    return folder(name) / ("node_modules" if tool == "npm" else "") / name


def present(name):
    return place_of(name).exists()


def install(names):
    """Those that are missing, where their tools can reach a registry; a failure is told, and the case is skipped."""
    for name in [name for name in names if name in ALL and not present(name)]:
        tool, version = ALL[name]
        at = folder(name)
        at.mkdir(parents=True, exist_ok=True)
        if tool == "pip":
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(at), f"{name}=={version}"]
        elif shutil.which("npm"):
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(at), f"{name}@{version}"]
        else:
            continue
        print(f"installing {name} {version} by {tool}", flush=True)
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
            said = done.stderr.strip()[-500:] if done.returncode else ""
        except subprocess.TimeoutExpired:
            said = f"no answer within {INSTALL_SECONDS_MAX} s"
        if said:
            print(f"{tool} did not install {name}: {said}", flush=True)
            shutil.rmtree(at, ignore_errors=True)


def environment():
    """Where Python and Node look for them."""
    return os.environ | {
        "PYTHONPATH": str(folder("imapclient")), "NODE_PATH": str(folder("imapflow") / "node_modules"), "PYTHONDONTWRITEBYTECODE": "1",
    }
