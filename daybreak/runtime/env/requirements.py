"""Lists of packages: what a user writes, and requirement files, as lines that mean the same in any folder.

A requirement file is read where it is named: lines that are continued are joined, comments go, `-r` is replaced by what that
file says, and local paths (of packages, of constraints, of `--find-links`, behind `-e`) become absolute, as they are relative to
the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["as_written", "checked", "expanded_names", "local_files", "of_file", "of_list"]

_MAX_DEPTH = 20  # of files that name files
_ARCHIVES = (".whl", ".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz")
_OPTION = re.compile(
    r"(?P<name>-[rcef](?=[\s=\S])|--(?:requirement|constraint|editable|find-links)(?=[\s=]))[\s=]*(?P<value>.+)",
    re.DOTALL,
)
_LONG = {"-r": "--requirement", "-c": "--constraint", "-e": "--editable", "-f": "--find-links"}
_MAY_BE_NAMES = ("-i", "--index-url", "--extra-index-url", "--index", "--default-index", "--cache-dir")
_PATHS = {  # options of uv pip install and pip install whose values are paths, or addresses
    *("-r", "--requirement", "--requirements", "-c", "--constraint", "--constraints", "-f", "--find-links"),
    *("-b", "--build-constraint", "--build-constraints", "--override", "--overrides", "--config-file", *_MAY_BE_NAMES),
}
_CREATED = "RAY_RUNTIME_ENV_CREATE_WORKING_DIR"  # Ray's: the workers' folder, while the environment is made


def of_list(field: str, packages: Iterable[str], working_dir: str | None) -> list[str]:
    """Of a list of the user's; paths in it are relative to the current folder."""
    found: list[str] = []
    for package in packages:
        for line in _joined(package.splitlines()):
            found += _line(field, line, os.getcwd(), working_dir, 0)
    return list(dict.fromkeys(found))


def of_file(field: str, path: str | os.PathLike[str], working_dir: str | None, depth: int = 0) -> list[str]:
    """Of a requirement file.

    Raises:
        ValueError: it is not there, cannot be read, or names itself.
    """
    name = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if depth > _MAX_DEPTH:
        raise ValueError(
            f"runtime_env[{field!r}]: {name} is named by {_MAX_DEPTH} requirement files in a row, perhaps by itself"
        )
    if not os.path.isfile(name):
        beside = (
            os.path.join(working_dir, os.fspath(path)) if working_dir and not os.path.isabs(os.fspath(path)) else ""
        )
        way_out = f"; {beside} is: write that" if beside and os.path.isfile(beside) else ""
        raise ValueError(
            f"runtime_env[{field!r}]: {name} is not a valid file: a list of packages or a requirement file expected{way_out}"
        )
    try:
        with open(name, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise ValueError(f"runtime_env[{field!r}]: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"runtime_env[{field!r}]: {name} is not in UTF-8 ({error.reason}, byte {error.start}): save it so"
        ) from None
    found: list[str] = []
    for line in _joined(lines):
        found += _line(field, line, os.path.dirname(name), working_dir, depth)
    return list(dict.fromkeys(found))


def _joined(lines: Iterable[str]) -> list[str]:
    """Logical lines: without comments and empty ones. A backslash at the end takes the next line in, but no comment: that ends the
    line, as pip has it."""
    found, begun = [], ""
    for line in [*lines, ""]:
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment:
            begun += line[:-1].strip() + " "
            continue
        text = re.sub(r"\s+#.*$", "", begun + ("" if comment else line.strip())).strip()
        begun = ""
        if text:
            found.append(text)
    return found


def _line(field: str, line: str, folder: str, working_dir: str | None, depth: int) -> list[str]:
    matched = _OPTION.fullmatch(line)
    if matched is None:
        return [_package(field, line, folder)]
    name = _LONG.get(matched["name"], matched["name"])
    value = matched["value"].strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    if name == "--editable":
        return [f"{name} {_package(field, value, folder, local=True)}"]
    if "://" in value and not value.startswith("file:"):
        return [f"{name} {value}"]
    if working_dir and os.path.isdir(working_dir) and name != "--find-links":
        value = re.sub(rf"\$\{{{_CREATED}\}}", lambda _: working_dir, value)
    if "${" in value:
        return [f"{name} {value}"]
    path = _absolute(value, folder)
    if name == "--requirement":
        return of_file(field, path, working_dir, depth + 1)
    if not os.path.exists(path):
        raise ValueError(f"runtime_env[{field!r}]: {path} in {line!r} does not exist")
    return [f"{name} {as_written(path)}"]


def _absolute(path: str, folder: str) -> str:
    if path.startswith("file:"):
        from urllib.parse import unquote, urlparse

        path = unquote(urlparse(path).path)
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))


def as_written(path: str) -> str:
    """As it stands in a requirement file: an address where a plain path would be read as several words."""
    if re.fullmatch(r"[\w./+~@=,-]+", path, re.ASCII):
        return path
    from urllib.parse import quote

    return f"file://{quote(os.fsencode(path))}"


def _package(field: str, line: str, folder: str, local: bool = False) -> str:
    """A requirement; one that is a path is absolute then, with its extras and marker behind it."""
    if "://" in line or "${" in line:
        return line
    words = re.fullmatch(
        r"(?P<path>.+?)(?P<extras>\[[\w,\s.-]*\])?(?P<marker>\s+;.*|;\s.*)?(?P<hashes>(\s+--\S+)*)", line, re.DOTALL
    )
    if words is None:
        return line
    path = words["path"].strip()
    looks = path.startswith(("./", "../", "/", "~/", ".")) or path == "."
    looks = looks or path.endswith(_ARCHIVES) and " @ " not in path
    if not looks and not local:
        return line
    found = _absolute(path, folder)
    if not os.path.exists(found):
        raise ValueError(f"runtime_env[{field!r}]: {found} in {line!r} does not exist")
    return f"{as_written(found)}{words['extras'] or ''}{words['marker'] or ''}{words['hashes'] or ''}"


def local_files(lines: Iterable[str], options: Iterable[str] = ()) -> dict[str, str]:
    """What lines and options name on this machine, with a digest of its contents; of what is installed where it lies (`-e`) that
    which says what it needs: the rest may change without another environment. Folders of wheels are looked at as an index is."""
    paths = (text.partition("=")[2] if text.startswith("-") else text for text in options)
    found = {path: _digest(path, False) for path in paths if os.path.isabs(path) and os.path.isfile(path)}
    for line in lines:
        option, _, value = line.partition(" ")
        editable = option == "--editable"
        text = value if option in ("--constraint", "--editable", "--requirement") else line
        match = re.match(r"(file://)?(?P<path>/[^\s\[;]*)", text)
        if match is None or option == "--find-links":
            continue
        path = _absolute(match[0], "/")
        if os.path.exists(path):
            found[path] = _digest(path, editable)
    return found


def _digest(path: str, editable: bool) -> str:
    import hashlib

    if os.path.isdir(path) and not editable:
        from . import folders

        return folders.digest(path)
    names = [path]
    if os.path.isdir(path):
        names = [os.path.join(path, name) for name in ("pyproject.toml", "setup.py", "setup.cfg")]
    seen = hashlib.sha256()
    for name in names:
        if os.path.isfile(name):
            with open(name, "rb") as file:
                seen.update(hashlib.file_digest(file, "sha256").digest())
    return seen.hexdigest()


def expanded_names(lines: Iterable[str]) -> set[str]:
    """Of variables that the lines want the values of, as "${NAME}"."""
    return {name for line in lines for name in re.findall(r"\$\{(\w+)\}", line)}


def checked(field: str, value: Any, working_dir: str | None) -> dict[str, Any] | None:
    """Ray's shapes of `uv` and `pip`: a list, the name of a requirement file, or a dict; None: there is nothing in it."""
    if isinstance(value, (str, os.PathLike)):
        found: dict[str, Any] = {"packages": of_file(field, value, working_dir), f"{field}_check": False}
    elif isinstance(value, (list, tuple)):
        found = {"packages": of_list(field, _texts(field, value), working_dir), f"{field}_check": False}
    elif isinstance(value, dict):
        found = _of_dict(field, value, working_dir)
    else:
        raise TypeError(f"runtime_env[{field!r}] must be of type str, List[str] or dict, got {type(value)}")
    return found if found["packages"] else None


def _texts(field: str, value: Any) -> list[str]:
    for at, text in enumerate(value):
        if not isinstance(text, (str, os.PathLike)):
            raise TypeError(
                f"runtime_env[{field!r}] must be of type str, List[str] or dict, got {type(text)} for {at}-th item"
            )
        if "\0" in os.fspath(text):
            raise ValueError(f"runtime_env[{field!r}]: {text!r} has a NUL in it")
    return [os.fspath(text) for text in value]


def _of_dict(field: str, value: dict[str, Any], working_dir: str | None) -> dict[str, Any]:
    options = "uv_pip_install_options" if field == "uv" else "pip_install_options"
    known = ("packages", f"{field}_check", f"{field}_version", options)
    if set(value) - set(known):
        raise ValueError(
            f"runtime_env[{field!r}] can only have these fields: {', '.join(known)}, but got: {list(value)}"
        )
    if "packages" not in value:
        raise ValueError(f"runtime_env[{field!r}] must include field 'packages', but got {value}")
    packages = value["packages"]
    if isinstance(packages, (str, os.PathLike)):
        lines = of_file(field, packages, working_dir)
    elif isinstance(packages, (list, tuple)):
        lines = of_list(field, _texts(field, packages), working_dir)
    else:
        raise ValueError(f"runtime_env[{field!r}]['packages'] must be of type str or list, got: {type(packages)}")
    found: dict[str, Any] = {"packages": lines, f"{field}_check": False}
    for name, kind in ((f"{field}_check", bool), (f"{field}_version", str)):
        if value.get(name) is not None:
            if not isinstance(value[name], kind):
                raise TypeError(
                    f"runtime_env[{field!r}][{name!r}] must be of type {kind.__name__}, got {type(value[name])}"
                )
            found[name] = value[name]
    if value.get(options) is not None:
        given = value[options]
        if not isinstance(given, (list, tuple)) or not all(isinstance(text, str) for text in given):
            raise TypeError(f"runtime_env[{field!r}][{options!r}] must be of type list[str], got {given!r}")
        found[options] = _of_options(field, given)
    return found


def _of_options(field: str, options: Sequence[str]) -> list[str]:
    """With absolute paths: the installer runs in another folder."""
    found: list[str] = []
    for text in options:
        name, is_one, value = text.partition("=")
        if name in _PATHS and is_one:
            found.append(f"{name}={_path_of_option(field, name, value)}")
        elif found and found[-1] in _PATHS:
            found.append(_path_of_option(field, found[-1], text))
        else:
            found.append(text)
    return found


def _path_of_option(field: str, name: str, value: str) -> str:
    if "://" in value or "${" in value:
        return value
    path = _absolute(value, os.getcwd())
    if os.path.exists(path):
        return path
    if name in _MAY_BE_NAMES:
        return value
    raise ValueError(f"runtime_env[{field!r}]: {path} of the option {name} does not exist")
