"""The compilers of the four languages, as far as they can be had: from this machine, or from the registries, as the pages of
docs/plugins say. Nothing is installed outside the target folder and the project that is built."""

import hashlib
import os
import shutil
import subprocess
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent.parent
# What the glue for C was made of; where wit-bindgen is not there, the committed one is taken if this is still so.
BINDINGS = HERE / "c-bindings"
INSTALL_SECONDS_MAX = 600


class Missing(Exception):
    """A compiler is neither here nor to be had; says which, and why."""


def run(words, folder, environment=None, seconds=INSTALL_SECONDS_MAX):
    """Runs a program; gives whether it did well, and what it said."""
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds,
    )
    return done.returncode == 0, done.stdout


def sealed(project):
    """What glue depends on: the project's world and the contract."""
    files = [project / "wit/world.wit", project / "wit/deps/wasmta-policy/policy.wit"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class Toolchains:
    """What a build of each language needs from outside."""

    def __init__(self, target):
        self.target = Path(target).resolve()
        self.tools = Path(os.environ.get("WASM_TOOLS", self.target / "wasm-tools")).resolve()
        self.fetched = None
        # Two walks at once fetch once.
        self.one = threading.Lock()

    def environment(self, language, project):
        """The environment in which `./build` of a project finds its compiler; raises Missing."""
        return getattr(self, language)(Path(project))

    def fetch(self):
        """The compilers for Rust and C that plugins/build uses, by its own recipe."""
        with self.one:
            if self.fetched is None:
                words = ["plugins/build", "--tools"]
                self.fetched = run(words, TOP, {"WASM_TOOLS": str(self.tools)})
        well, said = self.fetched
        if not well:
            raise Missing(" ".join(said.split()))

    def rust(self, _):
        cache = {"CARGO_TARGET_DIR": str(self.target / "author-walk")}
        libraries = subprocess.run(
            ["rustc", "--print", "target-libdir", "--target", "wasm32-unknown-unknown"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )
        if libraries.returncode == 0 and any(Path(libraries.stdout.strip()).glob("libcore-*.rlib")):
            return cache
        self.fetch()
        tools = self.tools / "bin"
        return cache | {
            "PATH": f"{tools}:{os.environ['PATH']}", "RUSTC": str(tools / "rustc"), "RUSTC_BOOTSTRAP": "1",
            "CARGO_UNSTABLE_BUILD_STD": "std,panic_abort",
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER": str(tools / "wasm-component-ld"),
        }

    def c(self, project):
        if shutil.which(os.environ.get("WIT_BINDGEN", "wit-bindgen")) is None:
            if (BINDINGS / "FROM").read_text().strip() != sealed(project):
                raise Missing("wit-bindgen is not here, and tests/plugins/author/c-bindings is of another contract or world: "
                              "put target/bindings of a build with wit-bindgen there, and run it with --seal")
            shutil.copytree(BINDINGS, project / "bindings")
        sdk = Path(os.environ.get("WASI_SDK_PATH", "/opt/wasi-sdk"))
        if (sdk / "bin/clang").exists():
            return {}
        self.fetch()
        tools, system = self.tools / "bin", self.tools / "root/usr"
        return {
            "CC": str(tools / "clang"), "WASM_COMPONENT_LD": str(tools / "wasm-component-ld"),
            "WASI_INCLUDE": str(system / "include/wasm32-wasi"), "WASI_LIB": str(system / "lib/wasm32-wasi"),
            "PATH": f"{tools}:{os.environ['PATH']}",
        }

    def js(self, project):
        for program in ("node", "npm"):
            if shutil.which(program) is None:
                raise Missing(f"{program} is not here")
        well, said = run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], project)
        if not well:
            raise Missing(f"npm could not install what package.json names: {said.strip()[-200:]}")
        return {}

    def python(self, project):
        if shutil.which("python3") is None:
            raise Missing("python3 is not here")
        well, said = run(["python3", "-m", "venv", ".venv"], project)
        if not well:
            raise Missing(f"python3 has no venv: {said.strip()[-200:]}")
        pip = [".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        well, said = run([*pip, "-r", "requirements.txt"], project)
        if not well:
            raise Missing(f"pip could not install what requirements.txt names: {said.strip()[-200:]}")
        return {}
