"""Packages for workers elsewhere: what is packed comes back whole, and what is not whole is refused before it is used."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError
from daybreak.map.packages import loader, pack
from daybreak.map.packages.loader import Cache, Damaged, Manifest, Misfit, platform_name, python_version
from daybreak.map.packages.pack import TARGETS, Package, Target, choose, pack_distributions

Fetch = Callable[[str, IO[bytes]], None]


def manifest_of(contents: dict[str, bytes], **other: Any) -> bytes:
    said = {
        "format": "daybreak-package",
        "version": 1,
        "python": python_version(),
        "platform": "any",
        "files": [
            [name, hashlib.sha256(data).hexdigest(), len(data), False] for name, data in sorted(contents.items())
        ],
        **other,
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def zip_of(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def served(manifest: bytes, archive: bytes, count: list[str] | None = None) -> tuple[str, Fetch]:
    digest = hashlib.sha256(manifest).hexdigest()

    def fetch(name: str, file: IO[bytes]) -> None:
        if count is not None:
            count.append(name)
        file.write({f"{digest}.json": manifest, f"{digest}.zip": archive}[name])

    return digest, fetch


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES = {"a.py": b"x = 1\n", "p/__init__.py": b"", "p/data.bin": bytes(range(256)) * 40}
part = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda text: text not in (".", ".."))
names = st.lists(part, min_size=1, max_size=4).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=300), max_size=8))
def test_what_is_packed_comes_back_or_is_refused_as_a_file_below_a_file(files: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        digest, fetch = served(manifest_of(files), zip_of(files))
        nested = any(other.startswith(name + "/") for name in files for other in files)
        try:
            with Cache(folder).use(digest, fetch) as path:
                assert tree(Path(path)) == files and not nested
        except Damaged:
            assert nested


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["format", "version", "python", "platform", "files", "x"]), inner, max_size=6
            )
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode())
)
def test_a_manifest_of_any_bytes_is_read_or_refused_by_name(data: bytes) -> None:
    try:
        Manifest(data)
    except Damaged as error:
        assert str(error)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_an_archive_with_altered_bytes_gives_the_same_files_or_is_refused(data: Any) -> None:
    import tempfile

    manifest, archive = Manifest(manifest_of(FILES)), bytearray(zip_of(FILES))
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(archive)))
    for altered in (bytes(archive), bytes(archive[:cut])):
        with tempfile.TemporaryDirectory() as folder:
            try:
                loader.unpack(manifest, io.BytesIO(altered), folder)
            except Damaged:
                continue
            assert tree(Path(folder)) == FILES


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a//b",
        "",
        ".",
        "a\\b",
        "a\0b",
        "a/./b",
        "x" * 256,
        "\ud800",
        "/".join(["d"] * 2100),
    ],
)
def test_names_outside_of_the_folder_are_refused(name: str) -> None:
    text = manifest_of({"placeholder": b""}).replace(b'"placeholder"', json.dumps(name).encode())
    with pytest.raises(Damaged, match="outside of its folder"):
        Manifest(text)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (["a", "00", 1, False], "no hash or size"),
        (["a", "0" * 64, -1, False], "no hash or size"),
        (["a", "0" * 64, True, False], "for a file"),
        (["a", "0" * 64, 1.0, False], "for a file"),
        (["a", "0" * 64, 1], "expected"),
        ("a", "expected"),
    ],
)
def test_entries_that_lie_are_refused(entry: Any, words: str) -> None:
    with pytest.raises(Damaged, match=words):
        Manifest(manifest_of({}, files=[entry]))


def test_a_file_twice_and_one_that_is_a_folder_are_refused() -> None:
    empty = hashlib.sha256(b"").hexdigest()
    for pair in (["a", "a"], ["a", "a/b"], ["a/b", "a"]):
        with pytest.raises(Damaged, match="twice|below a file|as a folder"):
            Manifest(manifest_of({}, files=[[name, empty, 0, False] for name in pair]))


def test_a_link_in_the_archive_is_a_file_with_other_contents_and_refused(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        link = zipfile.ZipInfo("a.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(Damaged, match="not what the manifest says"):
        loader.unpack(Manifest(manifest_of({"a.py": FILES["a.py"]})), io.BytesIO(made.getvalue()), str(tmp_path))
    assert not (tmp_path / "a.py").is_symlink()


def test_a_bomb_is_written_no_further_than_the_manifest_says(tmp_path: Path) -> None:
    manifest = Manifest(manifest_of({"a": b"x"}))
    with pytest.raises(Damaged, match="not what the manifest says"):
        loader.unpack(manifest, io.BytesIO(zip_of({"a": bytes(50 << 20)})), str(tmp_path))
    assert (tmp_path / "a").stat().st_size <= 2


@pytest.mark.parametrize("files", [{}, {**FILES, "more": b""}, {"a.py": FILES["a.py"]}])
def test_a_missing_file_and_one_more_are_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    digest, fetch = served(manifest_of(FILES), zip_of(files))
    with pytest.raises(Damaged, match="does not hold"), Cache(str(tmp_path)).use(digest, fetch):
        pass
    assert not (tmp_path / digest).exists() and not list(tmp_path.glob(".part-*"))


def test_an_altered_manifest_is_not_what_its_name_says(tmp_path: Path) -> None:
    digest, _ = served(manifest_of(FILES), zip_of(FILES))
    other = manifest_of({**FILES, "a.py": b"evil"})
    with (
        pytest.raises(Damaged, match="not what its name says"),
        Cache(str(tmp_path)).use(digest, lambda name, file: void(file, other)),
    ):
        pass


def void(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def test_another_python_is_refused_with_both_versions_before_the_archive_is_fetched(tmp_path: Path) -> None:
    asked: list[str] = []
    digest, fetch = served(manifest_of(FILES, python="3.7"), zip_of(FILES), asked)
    with pytest.raises(Misfit, match=f"3.7.*{python_version()}"), Cache(str(tmp_path)).use(digest, fetch):
        pass
    assert asked == [f"{digest}.json"]
    digest, fetch = served(manifest_of(FILES, platform="plan9-vax"), zip_of(FILES))
    with pytest.raises(Misfit, match=f"plan9-vax.*{platform_name()}"), Cache(str(tmp_path)).use(digest, fetch):
        pass


def test_the_longest_unused_goes_first_and_never_one_in_use(tmp_path: Path) -> None:
    made = [served(manifest_of({"a": bytes([i]) * 1000}), zip_of({"a": bytes([i]) * 1000})) for i in range(4)]
    cache = Cache(str(tmp_path), max_bytes=2500)
    for age, (digest, fetch) in enumerate(made[:2]):
        with cache.use(digest, fetch) as path:
            pass
        os.utime(path, (1000 + age, 1000 + age))
    with cache.use(*made[0]) as held:
        os.utime(held, (1, 1))  # the longest unused by its time, and in use
        with cache.use(*made[2]):
            pass
        assert Path(held).is_dir() and not (tmp_path / made[1][0]).exists() and (tmp_path / made[2][0]).exists()
    assert not (tmp_path / f"{made[1][0]}.lock").exists()
    fetched: list[str] = []
    digest, fetch = served(manifest_of({"a": b"\0" * 1000}), zip_of({"a": b"\0" * 1000}), fetched)
    with cache.use(digest, fetch):
        assert fetched == []  # it is still there


def _use(folder: str, digest: str, manifest: bytes, archive: bytes, log: str) -> None:
    def fetch(name: str, file: IO[bytes]) -> None:
        with open(log, "a") as out:
            out.write(f"{name}\n")
        file.write(manifest if name.endswith("json") else archive)

    with Cache(folder).use(digest, fetch) as path:
        assert tree(Path(path)) == FILES


def test_processes_that_ask_at_once_fetch_it_once(tmp_path: Path) -> None:
    manifest, archive = manifest_of(FILES), zip_of(FILES)
    digest = hashlib.sha256(manifest).hexdigest()
    log = str(tmp_path / "log")
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_use, args=(str(tmp_path / "c"), digest, manifest, archive, log)) for _ in range(3)
    ]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert [each.exitcode for each in workers] == [0, 0, 0]
    assert Path(log).read_text().split() == [f"{digest}.json", f"{digest}.zip"]


def test_a_fetch_that_fails_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    digest, fetch = served(manifest_of(FILES), zip_of(FILES))

    def fails(name: str, file: IO[bytes]) -> None:
        if name.endswith("zip"):
            raise ConnectionResetError("half way")
        fetch(name, file)

    with pytest.raises(ConnectionResetError), Cache(str(tmp_path)).use(digest, fails):
        pass
    assert not list(tmp_path.glob(".part-*"))
    with Cache(str(tmp_path)).use(digest, fetch) as path:
        assert tree(Path(path)) == FILES


def test_no_name_of_a_package_is_refused(tmp_path: Path) -> None:
    for name in ("../x", "", "A" * 64, "0" * 63):
        with pytest.raises(Damaged, match="no name of a package"), Cache(str(tmp_path)).use(name, lambda *_: None):
            pass


# ---- packing


def test_installed_packages_are_packed_with_what_they_need_and_imported_from_the_copy(tmp_path: Path) -> None:
    made = pack_distributions(["rich"])
    assert {"rich", "pygments", "markdown-it-py"} <= set(made.sizes) and made.manifest.platform == "any"
    again = pack_distributions(["Rich"])
    assert again.digest == made.digest
    listed, archive = made.write(tmp_path / "one")
    other = made.write(tmp_path / "two")
    assert Path(archive).read_bytes() == Path(other[1]).read_bytes() and Path(listed).name == f"{made.digest}.json"

    def fetch(name: str, file: IO[bytes]) -> None:
        file.write((tmp_path / "one" / name).read_bytes())

    with Cache(str(tmp_path / "cache")).use(made.digest, fetch) as path:
        code = (
            f"import sys; sys.path.insert(0, {path!r}); import rich, pygments; print(rich.__file__, pygments.__file__)"
        )
        said = subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True)
        assert said.split() == [f"{path}/rich/__init__.py", f"{path}/pygments/__init__.py"]
    assert "pygments" in made.explain()


def test_the_loader_needs_the_standard_library_alone(tmp_path: Path) -> None:
    code = f"import runpy; runpy.run_path({str(Path(loader.__file__))!r}); import sys; print('daybreak' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True).strip() == "False"


def made_up(**sizes: int) -> Package:
    files = {f"{name}/data": ("0" * 64, size, False) for name, size in sizes.items()}
    manifest = Manifest(manifest_of({}))
    manifest.files = files
    manifest.size_bytes = sum(sizes.values())
    return Package(manifest, {}, {f"{name}/data": name for name in sizes})


def test_the_form_follows_the_size_at_its_edges_and_what_fits_nowhere_names_the_three_biggest() -> None:
    target = Target("here", 1000, 2000, 3000, "a test")
    assert [choose(made_up(a=size), target) for size in (1000, 1001, 2000, 2001, 3000)] == [
        "zip",
        "image",
        "image",
        "loader",
        "loader",
    ]
    with pytest.raises(ResourceExhaustedError, match=r"torch .*scipy .*numpy \(") as caught:
        choose(made_up(numpy=500, torch=2000, six=1, scipy=700), target)
    assert "six" not in str(caught.value)
    assert TARGETS["aws_lambda"].zip_bytes == 262_144_000
    assert choose(made_up(a=262_144_001), TARGETS["aws_lambda"]) == "image"


def test_what_is_not_there_or_editable_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FailedPreconditionError, match="no-such-thing is not installed"):
        pack_distributions(["no_such.thing"])
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "RECORD").write_text("mine-1.0.dist-info/METADATA,,\n")
    (info / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')
    with pytest.raises(FailedPreconditionError, match="mine is an editable installation"):
        pack_distributions(["mine"], [str(tmp_path)])
    with pytest.raises(InvalidArgumentError, match="a list of requirements"):
        pack.pack("numpy")


def test_an_unpacking_thread_and_a_reader_do_not_meet_half_a_package(tmp_path: Path) -> None:
    digest, fetch = served(manifest_of(FILES), zip_of(FILES))
    reached, go_on = threading.Event(), threading.Event()

    def slow(name: str, file: IO[bytes]) -> None:
        reached.set()
        assert go_on.wait(30)
        fetch(name, file)

    seen: list[dict[str, bytes]] = []

    def use(how: Fetch) -> None:
        with Cache(str(tmp_path)).use(digest, how) as path:
            seen.append(tree(Path(path)))

    first = threading.Thread(target=use, args=(slow,))
    first.start()
    assert reached.wait(30)
    second = threading.Thread(target=use, args=(fetch,))
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert seen == [FILES, FILES]
