"""The run folder: `manifest.json` says what is run, `journal.jsonl` holds what is done.

Write one with `Store`, read one with `read`, find them with `find_runs`, join them with `merge`.
"""

from estbench.store.compatibility import compatible, config_hash
from estbench.store.files import write_atomically
from estbench.store.folder import Run, Store, figures_folder, find_runs, read, recorded_layouts, run_folder
from estbench.store.manifest import MANIFEST, DamagedManifestError, read_manifest
from estbench.store.memory import Memory
from estbench.store.merge import merge
from estbench.store.records import Item, decode, encode

__all__ = [
    "MANIFEST",
    "DamagedManifestError",
    "Item",
    "Memory",
    "Run",
    "Store",
    "compatible",
    "config_hash",
    "decode",
    "encode",
    "figures_folder",
    "find_runs",
    "merge",
    "read",
    "read_manifest",
    "recorded_layouts",
    "run_folder",
    "write_atomically",
]
