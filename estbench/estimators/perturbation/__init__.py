"""Perturbation: samples of the same noise at moved logits."""
