"""Progress on standard error: a bar on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from .output import stderr

Report: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of a stage, how many of its steps are done, and how many there are."""


@contextmanager
def progress() -> Iterator[Report]:
    """Show what is reported inside the block, and leave the finished stages on the screen."""
    console = stderr()
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        yield _bars(bars)


@contextmanager
def timed(title: str, seconds: float) -> Iterator[Callable[[str], None]]:
    """Show lines as they are reported, and on a terminal a bar of the time that has passed out of `seconds`."""
    console = stderr()
    if not console.is_terminal:
        console.print(f"{title} ...", markup=False)
        yield lambda line: console.print(f"  {line}", markup=False)
        return
    start = time.monotonic()
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as bars:
        task = bars.add_task(title, total=seconds)

        def report(line: str) -> None:
            bars.console.print(f"  {line}", markup=False)
            bars.update(task, completed=min(time.monotonic() - start, seconds))

        yield report
        bars.update(task, completed=seconds)


def _bars(bars: Progress) -> Report:
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)

    return report


def _lines(console: Console) -> Report:
    begun: set[str] = set()
    ended: set[str] = set()

    def report(stage: str, done: int, total: int) -> None:
        if stage not in begun:
            begun.add(stage)
            console.print(f"{stage} ...", markup=False)
        if done >= total and stage not in ended:
            ended.add(stage)
            console.print(f"{stage}: {done} of {total} done", markup=False)

    return report
