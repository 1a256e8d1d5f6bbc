"""Isolation of user code: what a call of a plug-in does to the process is undone when the call ends.

Whatever imports, builds or calls a plug-in does so inside `Isolated`. Undone are changes of random numbers, standard
output, settings of Python, torch and numpy, the working directory and the environment, handlers of signals and of
logging, functions that it replaces, child processes. What it raises becomes an exception with a text; only a Ctrl-C of
the user goes on.
"""

from estbench.isolation.call import BEGINNING, Isolated, UserCodeError, at_boundary, exit_if_forked, reason
from estbench.isolation.generators import generator, next_numbers, seed, states_beside_torch
from estbench.isolation.output import stdout_to_stderr

__all__ = [
    "BEGINNING",
    "Isolated",
    "UserCodeError",
    "at_boundary",
    "exit_if_forked",
    "generator",
    "next_numbers",
    "reason",
    "seed",
    "states_beside_torch",
    "stdout_to_stderr",
]
