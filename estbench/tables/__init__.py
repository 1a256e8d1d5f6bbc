"""Results as tables for the terminal, and as text for other programs. Nothing is computed here."""

from estbench.tables.formats import encode, for_readers
from estbench.tables.listing import Listing, fitting, status
from estbench.tables.ranking import ranking
from estbench.tables.summary import digest, summary

__all__ = ["Listing", "digest", "encode", "fitting", "for_readers", "ranking", "status", "summary"]
