"""The journal's Python face: errors, threads, processes, whatever the records hold."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.base import errors
from daybreak.store import Journal, JournalReader, JournalRecord

MAX_BODY = 64 << 20


def read_all(reader: JournalReader) -> list[JournalRecord]:
    records: list[JournalRecord] = []
    while batch := reader.read().records:
        records += batch
    return records


def bodies(path: Path, application: str = "") -> list[bytes]:
    return [record.body for record in read_all(JournalReader(path, application))]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.binary(max_size=3000),
            st.integers(0, 2**32 - 1),
            st.sampled_from(["buffered", "written", "synced"]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_whatever_records_hold_they_come_back_in_order_through_any_number_of_openings(
    tmp_path: Path, records: list[tuple[bytes, int, str, bool]]
) -> None:
    path = tmp_path / "j"
    for file in tmp_path.iterdir():
        file.unlink()
    journal = Journal(path)
    for body, kind, durability, again in records:
        number = journal.append(body, kind, durability)
        assert (number is None) == (durability == "buffered")
        if again:
            journal.close()
            journal = Journal(path)
    journal.close()
    found = read_all(JournalReader(path))
    assert [(r.body, r.kind) for r in found] == [(body, kind) for body, kind, _, _ in records]
    assert [r.number for r in found] == list(range(len(records)))


def test_what_is_wrong_is_the_exception_of_its_code(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFoundError):
        JournalReader(tmp_path / "none")
    with pytest.raises(errors.InvalidArgumentError, match="written"):
        Journal(tmp_path / "j").append(b"", durability="disk")
    with pytest.raises(errors.InvalidArgumentError, match="at most 67108864"):
        Journal(tmp_path / "j").append(bytes(MAX_BODY + 1))
    with pytest.raises(TypeError):
        Journal(tmp_path / "j").append("text")  # type: ignore[arg-type]
    with pytest.raises(errors.FailedPreconditionError, match="'a'.*'b'"):
        Journal(tmp_path / "of_a", "a").close()
        Journal(tmp_path / "of_a", "b")
    (tmp_path / "text").write_text("no journal")
    with pytest.raises(errors.DataLossError):
        Journal(tmp_path / "text")
    journal = Journal(tmp_path / "closed")
    journal.close()
    with pytest.raises(errors.FailedPreconditionError):
        journal.append(b"")


def test_damage_is_data_loss_after_what_is_before_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        for i in range(5):
            journal.append(b"%d" % i)
    data = bytearray(path.read_bytes())
    data[64 + 3 * 48 + 40] ^= 1  # the body of the fourth
    path.write_bytes(data)
    with pytest.raises(errors.DataLossError, match="at byte 208, in record 3"):
        Journal(path)
    reader = JournalReader(path)
    assert [record.body for record in reader.read().records] == [b"0", b"1", b"2"]
    with pytest.raises(errors.DataLossError, match="at byte 208"):
        reader.read()


def test_a_rewrite_keeps_what_it_is_given_and_what_it_raises_comes_through(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal, reader = Journal(path), JournalReader(path)
    for i in range(10):
        journal.append(b"%d" % i)
    assert len(reader.read().records) == 10
    with pytest.raises(ZeroDivisionError):
        journal.rewrite(lambda: [(b"x", 0), (bytes(1 // 0), 0)])
    with pytest.raises(TypeError):
        journal.rewrite(lambda: [3])  # type: ignore[list-item, return-value]
    assert len(bodies(path)) == 10
    journal.rewrite(lambda: ((record.body, 1) for record in read_all(JournalReader(path)) if record.number % 2))
    assert journal.append(b"after") == 15
    batch = reader.read()
    assert batch.restarted and [r.body for r in batch.records] == [b"1", b"3", b"5", b"7", b"9", b"after"]
    assert [r.number for r in batch.records] == list(range(10, 16))


def test_threads_share_a_journal_and_a_sync(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    threads = [
        threading.Thread(target=lambda t=t: [journal.append(b"%d %d" % (t, i), 0, "synced") for i in range(30)])
        for t in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [body.split() for body in bodies(tmp_path / "j")]
    for t in range(8):
        assert [int(i) for who, i in found if int(who) == t] == list(range(30))
    stats = journal.stats()
    assert stats.records == 240 and 0 < stats.syncs <= 240


def test_eight_processes_write_while_one_is_killed_and_a_reader_follows(tmp_path: Path) -> None:
    path = tmp_path / "j"
    program = textwrap.dedent(
        """
        import itertools, sys
        from daybreak.store import Journal
        journal = Journal(sys.argv[1], "trials")
        many = itertools.count() if sys.argv[2] == "0" else range(40)
        for i in many:
            journal.append(f"{sys.argv[2]} {i}".encode(), 0, "synced")
            if i == 5:
                print("under way", flush=True)
        """
    )
    Journal(path, "trials").close()
    reader = JournalReader(path, "trials")
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(w)], stdout=subprocess.PIPE, text=True)
        for w in range(8)
    ]
    seen: list[JournalRecord] = []
    try:
        assert writers[0].stdout is not None and writers[0].stdout.readline() == "under way\n"
        writers[0].kill()
        while any(writer.poll() is None for writer in writers):
            seen += read_all(reader)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert [writer.returncode for writer in writers[1:]] == [0] * 7
    seen += read_all(reader)
    assert [record.number for record in seen] == list(range(len(seen)))
    for w in range(8):
        own = [int(i) for who, i in (record.body.split() for record in seen) if int(who) == w]
        assert own == list(range(len(own))) and (len(own) == 40 or w == 0)


def test_a_forked_child_must_open_it_again(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, sys
        from daybreak.base import errors
        from daybreak.store import Journal
        journal = Journal(sys.argv[1])
        child = os.fork()
        if child == 0:
            try:
                journal.append(b"x")
            except errors.FailedPreconditionError:
                Journal(sys.argv[1]).append(b"child")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        journal.append(b"parent")
        """
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "j")], check=True)
    assert bodies(tmp_path / "j") == [b"child", b"parent"]
