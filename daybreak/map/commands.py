"""`daybreak map ...`: a function tried, what ran and what it printed; PyWren's commands, with dashes or underscores."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from daybreak.base import errors, paths
from daybreak.base.terminal import Json, clean, clean_lines, console, json_out, table

from . import records
from .clouds import commands as _clouds

__all__ = ["app"]

_AWS = (  # PyWren's, of Amazon's cloud alone
    "get-aws-account-id create-role create-bucket create-instance-profile create-queue deploy-lambda delete-role delete-bucket "
    "delete-instance-profile delete-queue delete-lambda cleanup-all log-url standalone"
).split()


class _Either(TyperGroup):
    """`print_latest_logs` is `print-latest-logs`."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name.replace("_", "-"))


app = typer.Typer(
    cls=_Either,
    help="Maps: try a function, look at what ran and what it printed. Call sets of executors with logs=True, and PyWren's, stay.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
Which = Annotated[
    str | None, typer.Argument(metavar="[CALLSET]", help="Its id or the beginning of it; the newest without.")
]


def _record(which: str | None) -> dict[str, Any]:
    found = records.read_all()
    if not found:
        raise errors.NotFoundError(f"no call set is kept in {records.folder()}: executor(logs=True) keeps them")
    if which is None:
        return found[0]
    matching = [record for record in found if str(record["callset"]).startswith(which)]
    if len(matching) != 1:
        raise errors.NotFoundError(
            f"{which}: {len(matching)} call sets of {len(found)} begin so; `daybreak map list` lists them"
        )
    return matching[0]


@app.command("test-function")
def test_function() -> None:
    """Run one call in a worker and say what it gave."""
    from .executors import executor

    def hello(_: Any) -> str:
        return "Hello world"

    with executor() as made:
        print(f"function returned: {made.call_async(hello, None).result()}")


@app.command("list")
def list_callsets(as_json: Json = False) -> None:
    """Call sets that have ended, the newest first."""
    found = records.read_all()
    if as_json:
        json_out([{name: value for name, value in record.items() if name != "calls"} for record in found])
        return
    if not found:
        print(f"no call sets in {records.folder()}")
        return
    rows = [
        (
            str(record["callset"]),
            clean(record.get("function", "")),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.get("began", 0))),
            f"{record.get('ended', 0) - record.get('began', 0):.1f} s",
            f"{record.get('done', 0):,}",
            f"{record.get('failed', 0):,}",
        )
        for record in found
    ]
    table(rows, ("call set", "function", "began", "took", "done", "failed"), wrap=False, to=console())


@app.command("print-latest-logs")
def print_latest_logs(which: Which = None, as_json: Json = False) -> None:
    """What the calls of the newest call set, or of another, have printed."""
    record = _record(which)
    if as_json:
        json_out(record)
        return
    print(
        f"call set {record['callset']}: {clean(record.get('function', ''))}, {record['done']:,} done, {record['failed']:,} failed"
    )
    for call in record["calls"]:
        error = f": {clean(str(call['error']).splitlines()[0])}" if call.get("error") else ""
        print(f"call {call['index']} (pid {call.get('pid', '?')}, {call.get('exec_time', 0.0):.3f} s){error}")
        if call.get("stdout"):
            print("\n".join(f"  {line}" for line in clean_lines(call["stdout"]).splitlines()))


@app.command()
def timeline(
    which: Which = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A picture: a file that ends in .png, .svg, .pdf.")
    ] = None,
    width: Annotated[int, typer.Option(min=20, max=400)] = 72,
) -> None:
    """When the calls of the newest call set, or of another, ran."""
    from . import timelines
    from .summaries import Span

    record = _record(which)
    found = [
        Span(record["callset"], call["index"], call.get("pid", 0), record["began"], call["start_time"], call["end_time"],
             call.get("error") is not None)
        for call in record["calls"]
        if "start_time" in call and "end_time" in call
    ]  # fmt: skip
    if out is None:
        print(timelines.text(found, width))
    else:
        print(f"{timelines.plot(found, out)}: {len(found):,} calls", file=sys.stderr)


@app.command("create-config")
def create_config(
    file: Annotated[Path, typer.Argument(help="Where it goes.")] = Path("~/.pywren_config"),
    bucket: Annotated[
        str, typer.Option(help="Of programs that read and write objects by wrenconfig's name.")
    ] = "pywren.data",
    force: Annotated[bool, typer.Option("--force", help="Replace one that is there.")] = False,
) -> None:
    """Write a PyWren configuration."""
    import yaml

    from .pywren import wrenconfig

    place = Path(paths.given(file, "FILE"))
    if place.exists() and not force:
        raise errors.AlreadyExistsError(f"{place} is there already: --force replaces it")
    config = {name: dict(section) for name, section in wrenconfig._DEFAULTS.items()}
    config["s3"]["bucket"] = bucket
    paths.write(place, yaml.safe_dump(config, sort_keys=False).encode())
    print(f"{place}: a configuration of PyWren with the bucket {bucket}")


@app.command("test-config")
def test_config() -> None:
    """Read the PyWren configuration that an executor would."""
    from .pywren import wrenconfig

    config = wrenconfig.default()
    print(
        f"{wrenconfig.get_default_config_filename()}: bucket {config['s3']['bucket']}, prefix {config['s3']['pywren_prefix']}"
    )


def _refused(name: str) -> None:
    @app.command(name, hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def refuse() -> None:
        raise errors.UnimplementedError(
            f"{name} is of PyWren's own way into Amazon's cloud: executor(backend='lithops', config=...) goes to a cloud, and its "
            "`lithops` command sets that up"
        )


for _name in _AWS:
    _refused(_name)

_clouds.register(app)
