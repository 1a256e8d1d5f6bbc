"""Imports without searches for cyclic garbage."""

from __future__ import annotations

import gc

import pytest

from estbench.imports import quick_imports


def test_the_collector_is_off_for_imports_and_on_again_afterwards() -> None:
    """Also where an import fails."""
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    """A block of imports within another does not end it."""
    with quick_imports():
        with quick_imports():
            pass
        assert not gc.isenabled()


def test_what_was_imported_is_never_searched_again() -> None:
    """All that there is by the end of the block is taken for permanent."""
    before = gc.get_freeze_count()
    try:
        with quick_imports():
            kept = [[] for _ in range(1000)]  # type: ignore[var-annotated]
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()
