"""The room's names are there when they are touched, for people and for type checkers alike."""

from __future__ import annotations

import ast
from pathlib import Path

from daybreak import tune


def test_what_type_checkers_see_is_what_is_there() -> None:
    tree = ast.parse(Path(tune.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: f"{node.module}" if node.module else alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    native = {"Distribution", "PrunerFactory", "SamplerFactory", "Storage", "Trial"}
    assert set(tune.__all__) == set(seen) | native
    for name in tune.__all__:
        assert getattr(tune, name) is not None
    lazy = tune._WHERE  # type: ignore[attr-defined]
    assert lazy == {name: module for name, module in seen.items() if name != module}
