"""What went wrong with the logs of others, as their users reported it, done to ours. Each test names the report.

Reports of a disk or a power supply that fails are tests in C++: rostam 94 and WiredTiger WT-4045 (a sync that failed and then seems
to work) `after_a_sync_that_failed_a_pen_writes_nothing_more`, SplitFS 59 (the name was never synced)
`a_name_that_is_not_on_the_disk_is_synced_by_whoever_opens_the_file`, RocksDB 6313 (a second crash, in the recovery from the first)
`one_that_is_killed_at_any_step_takes_nothing_promised_and_others_go_on`.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from daybreak.base import errors
from daybreak.store import Journal, JournalReader

HEADER = 64
BODIES = [bytes([65 + i]) * (5 + 40 * i) for i in range(5)]


def bodies(path: Path) -> list[bytes]:
    reader = JournalReader(path)
    found: list[bytes] = []
    while records := reader.read().records:
        found += [record.body for record in records]
    return found


def written(path: Path, how: str = "synced") -> bytes:
    """A journal of BODIES; its bytes."""
    journal = Journal(path)
    for body in BODIES:
        journal.append(body, durability=how)
    journal.close()
    return path.read_bytes()


def put_back(path: Path, content: bytes) -> None:
    """As after a crash of a machine whose lock file is of no use any more."""
    path.write_bytes(content)
    path.with_name(path.name + ".lock").unlink(missing_ok=True)


def ends(content: bytes) -> list[int]:
    """Where each record ends."""
    found, at = [], HEADER
    while at < len(content):
        at += 40 + (int.from_bytes(content[at + 4 : at + 8], "little") + 7) // 8 * 8
        found.append(at)
    return found


def test_what_is_synced_after_a_torn_tail_was_met_is_there_after_the_next_crash(tmp_path: Path) -> None:
    """pmcfadin/cqlite 1390: appended behind the torn piece, where no recovery came."""
    path = tmp_path / "j"
    content = written(path, "written")
    for cut in range(ends(content)[-2] + 1, len(content), 7):
        put_back(path, content[:cut])
        journal = Journal(path)
        journal.append(b"C", durability="synced")
        journal.append(b"D", durability="synced")
        journal.close()
        put_back(path, path.read_bytes() + b"DBJR\x07")  # the second crash tore again
        assert bodies(path) == [*BODIES[:-1], b"C", b"D"]


def test_one_byte_behind_the_end_hides_nothing_that_comes_after_it(tmp_path: Path) -> None:
    """amelielabs/amelie 17."""
    path = tmp_path / "j"
    put_back(path, written(path) + b"\x00")
    journal = Journal(path)
    journal.append(b"later")
    journal.close()
    assert bodies(path) == [*BODIES, b"later"]


def test_a_record_torn_in_its_head_and_one_torn_in_its_body_both_leave_those_before_it(tmp_path: Path) -> None:
    """samyama-ai/samyama-graph 1335: a torn length was the end, a torn body an error for all. hashicorp/raft-wal 10."""
    path = tmp_path / "j"
    content = written(path, "written")
    for cut in range(HEADER, len(content), 3):
        put_back(path, content[:cut])
        whole = sum(end <= cut for end in ends(content))
        assert bodies(path) == BODIES[:whole]  # a reader, which cuts nothing
        journal = Journal(path)
        assert journal.append(b"next") == whole
        journal.close()
        assert bodies(path) == [*BODIES[:whole], b"next"]


def test_a_file_shorter_than_its_header_is_refused_by_name_for_no_crash_leaves_one(tmp_path: Path) -> None:
    """facebook/rocksdb 1351: "truncated header" ended every start after a kill. A journal gets its name when
    it is on the disk (`one_that_is_killed_while_it_makes_the_journal_leaves_none_or_an_empty_one` in C++): none is short."""
    path = tmp_path / "j"
    content = written(path)
    for cut in range(HEADER):
        put_back(path, content[:cut])
        with pytest.raises(errors.DataLossError, match="does not begin as a journal does"):
            Journal(path)
        assert path.read_bytes() == content[:cut]


@pytest.mark.parametrize("junk", [bytes(120), b"\xff" * 120, b"DBJR" + bytes(200)])
def test_what_no_death_of_a_process_can_have_left_is_named_and_nothing_is_cut(tmp_path: Path, junk: bytes) -> None:
    """typedb 7510 (120 zeros), wiredtiger 4177 (junk behind a valid log): since this machine was started nobody can have torn that.
    After a start it may be what a loss of power left, and is cut: `what_a_loss_of_power_tore_apart_is_cut_only_if_...` in C++."""
    path = tmp_path / "j"
    content = written(path)
    put_back(path, content + junk)
    with pytest.raises(errors.DataLossError, match=str(len(content))):
        Journal(path)
    assert path.read_bytes() == content + junk
    reader = JournalReader(path)
    assert [record.body for record in reader.read().records] == BODIES
    with pytest.raises(errors.DataLossError):
        reader.read()


def test_a_hole_in_the_middle_is_never_taken_for_the_end(tmp_path: Path) -> None:
    """wiredtiger 4177; facebook/rocksdb 7270: what may be cut must be the last."""
    path = tmp_path / "j"
    content = written(path)
    first, second = ends(content)[:2]
    put_back(path, content[:first] + bytes(second - first) + content[second:])
    before = path.read_bytes()
    with pytest.raises(errors.DataLossError, match=str(first)):
        Journal(path)
    assert path.read_bytes() == before


def test_after_a_write_that_fitted_only_in_part_the_next_record_lies_behind_the_last_whole_one(tmp_path: Path) -> None:
    """timeplus-io/proton 1229, HarperFast/rocksdb-js 748: the piece that fitted stayed in the middle of the log for ever."""
    program = f"""
        import resource, signal
        from daybreak.base import errors
        from daybreak.store import Journal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal({str(tmp_path / "j")!r})
        journal.append(b"before", durability="synced")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        for room in range(2000, 2200, 40):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
            try:
                journal.append(bytes(100_000), durability="synced")
            except errors.Error as error:
                assert "100000" in str(error) or "j" in str(error), error
            else:
                raise AssertionError("it fitted")
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            journal.append(b"after %d" % room, durability="synced")
        journal.close()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bodies(tmp_path / "j") == [b"before", *(b"after %d" % room for room in range(2000, 2200, 40))]


def test_who_is_killed_while_it_holds_the_lock_keeps_nobody_waiting(tmp_path: Path) -> None:
    """optuna 5921: the lock's file stayed, and whoever resumed slept for ever."""
    path = tmp_path / "j"
    program = f"""
        import os, signal
        from daybreak.store import Journal
        def records():
            yield b"never", 0
            print("holding", flush=True)
            signal.pause()
        journal = Journal({str(path)!r})
        journal.append(b"before", durability="synced")
        journal.rewrite(records)
    """
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "holding\n"
    holder.kill()
    holder.wait()
    began = time.monotonic()
    journal = Journal(path)
    journal.append(b"after", durability="synced")
    journal.close()
    assert time.monotonic() - began < 5  # of the 60 s that a living one may hold it
    assert bodies(path) == [b"before", b"after"]


def test_a_reader_beside_writers_never_sees_half_a_record(tmp_path: Path) -> None:
    """optuna 5138: JSONDecodeError, because a line was read while it was written."""
    path = tmp_path / "j"
    Journal(path).close()
    program = f"""
        import sys
        from daybreak.store import Journal
        journal = Journal({str(path)!r})
        for i in range(60):
            journal.append(sys.argv[1].encode() * 200_000, durability="written")
        journal.close()
    """
    writers = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), name]) for name in "abc"]
    reader = JournalReader(path)
    counts = dict.fromkeys(b"abc", 0)
    while sum(counts.values()) < 180:
        for record in reader.read().records:
            assert len(record.body) == 200_000 and len(set(record.body)) == 1
            counts[record.body[0]] += 1
        assert all(writer.poll() in (None, 0) for writer in writers)
    assert [writer.wait() for writer in writers] == [0, 0, 0] and set(counts.values()) == {60}
