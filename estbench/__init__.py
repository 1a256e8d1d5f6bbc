"""Bias, variance and cosine similarity of gradient estimators for discrete variables, against exact gradients."""

__version__ = "0.1.0"
