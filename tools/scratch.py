"""A copy of the working tree, in which a test does what a contributor would."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent


def copy_of_the_repository(target: Path) -> Path:
    """What git knows or would add, without pictures and results; returns the target."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", ":!docs/images", ":!bench/results"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def unpack(tar: tarfile.TarFile, folder: Path, filter: Literal["tar", "data"] = "data") -> None:
    """All of it into the folder, through a filter of tarfile ("tar" keeps the modes of folders, too).

    Members that would leave the folder are refused, also by the Pythons before 3.11.4 (Debian 12's), whose tarfile has no
    filters: there links are refused, too.
    """
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter=filter)
        return
    for member in tar.getmembers():
        parts = PurePosixPath(member.name).parts
        if member.name.startswith("/") or ".." in parts or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(
                f"{member.name!r} of {tar.name!r} leaves the folder, or is neither a file nor a folder"
            )
    tar.extractall(folder)
