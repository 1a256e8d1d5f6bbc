"""The configs that come with estbench: `configs/` of a checkout, and a copy of it inside an installed package."""

from __future__ import annotations

from pathlib import Path as File

_PACKAGE = File(__file__).parent.parent


def shipped() -> dict[str, File]:
    """The config files by name, such as `bernoulli`."""
    for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        if (folder / "bernoulli.yaml").is_file():
            return {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    return {}


def find(file: File) -> File:
    """The file itself, or, where there is none and it is a bare name, the config of that name that is shipped."""
    if file.suffix or len(file.parts) != 1 or file.exists():
        return file
    return shipped().get(file.name, file)
