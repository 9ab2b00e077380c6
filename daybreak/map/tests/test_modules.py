"""The caller's modules: which are shipped, why, and that an edited one is another one."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError
from daybreak.map.engines import shipped
from daybreak.map.packages import modules
from daybreak.map.packages.modules import dumps, modules_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_a_module_and_what_it_imports_anywhere_are_shipped_and_installed_ones_are_not(place: Path) -> None:
    (place / "mine_a.py").write_text(
        "import numpy\nimport json\ndef f(x):\n    import mine_b\n    return mine_b.g(x)\n"
    )
    (place / "mine_b.py").write_text("from mine_p.inner import h as g\n")
    (place / "mine_p").mkdir()
    (place / "mine_p/__init__.py").write_text("")
    (place / "mine_p/inner.py").write_text("def h(x):\n    return x + 1\n")
    importlib.invalidate_caches()
    import mine_a  # type: ignore[import-not-found]

    data, names = dumps(mine_a.f)
    assert "mine_a" in names
    found = modules_of(names)
    assert set(found.files) == {"mine_a.py", "mine_b.py", "mine_p/__init__.py", "mine_p/inner.py"}
    assert found.left_out["numpy"].startswith("it is an installed package")
    said = found.explain()
    assert "mine_b: " in said and "mine_b.py imports it" in said and "numpy: not shipped" in said


def test_an_instance_among_the_inputs_brings_its_module(place: Path) -> None:
    (place / "mine_kind.py").write_text("class Kind:\n    pass\n")
    importlib.invalidate_caches()
    import mine_kind  # type: ignore[import-not-found]

    assert set(modules_of(dumps([{"a": mine_kind.Kind()}])[1]).files) == {"mine_kind.py"}


def test_an_import_in_a_lambda_of_the_main_module_counts(place: Path) -> None:
    (place / "mine_late.py").write_text("y = 1\n")
    importlib.invalidate_caches()

    def function(x: int) -> int:
        import mine_late  # type: ignore[import-not-found]

        return x + int(mine_late.y)

    function.__module__ = "__main__"
    assert "mine_late.py" in modules_of(dumps(function)[1]).files


def test_an_edited_module_has_another_digest_and_a_worker_runs_its_new_text(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    (place / "src").mkdir()
    monkeypatch.syspath_prepend(str(place / "src"))
    path = place / "src" / "mine_edit.py"
    path.write_text("def f(x):\n    return 'old'\n")
    importlib.invalidate_caches()
    import mine_edit  # type: ignore[import-not-found]

    python = sys.version_info[:2]
    said, digests = [], []
    for text in ("old", "new", "newer"):
        path.write_text(f"def f(x):\n    return {text!r}\n")
        data, names = dumps(mine_edit.f)
        found = modules_of(names)
        digests.append(found.digest)
        work = shipped.Shipped(data, found.files, found.digest, False, False, python)
        how, result, _ = work(dumps(1)[0])
        assert how == shipped.DONE and result is not None
        said.append(pickle.loads(result))
        sys.modules["mine_edit"] = mine_edit  # the driver's, which in truth is another process
    assert said == ["old", "new", "newer"] and len(set(digests)) == 3
    shipped.Shipped(b"", {}, "", False, False, python)._enter()
    assert not any("daybreak-modules" in each for each in sys.path)


def test_altered_modules_and_names_outside_are_refused_by_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for files, words in (({"a.py": b"x"}, "altered"), ({"../a.py": b"x"}, "outside"), ({"/a.py": b"x"}, "outside")):
        with pytest.raises(ValueError, match=words):
            shipped.Shipped(b"", files, "0" * 64, False, False, (3, 11))._enter()
    assert not (tmp_path.parent / "a.py").exists()


def test_a_worker_of_another_python_says_both_versions() -> None:
    how, data, status = shipped.Shipped(b"", {}, "", False, False, (2, 7))(b"")
    assert how == shipped.RAISED
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"version is {here}" in status["error"] and "driver's is 2.7" in status["error"]


def test_compiled_modules_are_named_with_the_way_out(place: Path) -> None:
    (place / "mine_c").mkdir()
    (place / "mine_c/__init__.py").write_text("")
    (place / "mine_c/fast.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
    importlib.invalidate_caches()
    with pytest.raises(FailedPreconditionError, match=r"mine_c.*fast.*environment.*exclude_modules=\['mine_c'\]"):
        modules_of(["mine_c"])
    assert modules_of(["mine_c"], exclude=["mine_c"]).files == {}


def test_include_and_exclude_as_pywren_has_them(place: Path) -> None:
    (place / "mine_x.py").write_text("import mine_y\n")
    (place / "mine_y.py").write_text("")
    importlib.invalidate_caches()
    assert set(modules_of(["nothing"], include=["mine_x"]).files) == {"mine_x.py", "mine_y.py"}
    assert set(modules_of(["mine_x"], include=["mine_y"]).files) == {"mine_y.py"}
    assert modules_of(["mine_x"], include=[]).files == {}
    assert modules_of(["mine_x"], exclude=[place.name]).left_out == {"mine_x": f"exclude_modules has {place.name!r}"}
    with pytest.raises(InvalidArgumentError, match="no module 'mine_zzz'"):
        modules_of([], include=["mine_zzz"])


def test_modules_beyond_the_limit_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "mine_big.py").write_text("#" * 2000)
    importlib.invalidate_caches()
    monkeypatch.setattr(modules, "MAX_MODULES_BYTES", 2000)
    assert modules_of(["mine_big"]).size_bytes == 2000
    (place / "mine_big.py").write_text("#" * 2001)
    with pytest.raises(ResourceExhaustedError, match="2001 bytes with 'mine_big'"):
        modules_of(["mine_big"])


def test_broken_text_is_shipped_and_left_to_the_worker(place: Path) -> None:
    (place / "mine_odd.py").write_bytes(b"# -*- coding: iso-8859-5 -*-\nx = '\xb0'\n")
    (place / "mine_broken.py").write_bytes(b"def (:\n")
    importlib.invalidate_caches()
    assert set(modules_of(["mine_odd", "mine_broken"]).files) == {"mine_odd.py", "mine_broken.py"}
