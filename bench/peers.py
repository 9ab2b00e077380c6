"""A peer: its file, its environment, its process. None is alive while another is measured."""

from __future__ import annotations

import ast
import ctypes
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OURS = "ours"
TEARDOWN_S = 30.0
ROW_TIMEOUT_S = 240.0
LONG_ROW_TIMEOUT_S = 7200.0
PR_SET_CHILD_SUBREAPER = 36


class PeerError(Exception):
    """A peer could not be installed, started or made to answer."""


@dataclass(frozen=True)
class Peer:
    """``REQUIREMENTS`` (pip), ``PACKAGES`` (Debian) and ``ENV`` are read from the file without running it; all must be literals."""

    path: Path
    requirements: tuple[str, ...]
    environment: dict[str, str]
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.stem

    @classmethod
    def of(cls, path: Path) -> Peer:
        literals: dict[str, Any] = {}
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                if node.targets[0].id in ("REQUIREMENTS", "PACKAGES", "ENV"):
                    literals[node.targets[0].id] = ast.literal_eval(node.value)
        packages = tuple(literals.get("PACKAGES", ()))
        return cls(path, tuple(literals.get("REQUIREMENTS", ())), dict(literals.get("ENV", {})), packages)

    def install_packages(self) -> None:
        """System packages that are missing, when we may; PeerError says what to run when we may not."""
        query = ["dpkg-query", "-W", "-f=${db:Status-Status} ${Package}\n", *self.packages]
        if not self.packages or shutil.which("dpkg-query") is None:
            return
        have = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
        missing = [package for package in self.packages if f"installed {package}" not in have]
        if not missing:
            return
        command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        if os.getuid() != 0:
            raise PeerError(f"{self.name} needs system packages: run this once: sudo {' '.join(command)}")
        print(f"· install {self.name}: {' '.join(missing)}", file=sys.stderr, flush=True)
        for step in (["apt-get", "update"], command):
            done = subprocess.run(
                step, capture_output=True, text=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            )
            if done.returncode != 0:
                raise PeerError(
                    f"{self.name} cannot be installed: {(done.stderr.strip() or 'apt-get failed').splitlines()[-1]}"
                )

    def python(self) -> str:
        """The interpreter that has the requirements: this one for none, else a cached venv that is made now if need be."""
        self.install_packages()
        if not self.requirements:
            return sys.executable
        venv = ROOT / ".venvs" / f"{self.path.parent.name}-{self.name}"
        stamp = venv / ".requirements"
        want = hashlib.sha256("\n".join(self.requirements).encode()).hexdigest()
        if not stamp.exists() or stamp.read_text() != want:
            print(
                f"· install {self.name} into {venv.relative_to(ROOT)}: {' '.join(self.requirements)}",
                file=sys.stderr,
                flush=True,
            )
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(venv)],
                [
                    str(venv / "bin/python"),
                    "-m",
                    "pip",
                    "install",
                    "-q",
                    "--disable-pip-version-check",
                    *self.requirements,
                ],
            ):
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode != 0:
                    raise PeerError(
                        f"{self.name} cannot be installed: {(done.stderr.strip() or 'pip failed').splitlines()[-1]}"
                    )
            stamp.write_text(want)
        return str(venv / "bin/python")


class Run:
    """One life of a peer's process; a context manager that leaves no descendant behind."""

    def __init__(self, peer: Peer, quick: bool) -> None:
        self.peer = peer
        self.quick = quick

    def __enter__(self) -> Run:
        adopt_orphans(True)
        self.others = set(children_of(os.getpid()))  # of whoever uses this module in a larger process
        self.process = subprocess.Popen(
            [self.peer.python(), "-P", str(ROOT / "bench/worker.py"), str(self.peer.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0", **self.peer.environment},
            start_new_session=True,
        )
        return self

    def measure(self, row: str, timeout_s: float = ROW_TIMEOUT_S) -> dict[str, Any]:
        """The worker's answer; PeerError when it dies or says nothing for that long."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps({"row": row, "quick": self.quick}) + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise PeerError(f"{self.peer.name} ended before {row}: exit status {self.process.wait()}") from None
        ready, _, _ = select.select([stdout], [], [], timeout_s)
        if not ready:
            raise PeerError(f"{self.peer.name}: {row} did not end in {timeout_s:.0f} s")
        line = stdout.readline()
        if not line:
            raise PeerError(f"{self.peer.name} died in {row}: exit status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(TEARDOWN_S)
        except subprocess.TimeoutExpired:
            pass
        kill_descendants(self.others)
        adopt_orphans(False)
        self.process.wait()
        self.process.stdout.close()


def adopt_orphans(adopt: bool) -> None:
    """Daemons that a peer leaves become our children, so that kill_descendants() finds them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def children_of(pid: int) -> list[int]:
    children = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat[stat.rindex(")") + 2 :].split()[1]) == pid:
                children.append(int(entry.name))
    return children


def kill_descendants(others: set[int]) -> None:
    """Kills every process below this one but the others, and reaps them; orphans come up to us as their parents die."""
    deadline = time.monotonic() + TEARDOWN_S
    while children := [child for child in children_of(os.getpid()) if child not in others]:
        for child in children:
            for pid in (child, *children_of(child)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for child in children:
            try:
                os.waitpid(child, os.WNOHANG)
            except ChildProcessError:
                pass
        if time.monotonic() > deadline:
            raise PeerError(f"processes {children} do not die")
        time.sleep(0.01)
