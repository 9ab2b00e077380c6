"""What a run came from, written down by itself: the code as it was, the Python environment, the command, the host, the output."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from .redact import looks_secret, redact_argv, redact_text
from .screen import moves_up, shown

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_OUTPUT_BYTES",
    "Output",
    "capture_all",
    "capture_command",
    "capture_git",
    "capture_host",
    "capture_python",
    "code_changes",
    "code_text",
    "forget_git",
    "merged",
    "wanted",
]

MAX_FILE_BYTES = 1 << 20  # of one untracked file
MAX_UNTRACKED_BYTES = 16 << 20  # of all of them
MAX_UNTRACKED_FILES = 1000
MAX_SKIPPED_NAMED = 100  # of what was left out, so many are named
GIT_TIMEOUT_S = 20.0
MAX_PART_BYTES = 30_000  # of a topic's JSON in one record
MAX_PARTS = 64  # of a topic
MAX_OUTPUT_BYTES = 1 << 20  # of text kept from the beginning of a run
MAX_TAIL_BYTES = 64 << 10  # and from its end
MAX_LINE_CHARS = 4096
MAX_PENDING_CHARS = 64 << 10  # of a line whose end has not come
LINE_COST_BYTES = 48  # that a line takes in the log beyond its text

# Files of these names are not taken even where git does not ignore them.
SECRET_NAMES = (
    "*.env", ".env*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.gpg", "*.asc",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc", ".htpasswd",
    "kubeconfig*", "*secret*", "*password*", "*passwd*", "*credential*", "*apikey*", "*api_key*",
)  # fmt: skip


class _GitError(Exception):
    pass


# What git could start: hooks, a monitor of files, a pager, a helper for passwords, ssh and other transports (of a partial clone),
# a collection of garbage. Programs of diffs are switched off where there is a diff, filters by `_silenced_filters`.
_SILENCED = {
    "core.hooksPath": "/dev/null", "core.fsmonitor": "", "core.pager": "cat", "core.sshCommand": "false", "core.askPass": "false",
    "credential.helper": "", "protocol.allow": "never", "submodule.recurse": "false", "gc.auto": "0", "maintenance.auto": "false",
    "commit.gpgSign": "false", "user.name": "daybreak", "user.email": "daybreak@localhost",
}  # fmt: skip
_NO_PROGRAMS = (
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--ignore-submodules=dirty",
    "--submodule=short",
)


def _environment(settings: Mapping[str, str], index: Path | None) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "SSH_ASKPASS"))}
    # Of a folder that is the working directory's ("." in PATH) any repository could be.
    kept["PATH"] = os.pathsep.join(part for part in os.get_exec_path() if os.path.isabs(part))
    kept |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    kept |= {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_CONFIG_COUNT": str(len(settings))}
    for i, (key, value) in enumerate(settings.items()):
        kept |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return kept | ({"GIT_INDEX_FILE": str(index)} if index is not None else {})


def _git(
    root: Path, *arguments: str, index: Path | None = None, stdin: bytes = b"", settings: Mapping[str, str] = _SILENCED
) -> bytes:
    """Output of a git command that starts no other program, asks nothing and takes no optional lock."""
    environment = _environment(settings, index)
    program = shutil.which("git", path=environment["PATH"])
    if program is None:
        raise _GitError("there is no program 'git' in PATH")
    try:
        done = subprocess.run(
            [program, "--no-pager", *arguments],
            cwd=root,
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _GitError(str(error)) from None
    if done.returncode != 0:
        raise _GitError(done.stderr.decode("utf-8", "replace").strip()[:500])
    return done.stdout


def _silenced_filters(root: Path) -> dict[str, str]:
    """Settings by which no filter that the repository's own configuration names is run; those that the user has set up for all
    repositories (as git-lfs is) are the user's."""
    fields = os.fsdecode(_git(root, "config", "--list", "--show-scope", "-z")).split("\0")
    settings: dict[str, str] = {}
    for scope, setting in zip(fields[::2], fields[1::2], strict=False):
        key = setting.partition("\n")[0]
        name, _, kind = key.rpartition(".")
        if scope in ("local", "worktree") and key.startswith("filter.") and kind in ("clean", "smudge", "process"):
            settings |= {f"{name}.clean": "", f"{name}.smudge": "", f"{name}.process": "", f"{name}.required": "false"}
    return {**_SILENCED, **settings}


def _named_like_a_secret(path: str) -> bool:
    name = path.rsplit("/", 1)[-1].lower()
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in SECRET_NAMES) or looks_secret(name.split(".")[0])


def _untracked(root: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Paths to take along, and those left out with the reason."""
    taken: list[str] = []
    skipped: list[dict[str, str]] = []
    total = 0
    listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--full-name", ":/")
    for path in filter(None, os.fsdecode(listed).split("\0")):
        file = root / path
        try:
            size = file.lstat().st_size
        except OSError:
            continue  # gone in the meantime
        if _named_like_a_secret(path):
            reason = "named like a secret"
        elif not (file.is_file() or file.is_symlink()):
            reason = "no file"
        elif size > MAX_FILE_BYTES:
            reason = f"{size:,} bytes, at most {MAX_FILE_BYTES:,} are taken"
        elif len(taken) == MAX_UNTRACKED_FILES or total + size > MAX_UNTRACKED_BYTES:
            reason = f"beyond {MAX_UNTRACKED_FILES:,} files or {MAX_UNTRACKED_BYTES:,} bytes of untracked files"
        else:
            taken.append(path)
            total += size
            continue
        skipped.append({"path": path, "reason": reason})
    return taken, skipped


def capture_git(run_id: str, directory: str | os.PathLike[str] | None = None) -> dict[str, Any] | None:
    """Keeps the code as it is under `refs/daybreak/runs/<run id>`; None outside a git repository.

    Tracked changes and untracked files go into a tree of their own, by an index of their own: branch, index and work tree stay as
    they are. Untracked files are taken only when git does not ignore them, up to 1 MiB each and 16 MiB in all, and not when they
    are named like secrets. Submodules are kept as the commit that they are on.

    The result has `commit` (HEAD, or None before the first one), `branch`, `ref`, `snapshot` (the commit that ref names), `dirty`,
    `subdirectory`, `unmerged` (files in conflict: kept as they lie there), and `skipped`: untracked files that were left out, and
    why. When git fails (there is no git, the repository is another user's), only `error`. No program that the repository names is
    run: no hook, filter, monitor, pager, diff or transport.

    To see it: `git diff <commit> <ref>`; to have it: `git worktree add somewhere <ref>`.
    """
    here = Path(directory or ".").resolve()
    try:
        top = os.fsdecode(_git(here, "rev-parse", "--show-toplevel")).removesuffix("\n")
    except _GitError as error:
        if not any((folder / ".git").exists() for folder in (here, *here.parents)):
            return None
        return {"error": redact_text(f"the code was not kept: {error}")}
    root = Path(top)
    try:
        return {"subdirectory": here.relative_to(root).as_posix(), **_snapshot(root, run_id)}
    except (_GitError, OSError, ValueError) as error:
        return {"error": redact_text(f"the code was not kept: {error}")}


def _snapshot(root: Path, run_id: str) -> dict[str, Any]:
    git = partial(_git, root, settings=_silenced_filters(root))  # to compare a file git may read it, and filter it
    try:
        head: str | None = git("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
    except _GitError:
        head = None
    try:
        branch: str | None = os.fsdecode(git("symbolic-ref", "--short", "--quiet", "HEAD")).strip()
    except _GitError:
        branch = None  # detached
    with tempfile.TemporaryDirectory(prefix="daybreak-git-") as folder:
        index = Path(folder) / "index"
        # A copy of the user's: it knows what is staged, and which files need not be read again.
        theirs = root / os.fsdecode(git("rev-parse", "--git-path", "index")).removesuffix("\n")
        if theirs.is_file():
            shutil.copy2(theirs, index)  # with its time: what is no older than the index git compares by content
        told = os.fsdecode(git("diff-files", "--name-status", "-z", *_NO_PROGRAMS, index=index)).split("\0")
        changed = list(dict.fromkeys(told[1::2]))
        unmerged = list(
            dict.fromkeys(path for letter, path in zip(told[::2], told[1::2], strict=False) if letter == "U")
        )
        modules = _submodules(root, index)
        taken, skipped = _untracked(root)
        files = [path for path in dict.fromkeys([*changed, *taken]) if path not in modules]
        if files:
            paths = b"".join(os.fsencode(path) + b"\0" for path in files)
            git("update-index", "--add", "--remove", "-z", "--stdin", index=index, stdin=paths)
        for path, commit in modules.items():
            git("update-index", "--cacheinfo", f"160000,{commit},{path}", index=index)
        tree = git("write-tree", index=index).decode().strip()
    committed = git("rev-parse", f"{head}^{{tree}}").decode().strip() if head is not None else None
    dirty = tree != committed
    if dirty or head is None:
        parents = ["-p", head] if head is not None else []
        message = f"daybreak run {run_id}".encode()
        snapshot = git("commit-tree", tree, *parents, stdin=message).decode().strip()
    else:
        snapshot = head
    ref = f"refs/daybreak/runs/{run_id}"
    git("update-ref", "--no-deref", ref, snapshot)
    return {
        "commit": head,
        "branch": branch,
        "ref": ref,
        "snapshot": snapshot,
        "dirty": dirty,
        "unmerged": unmerged[:MAX_SKIPPED_NAMED],
        "skipped": skipped[:MAX_SKIPPED_NAMED],
        "skipped_files": len(skipped),
    }


def _listed_paths(output: bytes) -> list[str]:
    return list(dict.fromkeys(filter(None, os.fsdecode(output).split("\0"))))


def _submodules(root: Path, index: Path) -> dict[str, str]:
    """The commit that each is on, by path; git itself would look into them, with their own programs."""
    found = {}
    for entry in _listed_paths(_git(root, "ls-files", "--stage", "-z", ":/", index=index)):
        about, _, path = entry.partition("\t")
        mode, commit, _ = about.split(" ")
        if mode != "160000":
            continue
        if (root / path / ".git").exists():
            with contextlib.suppress(_GitError):  # one without a commit, or another user's: as the index has it
                commit = _git(root / path, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
        found[path] = commit
    return found


def capture_python() -> dict[str, Any]:
    """Version, implementation, and the installed distributions with their versions, from the names of their metadata folders.

    >>> captured = capture_python()
    >>> captured["version"].startswith("3."), "numpy" in captured["packages"]
    (True, True)
    """
    packages: dict[str, str] = {}
    for entry in reversed(sys.path):  # the first one on the path wins, as for import
        for name in _listed(entry or "."):
            stem, dot, suffix = name.rpartition(".")
            if dot and suffix in ("dist-info", "egg-info"):
                project, _, version = stem.partition("-")
                packages[project.replace("_", "-").lower()] = version.split("-py", 1)[0]
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "packages": dict(sorted(packages.items())),
    }


def _listed(folder: str) -> Iterable[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return ()


def capture_command() -> dict[str, Any]:
    """Command line (values of options that look like secrets redacted), working directory, process id."""
    argv = list(getattr(sys, "orig_argv", sys.argv))
    return {"argv": redact_argv(argv), "directory": os.getcwd(), "pid": os.getpid()}


def capture_host() -> dict[str, Any]:
    """Name, system, processor, cores that may be used, memory in bytes."""
    try:
        memory: int | None = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = None
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": memory,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def wanted(capture: bool | None) -> bool:
    """What the caller says, else what ``DAYBREAK_TRACK_CAPTURE`` says (0, false, no and off switch it off)."""
    if capture is not None:
        return capture
    return os.environ.get("DAYBREAK_TRACK_CAPTURE", "1").strip().lower() not in ("0", "false", "no", "off")


def capture_all(
    git_name: str, record: Callable[[str, str], object], notice: Callable[[str], object], known: dict[str, Any]
) -> None:
    """Gives ``record(topic, JSON)`` all that is captured at the beginning of a run; what fails is told to ``notice``.

    ``known`` keeps what does not change while a process lives. A long topic comes in parts, see ``merged``.
    """
    topics: tuple[tuple[str, Callable[[], dict[str, Any] | None]], ...] = (
        ("command", capture_command),
        ("git", lambda: capture_git(git_name)),
        ("host", capture_host),
        ("python", capture_python),
    )
    for topic, take in topics:
        try:
            captured = known.get(topic) or take()
            if captured is None:
                continue
            if topic in ("host", "python"):
                known[topic] = captured
            if "error" in captured:
                notice(str(captured["error"]))
            if captured.get("unmerged"):
                notice(
                    f"the code was kept as it lies in the work tree: unmerged are {', '.join(captured['unmerged'])}"[
                        :MAX_LINE_CHARS
                    ]
                )
            for part in _parts(captured)[:MAX_PARTS]:
                record(topic, json.dumps(part, separators=(",", ":")))
        except Exception as error:
            notice(redact_text(f"{topic} was not captured: {type(error).__name__}: {error}")[:MAX_LINE_CHARS])


def _parts(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Dicts that are short enough as JSON and that ``merged`` puts together again."""
    if len(json.dumps(value, separators=(",", ":"))) <= MAX_PART_BYTES:
        return [value]
    if len(value) > 1:
        items = list(value.items())
        half = len(items) // 2
        return _parts(dict(items[:half])) + _parts(dict(items[half:]))
    ((name, long),) = value.items()
    half = len(long) // 2 if isinstance(long, (dict, list)) else 0
    if not half:
        instead: Any = "[too long to be kept]"
        if isinstance(long, list):
            instead = [instead]
        elif isinstance(long, dict):
            instead = {next(iter(long))[:MAX_LINE_CHARS]: instead}
        return [{name[:MAX_LINE_CHARS]: instead}]
    if isinstance(long, list):
        return _parts({name: long[:half]}) + _parts({name: long[half:]})
    items = list(long.items())
    return _parts({name: dict(items[:half])}) + _parts({name: dict(items[half:])})


def merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One dict of several: dicts and lists in them are joined, of other values the last one counts.

    >>> merged([{"a": 1, "packages": {"x": "1"}}, {"packages": {"y": "2"}, "argv": ["p"]}, {"argv": ["-v"]}])
    {'a': 1, 'packages': {'x': '1', 'y': '2'}, 'argv': ['p', '-v']}
    """
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            before = whole.get(name)
            if isinstance(before, dict) and isinstance(value, dict):
                whole[name] = {**before, **value}
            elif isinstance(before, list) and isinstance(value, list):
                whole[name] = before + value
            else:
                whole[name] = value
    return whole


def code_changes(directory: str, a: str, b: str) -> list[tuple[str, str]]:
    """(path, "added" | "changed" | "deleted" | "type changed") from one snapshot to another, by the repository around
    ``directory``. LookupError says why when a snapshot is not there."""
    root = _repository_with(directory, a, b)
    fields = os.fsdecode(_run(root, "diff", "--name-status", "-z", *_NO_PROGRAMS, a, b)).split("\0")
    words = {"A": "added", "M": "changed", "D": "deleted", "T": "type changed"}
    return [(path, words.get(letter[:1], letter)) for letter, path in zip(fields[::2], fields[1::2], strict=False)]


def code_text(directory: str, a: str, b: str, max_bytes: int) -> str:
    """The unified diff from one snapshot to another, cut at ``max_bytes``. LookupError as by ``code_changes``."""
    root = _repository_with(directory, a, b)
    text = _run(root, "diff", *_NO_PROGRAMS, a, b)
    cut = text[:max_bytes].decode("utf-8", "replace")
    return cut if len(text) <= max_bytes else f"{cut}\n[... {len(text) - max_bytes:,} bytes more ...]\n"


def _run(root: Path, *arguments: str) -> bytes:
    try:
        return _git(root, *arguments)
    except _GitError as error:
        raise LookupError(redact_text(f"git says: {error}")) from None


def _repository_with(directory: str, *snapshots: str) -> Path:
    root = Path(directory)
    for snapshot in snapshots:
        if not re.fullmatch(r"[0-9a-f]{40,64}", snapshot):
            raise LookupError(f"{snapshot[:80]!r} is no snapshot")
        try:
            _git(root, "cat-file", "-e", f"{snapshot}^{{commit}}")
        except _GitError:
            raise LookupError(f"the code as it was, {snapshot[:12]}, is not in the repository of {directory}") from None
    return root


def forget_git(directory: str, ref: str) -> bool:
    """Removes the ref of a snapshot, so that git may collect it; False when it was not there."""
    if not ref.startswith("refs/daybreak/runs/"):
        return False
    try:
        _git(Path(directory), "update-ref", "--no-deref", "-d", ref)
    except _GitError:
        return False
    return True


class _Tee:
    """A text stream that also tells an Output what is written to it."""

    def __init__(self, stream: TextIO, output: Output, name: str) -> None:
        self._stream = stream
        self._output = output
        self._name = name

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        self._output.add(self._name, text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # isatty, fileno, encoding, buffer, flush ...
        return getattr(self._stream, name)


class Output:
    """Copies what Python writes to stdout and stderr, line by line, to `sink(stream, text)`: bounded, redacted, never in the way.

    The first 1 MiB (with 48 bytes for each line) is passed on as it comes, then only counted; `stop()` passes on the last 64 KiB
    and how much there was between. A line is what a terminal would show of it in the end: a progress bar in its last state. It is
    cut at 4,096 characters, and says so. What the sink raises ends the copying, not the program.
    Output of native code and of child processes goes past Python and is not seen, nor is that of forked children.
    """

    def __init__(self, sink: Callable[[str, str], object]) -> None:
        self._sink = sink
        self._lock = threading.RLock()
        self._pending: dict[str, str] = {"stdout": "", "stderr": ""}
        self._cut: dict[str, int] = {"stdout": 0, "stderr": 0}  # characters of the pending line that are not kept
        self._kept = 0
        self._dropped_bytes = 0
        self._tail: list[tuple[str, str]] = []
        self._tail_bytes = 0
        self._stopped = False
        self._busy = False
        self._pid = os.getpid()
        self._tees: dict[str, _Tee] = {}

    def start(self) -> Output:
        """Begins to copy; streams that another Output already copies are copied by both."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None:  # pythonw, daemons
                self._tees[name] = _Tee(stream, self, name)
                setattr(sys, name, self._tees[name])
        return self

    def add(self, name: str, text: str) -> None:
        """Takes in what was written to "stdout" or "stderr"."""
        if self._pid != os.getpid():  # a forked child: the lock may be held for ever, and the output is not ours
            return
        with self._lock:
            if self._stopped or self._busy:  # the sink itself may print
                return
            lines = (self._pending[name] + text).split("\n")
            self._pending[name] = lines.pop()
            for line in lines:
                self._line(name, line)
            if len(self._pending[name]) > MAX_PENDING_CHARS:
                self._pending[name] = self._short(name, self._pending[name])

    def _short(self, name: str, line: str) -> str:
        """What is left of a line when what it shows is known. One that moves the cursor up is understood when it is read."""
        if not moves_up(line):
            line = shown(line)
        if len(line) > MAX_LINE_CHARS:
            self._cut[name] += len(line) - MAX_LINE_CHARS
            line = line[:MAX_LINE_CHARS]
        return line

    def _line(self, name: str, line: str) -> None:
        kept = redact_text(self._short(name, line))
        if cut := self._cut[name]:
            kept += f" [... {cut:,} characters more ...]"
            self._cut[name] = 0
        kept += "\n"
        size = len(kept.encode("utf-8", "replace"))
        if self._kept + size + LINE_COST_BYTES <= MAX_OUTPUT_BYTES:
            self._kept += size + LINE_COST_BYTES
            self._pass_on(name, kept)
            return
        self._kept = MAX_OUTPUT_BYTES  # what follows belongs together
        self._tail.append((name, kept))
        self._tail_bytes += size
        while self._tail_bytes > MAX_TAIL_BYTES:
            dropped = len(self._tail.pop(0)[1].encode("utf-8", "replace"))
            self._tail_bytes -= dropped
            self._dropped_bytes += dropped

    def _pass_on(self, name: str, text: str) -> None:
        self._busy = True
        try:
            self._sink(name, text)
        except Exception:
            self._stopped = True
        finally:
            self._busy = False

    def stop(self) -> None:
        """Ends the copying and passes on what is left."""
        for name, tee in self._tees.items():
            if (
                getattr(sys, name) is tee
            ):  # else someone else has put a stream of theirs there: it is theirs to take away
                below = tee._stream
                while isinstance(below, _Tee) and below._output._stopped:  # that ended before us
                    below = below._stream
                setattr(sys, name, below)
        with self._lock:
            for name, rest in self._pending.items():
                if rest and not self._stopped:
                    self._line(name, rest)
            if self._dropped_bytes and not self._stopped:
                self._pass_on("stdout", f"[... {self._dropped_bytes:,} bytes of output are left out here ...]\n")
            for name, line in self._tail:
                if not self._stopped:
                    self._pass_on(name, line)
            self._stopped = True
