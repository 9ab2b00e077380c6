# What the generator of stubs cannot see in methods that are made with the C API (tools/stubs.py reads this).

^daybreak\._core\.track\.__prefix__$:
    \from collections.abc import Mapping
    \from typing import Any, overload

^daybreak\._core\.track\.RunLog\.log$:
    @overload
    def log(self, metrics: Mapping[str, Any], step: int | None = None, /) -> None: ...
    @overload
    def log(self, metrics: Mapping[str, Any], *, step: int | None = None) -> None: ...
    @overload
    def log(self, name: str, value: Any, step: int | None = None) -> None:
        """Records values of one moment."""

