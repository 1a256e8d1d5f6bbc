"""Checks before a long run: the objectives, the claims of estimators, and the time that the run will take."""
