"""The application: which commands there are, and the entry point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from . import (
    bench,
    calibrate,
    check,
    demo,
    devices,
    diff,
    emit,
    explain,
    export,
    list_models,
    methods,
    overlay,
    plan,
    report,
    run,
    trace,
    validate,
)
from .outcome import exit_code
from .output import say

app = typer.Typer(
    name="foveate",
    help="Plan where along a multimodal model's token flow to drop, merge or pool tokens to meet a latency budget.",
    epilog="Start with: foveate demo",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line on `argv` (default: the process's own) and return the exit code of docs/formats.md.

    >>> main(["validate", "no-such-plan.yaml"])
    2
    """
    return exit_code(lambda: app(args=argv, prog_name="foveate", standalone_mode=False))


def _show_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        say(f"foveate {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())


_COMMANDS = (
    (demo.demo, demo.EXAMPLE),
    (trace.trace, trace.EXAMPLE),
    (plan.plan, plan.EXAMPLE),
    (explain.explain, explain.EXAMPLE),
    (diff.diff, diff.EXAMPLE),
    (emit.emit, emit.EXAMPLE),
    (run.run, run.EXAMPLE),
    (overlay.overlay, overlay.EXAMPLE),
    (report.report, report.EXAMPLE),
    (export.export, export.EXAMPLE),
    (bench.bench, bench.EXAMPLE),
    (check.check, check.EXAMPLE),
    (validate.validate, validate.EXAMPLE),
    (methods.methods, methods.EXAMPLE),
    (list_models.models, list_models.EXAMPLE),
    (devices.devices, devices.EXAMPLE),
    (calibrate.calibrate, calibrate.EXAMPLE),
)
for _function, _example in _COMMANDS:
    app.command(epilog=f"Example: {_example}")(_function)
