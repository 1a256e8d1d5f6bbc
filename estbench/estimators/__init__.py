"""Gradient estimators: one package per family, one file per method, each a pure function of a draw."""
