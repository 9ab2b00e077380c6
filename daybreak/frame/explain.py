"""What ran natively, what pandas did and why: counts, rows and time, by operation."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Explanation", "explain", "note", "reset"]


@dataclass
class _Line:
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass
class Explanation:
    """``native[operation]`` and ``inherited[operation, why]`` have `calls`, `rows` and `seconds`; it prints as a table."""

    native: dict[str, _Line] = field(default_factory=dict)
    inherited: dict[tuple[str, str], _Line] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{'operation':16} {'calls':>8} {'rows':>13} {'seconds':>9}"]
        for name, line in sorted(self.native.items()):
            lines.append(f"{name:16} {line.calls:8,} {line.rows:13,} {line.seconds:9.3f}  native")
        for (name, why), line in sorted(self.inherited.items()):
            lines.append(f"{name:16} {line.calls:8,} {line.rows:13,} {'':9}  pandas: {why}")
        return "\n".join(lines) if len(lines) > 1 else "nothing of it ran yet"


_kept = Explanation()


def note(operation: str, rows: int, seconds: float = 0.0, why: str = "") -> None:
    """``why``: pandas did it, because of this."""
    line = _kept.inherited.setdefault((operation, why), _Line()) if why else _kept.native.setdefault(operation, _Line())
    line.calls += 1
    line.rows += rows
    line.seconds += seconds


def explain() -> Explanation:
    """What ran since the program began, or since `reset()`.

    >>> from daybreak import frame as pd
    >>> pd.reset()
    >>> print(pd.explain())
    nothing of it ran yet
    """
    return _kept


def reset() -> None:
    """Forgets what has been counted."""
    _kept.native.clear()
    _kept.inherited.clear()
