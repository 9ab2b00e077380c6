"""The store's Python face: kinds of values, tables, damage, processes."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import safetensors.numpy

from daybreak import tensor
from daybreak.base import errors
from daybreak.store import Store


def make_store(path: Path) -> Store:
    return Store(path / "store")


def test_bytes_files_arrays_and_dicts_come_back_as_what_they_were(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    rng = np.random.default_rng(1)
    file = tmp_path / "data.bin"
    file.write_bytes(rng.bytes(3_000_000))
    array = rng.standard_normal((300, 70)).astype(np.float16)
    arrays = {"a": rng.integers(0, 9, 5), "b": np.float64(3.5), "c": np.zeros((0, 3), np.bool_)}
    assert store.load(store.put(b"some bytes").id) == b"some bytes"
    assert store.load(store.put(bytearray(b"more")).id) == b"more"
    stored = store.put(file)
    assert stored.id == hashlib.sha256(file.read_bytes()).hexdigest()
    assert store.load(stored.id) == file.read_bytes()
    store.write_to(stored.id, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == file.read_bytes()
    back = store.load(store.put(array).id)
    assert back.dtype == array.dtype and np.array_equal(back, array)
    loaded = store.load(store.put(arrays).id)
    assert loaded.keys() == arrays.keys()
    for name, value in arrays.items():
        assert loaded[name].dtype == np.asarray(value).dtype and np.array_equal(loaded[name], value)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_versions_of_every_dtype_come_back_to_the_bit(tmp_path: Path, dtype: str) -> None:
    store = make_store(tmp_path)
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2**63, 40_000, np.uint64).view(dtype)  # NaNs with payloads among them
    parent = None
    for _ in range(11):
        stored = store.put({"x": bits}, parent=parent)
        assert store.load(stored.id)["x"].tobytes() == bits.tobytes()
        parent = stored.id
        bits = bits.copy()
        integers = bits.view(f"u{bits.itemsize}")
        integers += rng.integers(0, 3, integers.size).astype(integers.dtype)


def test_tensors_are_found_in_npy_safetensors_and_containers(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    w = np.random.default_rng(3).standard_normal((100, 300)).astype(np.float32)
    np.save(tmp_path / "w.npy", w)
    safetensors.numpy.save_file({"w": w, "b": w[0]}, tmp_path / "w.safetensors")
    tensor.save(tmp_path / "w.policy", {"w": w})
    for name, key in [("w.npy", ""), ("w.safetensors", "w"), ("w.policy", "w")]:
        stored = store.put(tmp_path / name)
        assert store.load(stored.id) == (tmp_path / name).read_bytes()
        assert [t.shape for t in store.tensors(stored.id) if t.name == key] == [(100, 300)]
        assert np.array_equal(store.tensor(stored.id, key), w)
    with pytest.raises(errors.NotFoundError, match="no tensor 'v': it has b, w"):
        store.tensor(store.put(tmp_path / "w.safetensors").id, "v")


def test_a_file_that_only_begins_like_tensors_is_kept_as_bytes(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    whole = tensor.dumps({"w": np.arange(100_000)})
    for data in (
        whole[:-1],
        whole[:3],
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{'descr': '<f4'",
        whole[:8] + b"{" * 5000,
    ):
        stored = store.put(data)
        assert store.load(stored.id) == data and store.tensors(stored.id) == ()


def frame(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "i": rng.integers(0, 1000, rows),
            "x": rng.standard_normal(rows),
            "s": [f"name {n}" if n % 7 else None for n in rng.integers(0, 100, rows)],
            "t": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 10**6, rows), unit="s"),
            "z": pd.date_range("2026-03-01", periods=rows, freq="h", tz="Europe/Berlin"),
            "c": pd.Categorical.from_codes(rng.integers(-1, 3, rows), ["a", "b", "c"], ordered=True),
            "n": pd.array([None if n < 3 else int(n) for n in rng.integers(0, 10, rows)], dtype="Int32"),
            "b": rng.random(rows) < 0.5,
            5: rng.standard_normal(rows).astype(np.float32),
        }
    )


def test_a_data_frame_comes_back_equal_and_its_rows_are_read_alone(tmp_path: Path) -> None:
    table = frame(100_000, 1)
    stored = make_store(tmp_path).put(table, name="table")
    pd.testing.assert_frame_equal(make_store(tmp_path).load(stored.id), table)
    store = make_store(tmp_path)
    pd.testing.assert_frame_equal(store.rows(stored.id, 50_000, 50_010), table[50_000:50_010])
    assert store.stats()["bytes_unpacked"] < 0.9 * stored.size_bytes + 20 * 2**20
    with pytest.raises(errors.OutOfRangeError, match="the table has 100000"):
        store.rows(stored.id, 5, 100_001)
    odd = table.set_index("i")[:10]
    pd.testing.assert_frame_equal(store.load(store.put(odd).id), odd)
    empty = table[:0]
    pd.testing.assert_frame_equal(store.load(store.put(empty).id), empty)
    arrow = pa.table({"x": [1, 2, 3], "s": ["a", "b", "c"]})
    assert store.load(store.put(arrow).id).equals(arrow)


def test_a_column_added_costs_that_column_and_rows_appended_cost_those_rows(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    table = frame(100_000, 1)
    first = store.put(table)
    wider = table.assign(extra=np.random.default_rng(5).standard_normal(100_000))
    second = store.put(wider, parent=first.id)
    assert second.stored_bytes < 850_000
    longer = pd.concat([table, frame(1000, 2)], ignore_index=True)
    third = store.put(longer, parent=first.id)
    assert third.stored_bytes < 120_000
    pd.testing.assert_frame_equal(store.load(second.id), wider)
    pd.testing.assert_frame_equal(store.load(third.id), longer)
    diff = store.diff(first.id, second.id)
    assert {d.name for d in diff.tensors if d.change == "added"} == {"s/extra"}
    assert [(r.a_begin, r.a_end, r.b_begin, r.b_end) for r in store.diff(first.id, third.id).rows] == [
        (100_000, 100_000, 100_000, 101_000)
    ]


def test_a_column_of_objects_is_refused_by_name(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    with pytest.raises(TypeError, match="column 'things' holds a dict in row 1"):
        store.put(pd.DataFrame({"things": ["a", {}]}))
    with pytest.raises(TypeError, match="column 'p' has dtype period"):
        store.put(pd.DataFrame({"p": pd.period_range("2026", periods=2, freq="D")}))
    with pytest.raises(TypeError, match="a set cannot be stored"):
        store.put({1, 2})
    with pytest.raises(TypeError, match="array 'c' has dtype complex128"):
        store.put({"c": np.zeros(2, np.complex128)})


def test_ranges_of_bytes_that_changed_are_told(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    data = bytearray(np.random.default_rng(6).bytes(2_000_000))
    first = store.put(bytes(data))
    data[700_000:700_010] = b"0123456789"
    second = store.put(bytes(data), parent=first.id)
    (found,) = store.diff(first.id, second.id).bytes
    assert 700_000 <= found.a_begin <= found.a_end <= 700_010
    assert store.diff(first.id, first.id).equal


def test_gc_keeps_what_is_pinned_or_asked_for_and_removes_the_rest(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    rng = np.random.default_rng(7)
    values = [rng.bytes(1_000_000) for _ in range(4)]
    ids = [store.put(value).id for value in values]
    for id in ids[1:]:
        store.release(id)
    report = store.gc(lambda: [ids[1]])
    assert (report.objects_kept, report.objects_removed) == (2, 2)
    assert report.bytes_after < 2_100_000 < 4_000_000 < report.bytes_before
    assert [store.load(id) for id in ids[:2]] == values[:2]
    with pytest.raises(errors.NotFoundError):
        store.load(ids[2])
    assert store.verify().ok
    with pytest.raises(ZeroDivisionError):
        store.gc(lambda: [str(1 / 0)])
    assert store.load(ids[1]) == values[1]


def put_versions(path: str, seed: int, count: int) -> None:
    store = Store(path)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        data = {"shared": np.arange(100_000), "own": rng.standard_normal(20_000)}
        store.put(data, name=str(seed))
    os._exit(0)


def test_many_processes_put_while_two_collect(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=put_versions, args=(str(store.path), seed, 5)) for seed in range(6)]
    for process in writers:
        process.start()
    other = make_store(tmp_path)
    while any(process.is_alive() for process in writers):
        store.gc(lambda: [])
        other.gc(lambda: [])
    for process in writers:
        process.join()
        assert process.exitcode == 0
    assert len(store.objects()) == 30  # pinned by processes that are dead for less than the grace
    assert store.verify().ok
    assert store.stats()["stored_bytes"] < 30 * 200_000  # "shared" is there once or a few times
    assert Store(store.path, pin_grace_s=0).gc(lambda: []).objects_removed == 30


def test_a_store_opened_before_a_fork_works_on_both_sides(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    data = np.random.default_rng(9).standard_normal(1_000_000)
    first = store.put({"x": data})  # helpers and a pack are there now
    child = os.fork()
    if child == 0:
        try:
            assert np.array_equal(store.load(first.id)["x"], data)
            store.put({"x": data + 1}, parent=first.id)
            os._exit(0)
        finally:
            os._exit(1)
    second = store.put({"x": data + 2}, parent=first.id)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(store.load(second.id)["x"], data + 2)
    assert len(store.objects()) == 3 and store.verify().ok


def test_a_writer_that_is_killed_leaves_a_store_that_verifies(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys, numpy as np
        from daybreak.store import Store
        store = Store(sys.argv[1])
        for seed in range(1000):
            print(store.put(np.random.default_rng(seed).bytes(500_000)).id, flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ids = [process.stdout.readline().strip() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    ids += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    store = make_store(tmp_path)
    for seed, id in enumerate(ids):
        assert store.load(id) == np.random.default_rng(seed).bytes(500_000)
    store.put(b"the next")
    assert not [damage for damage in store.verify().damage if damage.objects]
    store.gc(lambda: store.objects())
    assert store.verify().ok


def test_a_damaged_pack_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    rng = np.random.default_rng(8)
    good, bad = rng.bytes(400_000), rng.bytes(400_000)
    first, second = store.put(good, name="good"), store.put(bad, name="bad")
    (pack,) = (store.path / "packs").iterdir()
    content = bytearray(pack.read_bytes())
    content[content.index(bad[1000:1032])] ^= 1
    pack.write_bytes(content)
    store = make_store(tmp_path)
    with pytest.raises(errors.DataLossError, match=rf"artifact {second.id} \('bad'\): packs/{pack.name} at byte"):
        store.load(second.id)
    assert store.load(first.id) == good
    (damage,) = store.verify().damage
    assert damage.file == f"packs/{pack.name}" and damage.objects == (second.id,)


def test_a_bad_id_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for id in ("", "../x", "A" * 64, "0" * 63):
        with pytest.raises(errors.InvalidArgumentError, match="is no artifact id"):
            store.load(id)
    with pytest.raises(errors.NotFoundError):
        store.load("0" * 64)


def test_a_pin_that_is_released_while_gc_asks_what_to_keep_still_counts(tmp_path: Path) -> None:
    writer, collector = make_store(tmp_path), make_store(tmp_path)
    stored = writer.put(b"recorded and released at this very moment")

    def keep() -> list[str]:
        writer.release(stored.id)  # the record that holds it was written a moment before, and is not in this answer
        return []

    assert collector.gc(keep).objects_removed == 0
    assert collector.load(stored.id) == b"recorded and released at this very moment"
    assert collector.gc(lambda: []).objects_removed == 1
