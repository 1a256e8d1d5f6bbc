"""Exact moments of gradient estimates, without sampling: by enumeration of states or by quadrature over noise."""

from estbench.exact.routes import MAX_TUPLES, Exact, Unavailable, enumerable, exact, why_not

__all__ = ["MAX_TUPLES", "Exact", "Unavailable", "enumerable", "exact", "why_not"]
