"""Rao-Blackwellised estimators: sums over states where sampling can be avoided, and sampling without replacement."""
