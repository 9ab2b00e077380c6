"""The end of a server: what goes with it."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path

from daybreak import serve

Start = Callable[..., serve.Server]


def test_a_temporary_state_goes_with_the_server(start: Start) -> None:
    server = start()
    assert os.path.exists(server.state_dir)
    server.stop()
    assert not os.path.exists(server.state_dir)
    server.stop()


def test_a_stopped_server_goes_with_its_last_handle_without_the_collector(tmp_path: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        for i in range(3):
            made = serve.start(tmp_path / str(i))
            made.deploy("m", lambda xs: [float(x.sum()) for x in xs], default="-1")
            made.stop()
            last = weakref.ref(made)
            del made
            assert last() is None, [type(holder) for holder in gc.get_referrers(last())]
    finally:
        gc.enable()
