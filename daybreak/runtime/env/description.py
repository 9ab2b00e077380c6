"""What a user says of an environment: Ray's `RuntimeEnv`, each field looked at."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

    _Dict = dict[str, Any]
else:
    _Dict = dict

__all__ = ["DEFAULT_TIMEOUT_S", "NO_EFFECT", "REFUSED", "VALID", "RuntimeEnv", "RuntimeEnvConfig", "checked"]

DEFAULT_TIMEOUT_S = 600
REFUSED = {
    "conda": "name its packages as uv=[...], or start the program in it",
    "py_executable": "start the program with it; uv=[...] gives tasks other packages",
    "container": "start the program in the container",
    "image_uri": "start the program in the container",
    "java_jars": "there is no Java here",
    "java_jvm_options": "there is no Java here",
    "mpi": "start the ranks as actors",
    "nsight": "start the program below the profiler",
    "_nsight": "start the program below the profiler",
    "rocprof_sys": "start the program below the profiler",
    "_rocprof_sys": "start the program below the profiler",
}
NO_EFFECT = ("_ray_release", "_ray_commit", "_inject_current_ray")
VALID = ("env_vars", "working_dir", "py_modules", "excludes", "uv", "pip", "worker_process_setup_hook", "config")


class RuntimeEnvConfig(_Dict):
    """Ray's: how an environment is set up. setup_timeout_seconds: for an environment of `uv` or `pip`, -1 for no limit.
    eager_install, log_files: without an effect; what `init` has is made there, what a task has when its worker starts."""

    def __init__(
        self,
        setup_timeout_seconds: int = DEFAULT_TIMEOUT_S,
        eager_install: bool = True,
        log_files: list[str] | None = None,
    ) -> None:
        if not isinstance(setup_timeout_seconds, int):
            raise TypeError(f"setup_timeout_seconds must be of type int, got: {type(setup_timeout_seconds)}")
        if setup_timeout_seconds <= 0 and setup_timeout_seconds != -1:
            raise ValueError(
                f"setup_timeout_seconds must be greater than zero or equals to -1, got: {setup_timeout_seconds}"
            )
        if not isinstance(eager_install, bool):
            raise TypeError(f"eager_install must be a boolean. got {type(eager_install)}")
        if log_files is not None and not (isinstance(log_files, list) and all(isinstance(n, str) for n in log_files)):
            raise TypeError(f"log_files must be a list of strings or None, got {log_files!r}")
        super().__init__(
            setup_timeout_seconds=setup_timeout_seconds, eager_install=eager_install, log_files=log_files or []
        )

    def to_dict(self) -> dict[str, Any]:
        return dict(self)


class RuntimeEnv(_Dict):
    """A description of an environment, each field looked at.

    env_vars: texts by name; "${NAME}" in one stands for the variable's value before. uv, pip: packages of an environment of their
    own: a list of requirements, the name of a requirement file, or a dict of "packages" with "uv_version", "uv_check" and
    "uv_pip_install_options" (of pip: "pip_version", ...). working_dir: a folder or an archive, a copy of which workers start in and
    import from. py_modules: folders of packages, files of modules, modules, wheels or archives, which workers can import; copies,
    too. excludes: patterns as in .gitignore of what the copies leave out, beside .gitignore and .rayignore.
    worker_process_setup_hook: a function without arguments, or its name "module.function", that each worker calls first.
    config: a RuntimeEnvConfig.
    """

    def __init__(self, *, _validate: bool = True, **fields: Any) -> None:
        super().__init__()
        if not _validate:
            self.update(fields)
            return
        for name in ("working_dir", *fields):  # what lies in it, others may name
            if name in fields and name not in self:
                self[name] = fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if value is None:
            return
        if name in REFUSED:
            raise ValueError(f"runtime_env[{name!r}] is not supported: {REFUSED[name]}")
        if name in NO_EFFECT:
            super().__setitem__(name, value)
            return
        if name not in VALID:
            raise ValueError(f"runtime_env[{name!r}] is not supported; valid are {', '.join(VALID)}")
        found: Any
        if name in ("uv", "pip"):
            found = _packages(name, value, self.get("working_dir"))
            other = "pip" if name == "uv" else "uv"
            if found is not None and other in self:
                raise ValueError(
                    "The 'pip' field and 'uv' field of runtime_env cannot be specified at the same time: "
                    "give all packages to one of them"
                )
        else:
            found = _CHECKS[name](value)
        if found is not None:
            super().__setitem__(name, found)

    def set(self, name: str, value: Any) -> None:
        self[name] = value

    def to_dict(self) -> dict[str, Any]:
        return dict(self)

    def serialize(self) -> str:
        import json

        return json.dumps(self, sort_keys=True)

    @classmethod
    def deserialize(cls, text: str) -> RuntimeEnv:
        import json

        return cls(**json.loads(text))

    def env_vars(self) -> dict[str, str]:
        return dict(self.get("env_vars", {}))

    def working_dir(self) -> str:
        return str(self.get("working_dir", ""))

    def has_working_dir(self) -> bool:
        return "working_dir" in self

    def working_dir_uri(self) -> str | None:
        found: str | None = self.get("working_dir")
        return found

    def py_modules(self) -> list[str]:
        return list(self.get("py_modules", ()))

    py_modules_uris = py_modules

    def has_uv(self) -> bool:
        return bool(self.get("uv"))

    def uv_config(self) -> dict[str, Any]:
        return dict(self.get("uv") or {})

    def has_pip(self) -> bool:
        return bool(self.get("pip"))

    def pip_config(self) -> dict[str, Any]:
        return dict(self.get("pip") or {})

    def virtualenv_name(self) -> None:
        """None: environments have no names here."""

    def has_conda(self) -> bool:
        return False

    def conda_env_name(self) -> None:
        """None, as all that is of conda."""

    conda_config = conda_uri = conda_env_name

    def py_executable(self) -> None:
        """None: a worker has the interpreter of the program, or that of its environment."""

    def image_uri(self) -> None:
        """None, as all that is of containers."""

    def has_py_container(self) -> bool:
        return False

    py_container_image = py_container_worker_path = py_container_run_options = nsight = rocprof_sys = image_uri

    def java_jars(self) -> list[str]:
        return []

    def plugins(self) -> list[tuple[str, Any]]:
        return []

    def get_extension(self, key: str) -> Any:
        if key not in NO_EFFECT:
            raise ValueError(f"Extension key must be one of {', '.join(NO_EFFECT)}, got: {key}")
        return self.get(key)

    def __reduce__(self) -> Any:
        return _remade, (dict(self),)


def _remade(fields: dict[str, Any]) -> RuntimeEnv:
    return RuntimeEnv(_validate=False, **fields)


def checked(name: str, value: Any) -> RuntimeEnv:
    """The option `runtime_env`."""
    if isinstance(value, RuntimeEnv):
        return value
    if not isinstance(value, dict):
        raise TypeError(f"{name}={value!r}: runtime_env must be a dict or a RuntimeEnv, not {type(value).__name__}")
    return RuntimeEnv(**value)


# ----------------------------------------------------------------------------------------------------------------------
# Fields.


def _env_vars(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError(f"runtime_env['env_vars'] must be of type Dict[str, str], got {value!r}")
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"runtime_env['env_vars'] must be of type Dict[str, str], got {value!r}")
        if not name or "=" in name or "\0" in name or "\0" in text:
            raise ValueError(f"runtime_env['env_vars'][{name!r}]={text!r}: no variable can have this name or value")
    return dict(value)


def _packages(field: str, value: Any, working_dir: str | None) -> dict[str, Any] | None:
    from . import requirements

    return requirements.checked(field, value, working_dir)


def _path(field: str, value: Any) -> str:
    path: str = os.fspath(value)
    for here in ("file://localhost/", "file:///"):  # such an address is as good as the path
        if path.startswith(here):
            path = f"/{path.removeprefix(here)}"
    if "://" in path:
        raise ValueError(
            f"runtime_env[{field!r}]={path!r}: only folders and files of this machine are possible, copy it here"
        )
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(path):
        raise ValueError(f"runtime_env[{field!r}]: {path} does not exist")
    return path


def _working_dir(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"`working_dir` must be a string (either a local path or remote URI), got {type(value)}.")
    path = _path("working_dir", value)
    from . import archives

    if not os.path.isdir(path) and not path.endswith(archives.SUFFIXES):
        raise ValueError(
            f"runtime_env['working_dir']={path!r}: it must be a folder or a supported archive ({', '.join(archives.SUFFIXES)})"
        )
    return path


def _py_modules(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"`py_modules` must be a list of strings, local paths, or imported modules, got {type(value)}.")
    from . import archives

    found = []
    for module in value:
        if not isinstance(module, (str, os.PathLike)):
            module = _file_of(module)
        path = _path("py_modules", module)
        if not os.path.isdir(path) and not path.endswith((".py", ".so", ".whl", *archives.SUFFIXES)):
            raise ValueError(
                f"py_modules entry must be a .py file, a directory, a .whl file or an archive "
                f"({', '.join(archives.SUFFIXES)}); got {path}"
            )
        found.append(path)
    return found


def _file_of(module: Any) -> str:
    """Of a module that is imported."""
    file = getattr(module, "__file__", None)
    paths = list(getattr(module, "__path__", ())) or ([file] if file else [])
    if not paths or not hasattr(module, "__spec__"):
        raise TypeError(f"`py_modules` must be a list of strings, local paths, or imported modules, got {module!r}.")
    if len(paths) > 1:
        raise ValueError(
            f"py_modules: {module.__name__} lies in {len(paths)} folders ({', '.join(paths)}), which would not be one module "
            "in a worker: name the folder that you mean"
        )
    return str(paths[0])


def _excludes(value: Any) -> list[str] | None:
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"runtime_env['excludes'] must be of type List[str], got {value!r}")
    return list(value) or None


def _config(value: Any) -> RuntimeEnvConfig:
    if isinstance(value, RuntimeEnvConfig):
        return value
    if not isinstance(value, dict):
        raise TypeError(f"runtime_env['config'] must be of type dict or RuntimeEnvConfig, got: {type(value)}")
    known = ("setup_timeout_seconds", "eager_install", "log_files")
    unknown = set(value) - set(known)
    if unknown:
        raise ValueError(f"runtime_env['config'] has no field {sorted(unknown)[0]!r}; valid are {', '.join(known)}")
    return RuntimeEnvConfig(**value)


def _hook(value: Any) -> str:
    if callable(value):
        import base64

        from .. import serialization

        return "pickled:" + base64.b85encode(serialization.dumps_alone(value)).decode()
    if not isinstance(value, str) or not value:
        raise TypeError(
            f"worker_process_setup_hook={value!r}: it must be a function without arguments or its name 'module.function'"
        )
    return value


_CHECKS = {
    "env_vars": _env_vars,
    "working_dir": _working_dir,
    "py_modules": _py_modules,
    "excludes": _excludes,
    "config": _config,
    "worker_process_setup_hook": _hook,
}
