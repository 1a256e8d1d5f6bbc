"""Relaxations: the sample is replaced by a smooth function of noisy logits at a temperature."""
