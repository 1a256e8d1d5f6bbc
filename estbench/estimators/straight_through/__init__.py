"""Straight-through estimators: the backward pass pretends that sampling was a smooth function."""
