"""Errors that a user can cause or has to deal with; any other exception is a bug and keeps its traceback."""

from __future__ import annotations


class EstbenchError(Exception):
    """An error with a message for the user: where, what was given, what is allowed, what to do."""

    exit_code = 1


class UsageError(EstbenchError):
    """Wrong usage or a wrong config: nothing ran (exit code 2)."""

    exit_code = 2


class ResultsError(EstbenchError):
    """A results folder that is missing, damaged or not one (exit code 2); nothing on disk was changed."""

    exit_code = 2


class FullError(ResultsError):
    """The disk, or the user's share of it, is full (exit code 5); what was saved before is there."""

    exit_code = 5
