"""Straight-through estimators: the backward pass treats sampling as a smooth function."""
