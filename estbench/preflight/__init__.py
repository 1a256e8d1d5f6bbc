"""Preflight: what is looked at before a long run: the objectives, what estimators claim, the time it will take."""
