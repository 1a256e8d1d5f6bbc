"""The run folder: `manifest.json` says what is run, `journal.jsonl` holds what is done, and neither is ever lost.

Write one with `Store`, read one with `read`, find them with `find_runs`, join them with `merge`.
"""

from estbench.store.files import write_atomically
from estbench.store.folder import Run, Store, find_runs, read, run_folder
from estbench.store.growth import compatible, config_hash
from estbench.store.manifest import MANIFEST, read_manifest
from estbench.store.merge import merge
from estbench.store.records import Item, decode, encode

__all__ = [
    "MANIFEST",
    "Item",
    "Run",
    "Store",
    "compatible",
    "config_hash",
    "decode",
    "encode",
    "find_runs",
    "merge",
    "read",
    "read_manifest",
    "run_folder",
    "write_atomically",
]
