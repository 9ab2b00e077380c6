"""Two versions of a package in one program: the packages, and the rows."""

from __future__ import annotations

import os
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from bench.rows import Measure

PACKAGE = "two_versions_of_this"
VERSIONS = ["1.0", "2.0"]


def write_wheels(folder: Path) -> None:
    """Both versions, as wheels that pip and uv install without an index."""
    for version in VERSIONS:
        info = f"{PACKAGE}-{version}.dist-info"
        files = {
            f"{PACKAGE}.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(folder / f"{PACKAGE}-{version}-py3-none-any.whl", "w") as wheel:
            for name, text in files.items():
                wheel.writestr(name, text)


class Rows:
    """The rows of a program that has `api` and `start`."""

    api: Any

    def start(self) -> None: ...

    def _environments(self) -> list[dict[str, Any]]:
        """Of a session that begins now, with empty caches."""
        folder = Path(tempfile.mkdtemp(prefix="bench-environments-"))
        for name in ("wheels", "uv", "daybreak"):
            (folder / name).mkdir()
        write_wheels(folder / "wheels")
        os.environ["UV_CACHE_DIR"] = str(folder / "uv")
        os.environ["DAYBREAK_CACHE_DIR"] = str(folder / "daybreak")
        self.start()
        options = ["--no-index", "--find-links", str(folder / "wheels")]
        return [
            {"uv": {"packages": [f"{PACKAGE}=={version}"], "uv_pip_install_options": options}} for version in VERSIONS
        ]

    def _of_tasks(self, environments: list[dict[str, Any]]) -> list[str]:
        @self.api.remote
        def version() -> str:
            import two_versions_of_this  # type: ignore[import-not-found]

            return str(two_versions_of_this.VERSION)

        refs = [version.options(runtime_env=environment).remote() for environment in environments]
        return list(self.api.get(refs))

    def env_two_versions_cold(self) -> Measure:
        environments = self._environments()
        self.api.get(self.api.remote(lambda: 1).remote())
        started = time.perf_counter()
        found = self._of_tasks(environments)
        return Measure(time.perf_counter() - started, found)

    def env_two_versions_warm(self) -> Measure:
        environments = self._environments()
        self._of_tasks(environments)

        @self.api.remote
        class Actor:
            def version(self) -> str:
                import two_versions_of_this

                return str(two_versions_of_this.VERSION)

        started = time.perf_counter()
        actors = [Actor.options(runtime_env=environment).remote() for environment in environments]
        found = list(self.api.get([actor.version.remote() for actor in actors]))
        return Measure(time.perf_counter() - started, found)
