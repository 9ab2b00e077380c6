"""Packages for tests, made here: wheels, and projects whose build does what a test says."""

from __future__ import annotations

import zipfile
from pathlib import Path


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    code: str = "",
    requires: tuple[str, ...] = (),
    extras: dict[str, str] | None = None,
) -> Path:
    """A wheel of one module, whose VERSION is its version."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {each}" for each in requires]
    for extra, needed in (extras or {}).items():
        metadata += [f"Provides-Extra: {extra}", f"Requires-Dist: {needed} ; extra == '{extra}'"]
    files = {
        f"{name}.py": f"VERSION = {version!r}\n{code}",
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-says = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for each, text in files.items():
            wheel.writestr(each, text)
    return path


BACKEND = """
import os, pathlib, zipfile

def _hook():
    exec(pathlib.Path("hook.py").read_text()) if os.path.exists("hook.py") else None

def build_wheel(directory, settings=None, metadata=None):
    _hook()
    name, version = {name!r}, {version!r}
    info = f"{{name}}-{{version}}.dist-info"
    files = {{
        f"{{name}}.py": pathlib.Path(f"{{name}}.py").read_text(),
        f"{{info}}/METADATA": f"Metadata-Version: 2.1\\nName: {{name}}\\nVersion: {{version}}\\n",
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    files[f"{{info}}/RECORD"] = "".join(f"{{each}},,\\n" for each in [*files, f"{{info}}/RECORD"])
    return _write(directory, name, version, files)

def build_editable(directory, settings=None, metadata=None):
    name, version = {name!r}, {version!r}
    info = f"{{name}}-{{version}}.dist-info"
    files = {{
        f"_{{name}}.pth": os.getcwd() + "\\n",
        f"{{info}}/METADATA": f"Metadata-Version: 2.1\\nName: {{name}}\\nVersion: {{version}}\\n",
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    files[f"{{info}}/RECORD"] = "".join(f"{{each}},,\\n" for each in [*files, f"{{info}}/RECORD"])
    return _write(directory, name, version, files)

def _write(directory, name, version, files):
    file = f"{{name}}-{{version}}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, file), "w") as wheel:
        for each, text in files.items():
            wheel.writestr(each, text)
    return file
"""


def write_project(folder: Path, name: str, version: str = "1.0", hook: str = "") -> Path:
    """A folder that pip and uv can install without an index; `hook` is run when it is built."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(BACKEND.format(name=name, version=version))
    (folder / f"{name}.py").write_text(f"VERSION = {version!r}\n")
    if hook:
        (folder / "hook.py").write_text(hook)
    return folder
