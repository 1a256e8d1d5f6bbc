"""How a run shows what it does: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from estbench.cli.console import err
from estbench.printable import escaped

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from estbench.engine.run import Failure, Progress
    from estbench.plan import Plan

LINE_EVERY = 5.0  # seconds


@contextmanager
def display(plan: Plan, quiet: bool) -> Iterator[Callable[[Progress | Failure], None]]:
    """A function that shows an event. `quiet` shows failures only; each estimator's reasons are shown once."""
    from rich import progress

    from estbench.engine.run import Failure

    console = err()
    alive = console.is_terminal and not console.is_dumb_terminal
    started = begun = last = time.monotonic()  # begun: when the first task was done, the workers having started
    replicates = 0
    told: set[tuple[str, str]] = set()
    bar = progress.Progress(
        progress.TextColumn(escaped(plan.config.name), markup=False),
        progress.BarColumn(),
        progress.TextColumn("{task.completed}/{task.total} tasks"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
        console=console,
        disable=quiet or not alive,
        transient=True,
    )
    row = bar.add_task("", total=None, rate="")

    def show(event: Progress | Failure) -> None:
        nonlocal begun, last, replicates
        if isinstance(event, Failure):
            line = event.cell.estimator.label, event.reason
            if line not in told:
                told.add(line)
                console.print(escaped(f"failed: {line[0]}: {line[1]}"), markup=False)
            return
        replicates += event.replicates
        now = time.monotonic()
        begun = now if event.done <= 1 else begun
        rate = f"{replicates / max(now - started, 1e-9):,.0f} replicates/s" if replicates else ""
        bar.update(row, completed=event.done, total=event.total, rate=rate)
        if bar.disable and not quiet and now - last > LINE_EVERY:
            left = (now - begun) / (event.done - 1) * (event.total - event.done) if event.done > 1 else None
            words = [f"{event.done}/{event.total} tasks", rate, "" if left is None else f"about {left:.0f} s left"]
            console.print(", ".join(filter(None, words)))
            last = now

    if not quiet:
        console.print(f"{escaped(plan.config.name)}: {_count(plan.cells, 'cell')}, {_count(plan.problems, 'problem')}")
    with _drawn(bar):
        yield show


@contextmanager
def figures_drawn() -> Iterator[Callable[[int, int], None]]:
    """A function that shows how many figures are done, of how many: a bar, or a line now and then."""
    from rich import progress

    console = err()
    alive = console.is_terminal and not console.is_dumb_terminal
    columns = [progress.BarColumn(), progress.TextColumn("{task.completed}/{task.total} figures")]
    bar = progress.Progress(
        *columns, progress.TimeRemainingColumn(), console=console, disable=not alive, transient=True
    )
    row, last = bar.add_task("", total=None), time.monotonic()

    def show(done: int, whole: int) -> None:
        nonlocal last
        bar.update(row, completed=done, total=whole)
        if bar.disable and time.monotonic() - last > LINE_EVERY:
            console.print(f"{done:,}/{whole:,} figures")
            last = time.monotonic()

    with _drawn(bar):
        yield show


def _drawn(bar: Bar) -> AbstractContextManager[object]:
    """The bar while it is drawn; one that is disabled is left alone, as older versions of rich end it with a line."""
    return nullcontext() if bar.disable else bar


def _count(things: Sized, name: str) -> str:
    return f"{len(things):,} {name}{'' if len(things) == 1 else 's'}"
