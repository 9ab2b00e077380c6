"""Lithops' own tests (its wheel has them) with Daybreak as their compute back end, monitoring and storage.

Left out: the tests of its other back ends, of its command line and of classes that never meet a back end.
"""

from __future__ import annotations

import http.server
import os
import re
import tempfile
import threading
from typing import Any

from daybreak.map import lithops_backend

REQUIREMENTS = [
    "lithops==3.8.0",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.2",
]
PACKAGE = "lithops"
TESTS = [
    "-c",
    "/dev/null",
    "--rootdir=.",
    "-W",
    "ignore",
    "--timeout=120",
    "--backend=daybreak",
    "--storage=daybreak",
    "tests/test_call_async.py",
    "tests/test_map.py",
    "tests/test_map_reduce.py",
    "tests/test_retries.py",
    "tests/test_concurrent_futures.py",
    "tests/test_storage.py",
]
SAMPLE = 3  # all of it takes more than a minute
ENV = {"OMP_NUM_THREADS": "1"}

os.environ["HOME"] = tempfile.mkdtemp(prefix="daybreak-lithops-")  # no configuration of whoever runs this counts
lithops_backend.install()


# ----------------------------------------------------------------------------------------------------------------------
# Their tests of map_reduce count the words of five files of a public bucket. Five made-up ones are served from here.

_WORDS = {"vocab.enron.txt": 28102, "vocab.kos.txt": 6906, "vocab.nips.txt": 12419, "vocab.nytimes.txt": 90000}
_FILES = {
    name: "".join(f"{'abcdefghij'[i % 10] * (i % 13 + 1)}{i}\n" for i in range(count)).encode()
    for name, count in {**_WORDS, "vocab.pubmed.txt": 141043}.items()
}


class _Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        data = _FILES.get(self.path.strip("/"))
        if data is None:
            self.send_error(404)
            return
        first, last = 0, len(data) - 1
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2]), last)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        if body:
            self.wfile.write(data[first : last + 1])

    def log_message(self, *args: object) -> None:
        pass


_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
threading.Thread(target=_server.serve_forever, daemon=True).start()


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for module in {item.module for item in items}:
        if hasattr(module, "TEST_FILES_URLS"):
            module.TEST_FILES_URLS[:] = [f"http://127.0.0.1:{_server.server_port}/{name}" for name in _FILES]
