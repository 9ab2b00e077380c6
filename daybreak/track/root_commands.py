"""``daybreak track``: the keeping of a tracking root."""

from __future__ import annotations

import dataclasses
import datetime
import re
from typing import Annotated

import typer

from daybreak import track
from daybreak.base.terminal import Json, clean, json_out
from daybreak.track.commands import Root, use_root

__all__ = ["app"]

app = typer.Typer(help="Check, clean and measure a tracking root.", no_args_is_help=True)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MAX_SHOWN = 50


@app.callback()
def root_commands() -> None: ...


@app.command()
def verify(root: Root = None, as_json: Json = False) -> None:
    """Read everything and check it. Exit status 1 when something is damaged."""
    where = use_root(root)
    report = track.verify()
    if as_json:
        json_out(dataclasses.asdict(report))
    else:
        for notice in report.notices:
            print(f"note: {clean(notice)}")
        for damage in report.damage[:MAX_SHOWN]:
            print(f"DAMAGED: {clean(damage)}")
        if len(report.damage) > MAX_SHOWN:
            print(f"... and {len(report.damage) - MAX_SHOWN:,} more (--json has all)")
        print(
            f"{where}: {report.runs:,} runs, {report.files:,} files, {report.points:,} points; {report.objects:,} artifacts, "
            f"{report.bytes:,} bytes: {'all is well' if report.ok else f'{len(report.damage):,} places are damaged'}"
        )
    if not report.ok:
        raise typer.Exit(1)


def _duration(text: str) -> float | None:
    if text == "never":
        return None
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{clean(text)!r}: a number with s, m, h or d, such as 30d, or never")
    return float(found[1]) * _UNITS[found[2]]


@app.command()
def gc(
    purge_deleted_after: Annotated[
        str, typer.Option(help="Remove for good the runs that have been deleted for so long: 12h, 30d, never.")
    ] = "30d",
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Remove artifacts that no run holds, and runs that were deleted long ago."""
    after = _duration(purge_deleted_after)
    use_root(root)
    report = track.gc(purge_deleted_after=None if after is None else datetime.timedelta(seconds=after))
    if as_json:
        json_out(dataclasses.asdict(report))
        return
    for run in report.purged:
        print(f"purged run {run}")
    print(
        f"{report.objects_removed:,} artifacts removed, {report.objects_kept:,} kept; "
        f"packs {report.bytes_before:,} -> {report.bytes_after:,} bytes"
    )


@app.command()
def stats(root: Root = None, as_json: Json = False) -> None:
    """How much there is."""
    use_root(root)
    found = track.stats()
    if as_json:
        json_out(dataclasses.asdict(found))
        return
    states = ", ".join(f"{count:,} {status}" for status, count in sorted(found.by_status.items()))
    print(found.root)
    print(f"runs       {found.runs:,}" + (f" ({states})" if states else "") + f", {found.deleted:,} deleted")
    print(f"points     {found.points:,} in {found.log_bytes:,} bytes of logs and columns")
    print(
        f"artifacts  {found.artifacts:,} ({found.objects:,} different), {found.artifact_bytes:,} bytes "
        f"in {found.stored_bytes:,}"
    )
