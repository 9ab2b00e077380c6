import os
import shutil
import subprocess
from pathlib import Path

from bench.track import archives

PACKAGES = ["restic"]
QUICK = False


class Restic(archives.Archive):
    """--compression auto; it always encrypts."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.source = work / "source"
        self.source.mkdir()
        self.environment = {**os.environ, "RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(work / "cache")}
        self.run("init")

    def run(self, *arguments: str) -> None:
        command = ["restic", "-q", "-r", str(self.work / "repository"), *arguments]
        subprocess.run(command, cwd=self.source, env=self.environment, check=True, capture_output=True)

    def put(self, file: Path) -> None:
        shutil.copyfile(file, self.source / "file")
        self.run("backup", "--compression", "auto", "file")

    def restore(self, out: Path) -> None:
        target = self.work / "out"
        self.run("restore", "latest", "--target", str(target))
        next(path for path in target.rglob("file") if path.is_file()).rename(out)

    def size_bytes(self) -> int:
        return archives.bytes_under(self.work / "repository")


globals().update(archives.rows_of(Restic, lambda: QUICK))
