"""The claim of mutex.h: with clang, a forgotten lock does not compile."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CLANG = shutil.which("clang++-19")
COUNTS = """
#include "daybreak/base/mutex.h"

class Counts {
 public:
  void add(int n) { LOCK total_ += n; }
  void add_held(int n) DAYBREAK_REQUIRES(mutex_) { total_ += n; }
  void add_twice(int n) { CALLER add_held(n); }

 private:
  daybreak::base::Mutex mutex_;
  int total_ DAYBREAK_GUARDED_BY(mutex_) = 0;
};
"""
LOCK = "daybreak::base::MutexLock lock(mutex_);"


def errors_of(tmp_path: Path, lock: str, caller: str) -> list[str]:
    assert CLANG and "-Wthread-safety -Werror=thread-safety" in (ROOT / "CMakeLists.txt").read_text()
    source = tmp_path / "counts.cc"
    source.write_text(COUNTS.replace("LOCK", lock).replace("CALLER", caller))
    command = [
        CLANG,
        "-std=c++23",
        f"-I{ROOT}",
        "-Wthread-safety",
        "-Werror=thread-safety",
        "-fsyntax-only",
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    found = [line.partition("error: ")[2] for line in done.stderr.splitlines() if "error: " in line]
    assert (done.returncode == 0) == (found == []), done.stderr
    return found


@pytest.mark.skipif(CLANG is None, reason="needs clang++-19, which ./dev lint installs")
def test_a_forgotten_lock_does_not_compile(tmp_path: Path) -> None:
    assert errors_of(tmp_path, LOCK, LOCK) == []
    (member,) = errors_of(tmp_path, "", LOCK)
    assert member.startswith("writing variable 'total_' requires holding mutex 'mutex_'")
    (call,) = errors_of(tmp_path, LOCK, "")
    assert call.startswith("calling function 'add_held' requires holding mutex 'mutex_'")
