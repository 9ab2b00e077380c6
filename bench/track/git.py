import shutil
import subprocess
from pathlib import Path

from bench.track import archives

PACKAGES = ["git"]
QUICK = False


class Git(archives.Archive):
    """add and commit for each version, `git gc` at the end."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.repository = work / "repository"
        self.run("init", "-q", str(self.repository), cwd=work)

    def run(self, *arguments: str, cwd: Path | None = None) -> None:
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        subprocess.run(["git", *identity, *arguments], cwd=cwd or self.repository, check=True, capture_output=True)

    def put(self, file: Path) -> None:
        shutil.copyfile(file, self.repository / "file")
        self.run("add", "file")
        self.run("commit", "-q", "-m", file.name)

    def finish(self) -> None:
        self.run("gc", "-q", "--prune=now")

    def restore(self, out: Path) -> None:
        with out.open("wb") as sink:
            subprocess.run(["git", "cat-file", "blob", "HEAD:file"], cwd=self.repository, check=True, stdout=sink)

    def size_bytes(self) -> int:
        return archives.bytes_under(self.repository / ".git")


globals().update(archives.rows_of(Git, lambda: QUICK))
