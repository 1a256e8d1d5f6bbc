"""What holds for every test, wherever the suite is started from."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Iterator

import pytest
import typer.main
from hypothesis import settings

# One thread for each process: the suite has a worker on each core, and all that they start inherits this.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from tests.cli.forked import Forks, forking
from tests.sizes import SMALL, parted

# How long an example takes says how busy the machine is. Half of as many as usual: each run tries others.
settings.register_profile("any machine", deadline=None, max_examples=50)
settings.load_profile("any machine")

# The command line is put together once in a process, not for each of the hundreds of commands that tests give.
vars(typer.main)["get_command"] = functools.cache(typer.main.get_command)

if torch := sys.modules.get("torch"):  # it has been imported before, by a plug-in of pytest
    torch.set_num_threads(1)

# A script that starts the suite with `&` leaves SIGINT ignored, and a process passes that on to those it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """At the small size, of the slow cases of each test some are run, at equal distances."""
    if SMALL:
        kept, left = parted(items)
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_collection_finish() -> None:
    """What has been imported and collected stays: the garbage collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _server() -> None:
    """The server that worker processes are forked from has imported more than a run asks for, and begins at once."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # a whole suite
        from estbench.processes import prepare

        prepare("tests.preloaded")


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Commands in processes of their own."""
    with forking() as found:
        yield found
