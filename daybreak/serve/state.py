"""What a server must not forget: apps, links, versions, replica counts, and the bytes of models.

A state directory (0700) holds `state.json` (docs/formats/serve-state.md), `models/` (the bytes, named by their SHA-256),
`logs/`, `admin.token` and `lock`. `state.json` is replaced as a whole after the bytes that it names are on the disk, so that
whoever reads it after a crash, at whatever moment, finds the old state or the new one.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import fcntl
import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daybreak.base import errors, paths
from daybreak.base.failpoints import failpoint
from daybreak.serve import checks

__all__ = [
    "ADDRESS_FILE",
    "BLOB_KINDS",
    "App",
    "Blob",
    "Model",
    "State",
    "Store",
    "Version",
    "is_served",
]

FORMAT = "daybreak.serve.state"
FORMAT_VERSION = 1
MAX_STATE_BYTES = 64 << 20
MAX_BLOB_BYTES = 1 << 30
MAX_HISTORY = 32  # versions that were current before, for rollback
BLOB_KINDS = {"pickle": "pkl", "policy": "policy", "sealed": "sealed"}
ADDRESS_FILE = "address.json"


# ----------------------------------------------------------------------------------------------------------------------
# The state.


@dataclass
class Blob:
    """Bytes of a model in `models/`. kind: pickle (cloudpickle), policy (a policy file), sealed (a ciphertext)."""

    sha256: str
    kind: str
    size: int
    loader: str = ""  # of a policy: "module:Class", whose load(bytes) reads it

    def file_name(self) -> str:
        return f"{self.sha256}.{BLOB_KINDS[self.kind]}"


@dataclass
class App:
    """An endpoint that asks its linked model."""

    input_type: str
    default_output: str | None
    slo_us: int
    overload: str = "default"
    gated: bool = False
    models: list[str] = field(default_factory=list)


@dataclass
class Version:
    """One version of a model. registered: whether it was added, or there are only replicas of it yet."""

    input_type: str
    registered: bool = True
    labels: list[str] = field(default_factory=list)
    container_name: str = ""
    model_data_path: str = ""
    batch_size: int = -1
    batch: str = "list"
    output: str = "json"
    replicas: int = 0
    blob: Blob | None = None
    lineage: dict[str, Any] | None = None


@dataclass
class Model:
    """Versions, the one that answers, and those that did before (the latest last)."""

    current: str | None = None
    history: list[str] = field(default_factory=list)
    versions: dict[str, Version] = field(default_factory=dict)

    def set_current(self, version: str) -> None:
        if self.current is not None and self.current != version:
            self.history = [old for old in self.history if old != version] + [self.current]
            del self.history[:-MAX_HISTORY]
        self.current = version

    def drop(self, version: str) -> None:
        del self.versions[version]
        self.history = [old for old in self.history if old != version]
        if self.current == version:
            self.current = None


@dataclass
class State:
    """Everything, by name."""

    apps: dict[str, App] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)

    def copy(self) -> State:
        return copy.deepcopy(self)

    def blobs(self) -> set[str]:
        """The names of all files that must be there."""
        versions = (version for model in self.models.values() for version in model.versions.values())
        return {version.blob.file_name() for version in versions if version.blob is not None}

    def to_json(self) -> bytes:
        """As `state.json` holds it: apps, models and versions in the order in which they were made."""
        whole = {"format": FORMAT, "version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(whole, indent=1, ensure_ascii=True).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> State:
        """DataLossError, which says what is wrong, for anything but what `to_json` gives."""
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise errors.DataLossError(f"the server's state is no JSON: {error}") from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise errors.DataLossError(f"the server's state does not say that it is {FORMAT!r}")
        if found.get("version") != FORMAT_VERSION:
            raise errors.DataLossError(
                f"the server's state has format version {checks.shown(found.get('version'))}; this program reads {FORMAT_VERSION}"
            )
        try:
            state = cls(
                {checks.checked_name(name, "an app"): _app(app) for name, app in found["apps"].items()},
                {checks.checked_name(name, "a model"): _model(model) for name, model in found["models"].items()},
            )
            _consistent(state)
        except (errors.InvalidArgumentError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise errors.DataLossError(f"the server's state is damaged: {type(error).__name__}: {error}") from None
        return state


def _typed(kind: Any, found: dict[str, Any], /, **types: Any) -> Any:
    """An instance of a dataclass from exactly its fields, each of its type."""
    names = {each.name for each in dataclasses.fields(kind)}
    if set(found) != names:
        raise ValueError(f"{kind.__name__} has the fields {sorted(found)}, {sorted(names)} expected")
    for name, types_of_it in types.items():
        if not isinstance(found[name], types_of_it):
            raise ValueError(f"{name} is {checks.shown(found[name])}")
    return kind(**found)


def _app(found: dict[str, Any]) -> App:
    app: App = _typed(App, found, default_output=(str, type(None)), gated=bool, models=list)
    app.slo_us = checks.checked_slo_us(app.slo_us)
    if checks.checked_input_type(app.input_type) != app.input_type or app.overload not in ("default", "503"):
        raise ValueError(f"input_type {checks.shown(app.input_type)} or overload {checks.shown(app.overload)}")
    return app


def _version(found: dict[str, Any]) -> Version:
    version: Version = _typed(
        Version, found, registered=bool, container_name=str, model_data_path=str, blob=(dict, type(None))
    )
    checks.checked_labels(version.labels)
    version.batch_size = checks.checked_batch_size(version.batch_size)
    version.replicas = checks.checked_replicas(version.replicas)
    checks.checked_lineage(version.lineage)
    if checks.checked_input_type(version.input_type) != version.input_type:
        raise ValueError(f"input_type {checks.shown(version.input_type)}")
    if version.batch not in ("list", "array") or version.output not in ("json", "str"):
        raise ValueError(f"batch {checks.shown(version.batch)} or output {checks.shown(version.output)}")
    if found["blob"] is not None:
        blob: Blob = _typed(Blob, found["blob"], sha256=str, kind=str, size=int, loader=str)
        digits = len(blob.sha256) == 64 and not set(blob.sha256) - set("0123456789abcdef")
        if not digits or blob.kind not in BLOB_KINDS:
            raise ValueError(f"blob {checks.shown(found['blob'])}")
        version.blob = blob
    return version


def _model(found: dict[str, Any]) -> Model:
    model: Model = _typed(Model, found, current=(str, type(None)), history=list, versions=dict)
    model.versions = {
        checks.checked_name(name, "a version"): _version(each) for name, each in found["versions"].items()
    }
    for name in [*model.history, *([model.current] if model.current is not None else [])]:
        if name not in model.versions:
            raise ValueError(f"version {checks.shown(name)} was current and is not there")
    return model


def _consistent(state: State) -> None:
    for app in state.apps.values():
        for name in app.models:
            if name not in state.models:
                raise ValueError(f"model {checks.shown(name)} is linked and not there")


# ----------------------------------------------------------------------------------------------------------------------
# The directory.


def write_atomically(path: Path, data: bytes, kind: str) -> None:
    """The file holds the old bytes or the new ones, whatever happens; 0600; on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            failpoint(f"serve.{kind}.written")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        failpoint(f"serve.{kind}.synced")
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise errors.ResourceExhaustedError(
            f"the state directory cannot be written: {error.strerror}: make room and try again"
        ) from error
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    failpoint(f"serve.{kind}.placed")


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = path.stat()
    if about.st_mode & 0o077 or about.st_uid != os.geteuid():
        raise errors.FailedPreconditionError(
            f"{path} must be this user's and nobody else's (mode 0700): chmod 700 it, or name a directory that is not there yet"
        )


def is_served(path: Path) -> bool:
    """Whether a server holds the state directory now."""
    try:
        with open(path / "lock", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class Store:
    """A state directory, held by one server at a time. `state` is what is on the disk; use the owner's lock around `save`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(paths.given(path, "state_dir"))
        self.models = self.path / "models"
        self.logs = self.path / "logs"
        for folder in (self.path, self.models, self.logs):
            _private_folder(folder)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._take_lock()
            self.token = self._read_token()
            self.state = self._read_state()
            self._sweep()
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> None:
        for _ in range(10):
            with contextlib.suppress(BlockingIOError):
                return fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(0.02)  # a command that looks whether a server runs holds it for a moment
        raise errors.FailedPreconditionError(
            f"another server uses the state directory {self.path}: stop it, or give this one a directory of its own"
        )

    @property
    def token_file(self) -> Path:
        return self.path / "admin.token"

    def _read_token(self) -> str:
        try:
            descriptor = os.open(self.token_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            token = secrets.token_urlsafe(32)
            write_atomically(self.token_file, token.encode() + b"\n", "token")
            return token
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_mode & 0o077:
                raise errors.FailedPreconditionError(
                    f"others may read {self.token_file}: remove it, and the next start makes a new one"
                )
            token = file.read(1024).decode("ascii", "replace").strip()
        if len(token) < 32:
            raise errors.DataLossError(
                f"{self.token_file} holds no token: remove it, and the next start makes a new one"
            )
        return token

    def _read_state(self) -> State:
        try:
            with open(self.path / "state.json", "rb") as file:
                data = file.read(MAX_STATE_BYTES + 1)
        except FileNotFoundError:
            return State()
        if len(data) > MAX_STATE_BYTES:
            raise errors.DataLossError(f"the server's state is larger than {MAX_STATE_BYTES:,} bytes")
        return State.from_json(data)

    def _sweep(self) -> None:
        """Removes what a crash left behind: unfinished files, and models that nobody names."""
        named = self.state.blobs()
        for file in [*self.models.iterdir(), *self.path.glob(".*.tmp")]:
            if file.name not in named:
                file.unlink(missing_ok=True)

    def save(self, state: State) -> None:
        """Makes this the state, on the disk first. ResourceExhaustedError, and no change, when it cannot be written."""
        data = state.to_json()
        if len(data) > MAX_STATE_BYTES:
            raise errors.ResourceExhaustedError(
                f"the state would have {len(data):,} bytes; at most {MAX_STATE_BYTES:,}: delete versions that are not needed"
            )
        write_atomically(self.path / "state.json", data, "state")
        self.state = state

    def put_back(self, state: State) -> None:
        """Makes this the state again after a change that the core refused, though the disk may not take it now: whoever
        changes something next changes this one."""
        self.state = state
        with contextlib.suppress(errors.ResourceExhaustedError):
            self.save(state)

    def put(self, data: bytes, kind: str, loader: str = "") -> Blob:
        """Keeps the bytes of a model, on the disk when this returns."""
        if not data or len(data) > MAX_BLOB_BYTES:
            raise errors.InvalidArgumentError(f"a model of {len(data):,} bytes; 1 to {MAX_BLOB_BYTES:,} are allowed")
        blob = Blob(hashlib.sha256(data).hexdigest(), kind, len(data), loader)
        path = self.blob_path(blob)
        if not path.exists():
            write_atomically(path, data, "blob")
        return blob

    def blob_path(self, blob: Blob) -> Path:
        return self.models / blob.file_name()

    def read(self, blob: Blob) -> bytes:
        """The bytes. NotFoundError or DataLossError when they are gone or altered."""
        try:
            data = self.blob_path(blob).read_bytes()
        except OSError:
            raise errors.NotFoundError(
                f"the bytes of the model ({blob.sha256[:12]}) are gone: deploy it again"
            ) from None
        if hashlib.sha256(data).hexdigest() != blob.sha256:
            raise errors.DataLossError(f"the bytes of the model ({blob.sha256[:12]}) were altered: deploy it again")
        return data

    def forget(self) -> None:
        """Removes the models that the state does not name."""
        named = self.state.blobs()
        for file in self.models.iterdir():
            if file.name not in named and not file.name.startswith("."):
                file.unlink(missing_ok=True)

    def write_address(self, address: dict[str, Any]) -> None:
        """Where the server listens, for commands of this machine that know only the directory."""
        write_atomically(self.path / ADDRESS_FILE, json.dumps(address).encode() + b"\n", "address")

    def close(self) -> None:
        if self._lock >= 0:
            (self.path / ADDRESS_FILE).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1
