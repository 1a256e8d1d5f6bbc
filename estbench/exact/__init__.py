"""Exact moments of gradient estimates, without sampling: by enumeration of states or by quadrature over noise."""

from estbench.exact.enumeration import MAX_MULTISETS, size
from estbench.exact.result import Exact, Unavailable
from estbench.exact.routes import enumerable, exact, why_not

__all__ = ["MAX_MULTISETS", "Exact", "Unavailable", "enumerable", "exact", "size", "why_not"]
