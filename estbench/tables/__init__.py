"""Results as tables for the terminal, and as text for other programs. Nothing is computed here."""

from estbench.tables.listing import Listing, fitting, status
from estbench.tables.ranking import ranking
from estbench.tables.render import render
from estbench.tables.summary import digest, summary

__all__ = ["Listing", "digest", "fitting", "ranking", "render", "status", "summary"]
