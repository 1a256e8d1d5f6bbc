"""The command line. Each command parses, calls one function and prints; torch is imported only when it is needed."""

from estbench.cli.app import main

__all__ = ["main"]
