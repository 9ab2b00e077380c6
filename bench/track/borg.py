import os
import shutil
import subprocess
from pathlib import Path

from bench.track import archives

PACKAGES = ["borgbackup"]
QUICK = False


class Borg(archives.Archive):
    """zstd,1, no encryption."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.source = work / "source"
        self.source.mkdir()
        self.newest = ""
        base = {"BORG_BASE_DIR": str(work / "base"), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        self.environment = {**os.environ, **base}
        self.run("init", "-e", "none", str(work / "repository"))

    def run(self, *arguments: str, cwd: Path | None = None) -> None:
        subprocess.run(
            ["borg", *arguments], cwd=cwd or self.source, env=self.environment, check=True, capture_output=True
        )

    def put(self, file: Path) -> None:
        shutil.copyfile(file, self.source / "file")
        self.newest = f"{self.work / 'repository'}::{file.name}"
        self.run("create", "-C", "zstd,1", self.newest, "file")

    def restore(self, out: Path) -> None:
        target = self.work / "out"
        target.mkdir()
        self.run("extract", self.newest, cwd=target)
        (target / "file").rename(out)

    def size_bytes(self) -> int:
        return archives.bytes_under(self.work / "repository")


globals().update(archives.rows_of(Borg, lambda: QUICK))
