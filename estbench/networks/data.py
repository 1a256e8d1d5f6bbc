"""Images to train on: 8×8 digits that come with the package, or any array in a local file (idx, npz, npy).

`digits.csv.gz` is the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine
Learning Repository, 1998, doi 10.24432/C50P49), licence CC BY 4.0: 1 797 images of 8×8 pixels from 0 to 16, and labels.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from estbench.errors import UsageError

DIGITS = "digits"
_SHARE = 1297 / 1797  # of the images that are trained on, where a file does not say which
_IDX = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST = 2**31  # numbers in a file


@dataclass(frozen=True, eq=False)
class Images:
    """Images in [0, 1], [n, pixels], to train on and to validate with; labels [n] where they are known."""

    train: Tensor
    valid: Tensor
    train_labels: Tensor | None = None
    valid_labels: Tensor | None = None

    @property
    def pixels(self) -> int:
        """The number of pixels of an image."""
        return self.train.shape[1]

    def parts(self) -> tuple[tuple[str, Tensor, Tensor | None], ...]:
        """Both sets: `train` and `valid`, with their images and labels."""
        return ("train", self.train, self.train_labels), ("valid", self.valid, self.valid_labels)

    @property
    def binary(self) -> Images:
        """The same images, each pixel 1 where it is at least ½ and 0 elsewhere."""
        train, valid = ((t >= 0.5).to(t.dtype) for t in (self.train, self.valid))
        return Images(train, valid, self.train_labels, self.valid_labels)


def images(source: str = DIGITS) -> Images:
    """The images of a source, in float32: `digits`, or the path of a file or folder.

    A file holds images [n, …] of any shape: `.npy`, `.npz` (its array `x`, `x_train` or `train`, else its only one;
    `x_test` or `valid` beside it, and `y`, `y_train`, `y_test` as labels), or IDX (as MNIST has them, also `.gz`). A
    folder holds the four files of MNIST. Bytes are divided by 255 (by the largest if that is at most 16), other numbers
    above 1 by the largest. Where nothing is set apart for validation, it is the share of `digits`, by a permutation
    with a fixed seed. UsageError with what is wrong and what is expected. They are kept until a file of that source
    changes.
    """
    return _images(source, stamp(source))


Stamp = tuple[tuple[str, int, int], ...]


def stamp(source: str) -> Stamp:
    """(path, time of the last change, size) of the files of a source; () where there are none."""
    if source == DIGITS:  # whatever else is called so
        return ()
    path = Path(source)
    try:
        files = _files_of(path) if path.is_dir() else [path]
        return tuple((str(each), (found := each.stat()).st_mtime_ns, found.st_size) for each in files)
    except (OSError, ValueError):  # it is read next, with a message
        return ()


def fingerprint(source: str) -> str:
    """A hash of what is in the files of a source; of a folder with more than four, of their sizes; '' of no files."""
    return _fingerprint(stamp(source))


@lru_cache(maxsize=64)
def _fingerprint(now: Stamp) -> str:
    if not now:
        return ""
    found, few = sha256(), len(now) <= len(_PARTS)
    for path, _, size in now:
        found.update(f"{Path(path).name} {size} ".encode())
        if few:
            with Path(path).open("rb") as file:
                while block := file.read(2**20):
                    found.update(block)
    return found.hexdigest()[:16]


@lru_cache(maxsize=2)
def _images(source: str, now: Stamp) -> Images:
    del now
    if source == DIGITS:
        return _split(*_digits())
    path = Path(source)
    try:
        if path.is_dir():
            found = _mnist(path)
        elif path.suffix == ".npz":
            found = _npz(path)
        else:
            found = _split(_unit(_array(path)), None)
    except (OSError, ValueError, KeyError, struct.error, EOFError, zlib.error, BadZipFile) as error:
        raise UsageError(f"images {source}: cannot be read: {error}. {_EXPECTED}") from None
    if found.train.shape[1] != found.valid.shape[1]:
        raise UsageError(
            f"images {source}: those to train on have {found.train.shape[1]} pixels, those to validate with "
            f"{found.valid.shape[1]}; they must have as many"
        )
    return found


_EXPECTED = "Expected: digits, a .npy or .npz array [n, …], an IDX file, or a folder with the four files of MNIST"


def _digits() -> tuple[Tensor, Tensor]:
    packed = resources.files("estbench.networks").joinpath("digits.csv.gz").read_bytes()
    rows = csv.reader(io.StringIO(gzip.decompress(packed).decode()))
    table = torch.tensor([[float(value) for value in row] for row in rows])
    return table[:, :64] / 16, table[:, 64].long()


def _split(x: Tensor, labels: Tensor | None) -> Images:
    """Cut into training and validation data, after a permutation that is always the same."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(x)))
    cut = round(len(x) * _SHARE)
    if not 0 < cut < len(x):
        raise ValueError(f"{len(x)} images are too few to train on some and to validate with others")
    train, valid = order[:cut], order[cut:]
    if labels is None:
        return Images(x[train], x[valid])
    return Images(x[train], x[valid], labels[train], labels[valid])


def _unit(array: NDArray[np.generic]) -> Tensor:
    """Images as float32 [n, pixels] in [0, 1]."""
    if array.ndim < 2 or array.dtype.kind not in "buif" or array.size == 0:
        raise ValueError(f"an array of shape {list(array.shape)} and type {array.dtype} is no set of images")
    flat = array.reshape(len(array), -1).astype(np.float64)
    if not (np.isfinite(flat).all() and (flat >= 0).all()):
        raise ValueError("pixels are finite and at least 0")
    top = flat.max(initial=0.0)
    if top > 1:
        flat /= max(255.0, top) if array.dtype == np.uint8 and top > 16 else top
    return torch.from_numpy(flat.astype(np.float32))


def _labels(array: NDArray[np.generic], images: NDArray[np.generic]) -> Tensor:
    """Labels as int64 [n]: a whole number of at least 0 for each image."""
    n = len(images)
    if array.shape != (n,) or array.dtype.kind not in "buif" or not ((array >= 0) & (array % 1 == 0)).all():  # type: ignore[operator] # numbers, of a kind that was asked for
        raise ValueError(
            f"labels are whole numbers of at least 0, one for each of {n} images; an array of shape "
            f"{list(array.shape)} and type {array.dtype} is not that"
        )
    return torch.from_numpy(array.astype(np.int64))


def _npz(path: Path) -> Images:
    with (
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as found,
    ):  # numpy leaves its own open
        names = list(found)
        first = next(
            (name for name in ("x_train", "train", "x") if name in names), names[0] if len(names) == 1 else None
        )
        if first is None:
            raise ValueError(f"no array x_train, train or x in it; it has {', '.join(names) or 'none'}")
        rest = next((name for name in ("x_test", "valid") if name in names), None)

        def labels(images: str, *options: str) -> Tensor | None:
            name = next((name for name in options if name in names), None)
            return None if name is None else _labels(found[name], found[images])

        y = labels(first, "y_train", "y")
        if rest is None:
            return _split(_unit(found[first]), y)
        return Images(_unit(found[first]), _unit(found[rest]), y, labels(rest, "y_test"))


def _mnist(folder: Path) -> Images:
    x, y, v, w = map(_array, _files_of_mnist(folder))
    return Images(_unit(x), _unit(v), _labels(y, x), _labels(w, v))


_PARTS = [f"{part}-{what}" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
"""Images and labels to train on, and to validate with."""


def _files_of_mnist(folder: Path) -> list[Path]:
    """A file for each part; ValueError where one is not there."""
    found = []
    for part in _PARTS:
        names = [f"{part}-ubyte", f"{part.replace('-idx', '.idx')}-ubyte"]
        at = [folder / (name + end) for name in names for end in ("", ".gz")]
        path = next((each for each in at if each.is_file()), None)
        if path is None:
            raise ValueError(f"no file {names[0]} or {names[0]}.gz in it")
        found.append(path)
    return found


def _files_of(folder: Path) -> list[Path]:
    """Those of MNIST; of another folder, which a network of the user's may read, all files."""
    try:
        return _files_of_mnist(folder)
    except ValueError:
        return sorted(each for each in folder.iterdir() if each.is_file())


def _array(path: Path) -> NDArray[np.generic]:
    """The array in a .npy file, or in an IDX file, gzipped or not."""
    if path.suffix == ".npy":
        found: NDArray[np.generic] = np.load(path, allow_pickle=False)
        return found
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    zeros, kind, axes = struct.unpack_from(">HBB", data)
    if zeros != 0 or kind not in _IDX:
        raise ValueError("neither .npy nor IDX")
    shape = struct.unpack_from(f">{axes}I", data, 4)
    if (n := math.prod(shape)) > _MOST:
        raise ValueError(f"{n} numbers are more than {_MOST}")
    start, size = 4 + 4 * axes, np.dtype(_IDX[kind]).itemsize
    if len(data) - start != n * size:
        raise ValueError(f"an IDX file of shape {list(shape)} has {start + n * size} bytes, this has {len(data)}")
    return np.frombuffer(data, _IDX[kind], n, start).reshape(shape)
