"""Images to train on: the digits, and arrays of the user's in each format."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from estbench.errors import UsageError
from estbench.networks.base import Kind
from estbench.networks.data import fingerprint, images
from estbench.networks.gates import Gates


def idx(array: np.ndarray) -> bytes:
    """An IDX file of bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def test_the_digits() -> None:
    """1 797 images of 64 pixels in [0, 1] with labels, always cut the same way; binary images are 0 and 1."""
    found = images()
    assert (len(found.train), len(found.valid), found.pixels) == (1297, 500, 64)
    assert float(found.train.min()) == 0
    assert float(found.train.max()) == 1
    assert found.train_labels is not None
    assert found.valid_labels is not None
    assert np.bincount(np.concatenate((found.train_labels, found.valid_labels))).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip
    assert set(found.binary.train.flatten().tolist()) == {0.0, 1.0}


def test_arrays_of_the_user(tmp_path: Path) -> None:
    """npy, npz, IDX and the four files of MNIST give the same images; integers are scaled to [0, 1]."""
    raw = np.random.default_rng(0).integers(0, 256, (20, 4, 3))
    np.save(tmp_path / "a.npy", raw.astype(np.uint8))
    np.savez(tmp_path / "a.npz", x=raw.astype(np.uint8), y=np.arange(20))
    (tmp_path / "a.idx").write_bytes(idx(raw))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(raw)))
    found = [images(str(tmp_path / name)) for name in ("a.npy", "a.npz", "a.idx", "a.gz")]
    for each in found:
        assert each.train.equal(found[0].train)
        assert each.pixels == 12
        assert (len(each.train), len(each.valid)) == (14, 6)
    assert found[1].train_labels is not None
    at = int(found[1].train_labels[0])
    assert np.allclose(found[1].train[0], raw[at].ravel() / 255, atol=1e-7)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, n in (("train", 20), ("t10k", 5)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(raw[:n]))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(n) % 10)))
    mnist = images(str(folder))
    assert (len(mnist.train), len(mnist.valid), mnist.pixels) == (20, 5, 12)
    assert mnist.valid_labels is not None
    assert mnist.valid_labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.npy", None, "No such file"),
        ("a.idx", b"\0\0\x08\x02\0\0\0\x05\0\0\0\x05" + b"x" * 3, r"of shape \[5, 5\] has 37 bytes, this has 15"),
        ("long.idx", b"\0\0\x08\x02\0\0\0\x02\0\0\0\x02" + b"x" * 5, r"has 16 bytes, this has 17"),
        ("a.npz", b"PK\3\4 and no more", "zip"),
        ("a.gz", gzip.compress(b"x" * 99, mtime=0)[:10] + b"\xff" * 50, "invalid"),
        ("a.idx2", b"hello, world", "neither .npy nor IDX"),
        ("a.npy", b"\x93NUMPY", "EOF|read"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    """One message says which file, what is wrong and what is expected."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        images(str(tmp_path / name))
    assert "Expected: digits" in str(caught.value)


def test_pixels_are_numbers_of_at_least_0(tmp_path: Path) -> None:
    """Text, negative numbers, NaN and one-dimensional arrays are refused; nothing is unpickled."""
    bad: list[np.ndarray] = [np.full((9, 4), -1.0), np.full((9, 4), np.nan), np.arange(9.0), np.array([["a"] * 4] * 9)]
    bad.append(np.array([{}] * 4, dtype=object))
    for i, array in enumerate(bad):
        np.save(tmp_path / f"{i}.npy", array, allow_pickle=True)
        with pytest.raises(UsageError, match="cannot be read"):
            images(str(tmp_path / f"{i}.npy"))


def test_labels_are_whole_numbers_one_for_each_image(tmp_path: Path) -> None:
    """Too few, fractions, negative ones, NaN and texts are refused, and so are images of two sizes."""
    x = np.ones((9, 4))
    for y in (np.arange(8), np.arange(9) + 0.5, np.arange(9) - 1, np.full(9, np.nan), np.array(["a"] * 9)):
        np.savez(tmp_path / "y.npz", x=x, y=y)
        with pytest.raises(UsageError, match="labels are whole numbers of at least 0, one for each of 9 images"):
            images(str(tmp_path / "y.npz"))
    np.savez(tmp_path / "x.npz", x_train=x, x_test=x[:, :3])
    with pytest.raises(UsageError, match="have 4 pixels, those to validate with 3; they must have as many"):
        images(str(tmp_path / "x.npz"))
    np.save(tmp_path / "none.npy", x[:0])
    with pytest.raises(UsageError, match=r"an array of shape \[0, 4\]"):
        images(str(tmp_path / "none.npy"))


def test_a_classifier_knows_all_labels(tmp_path: Path) -> None:
    """Also those of validation alone; labels that are no classes are refused."""
    x, y = np.ones((9, 4)), np.arange(9) % 3
    np.savez(tmp_path / "a.npz", x_train=x, x_test=x, y_train=y, y_test=y + 2)
    found = Gates().images(str(tmp_path / "a.npz"))
    network = Gates().build(found, Kind("bernoulli", 2), [torch.Generator()])
    assert dict(network.named_parameters())["decoder.output.bias"].shape[-1] == 5
    np.savez(tmp_path / "b.npz", x=x, y=y * 10**9)
    with pytest.raises(UsageError, match="make 2000000001 classes; there can be 10000"):
        Gates().images(str(tmp_path / "b.npz"))


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    """Another array under the same path, also in a folder of MNIST; an unchanged one is kept."""
    raw = np.random.default_rng(0).integers(0, 256, (20, 4, 3))
    np.save(tmp_path / "a.npy", raw[:10].astype(np.uint8))
    first = images(str(tmp_path / "a.npy"))
    assert images(str(tmp_path / "a.npy")) is first
    np.save(tmp_path / "a.npy", raw.astype(np.uint8))
    assert len(images(str(tmp_path / "a.npy")).train) == 14
    for n in (20, 12):
        for part in ("train", "t10k"):
            (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(raw[:n]))
            (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(n) % 10))
        assert len(images(str(tmp_path)).train) == n


def test_a_fingerprint_is_that_of_what_is_in_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes with a byte, and not with a path or a time; what comes with the package has none."""
    found: list[list[str]] = []
    for folder, content in (("a", b"12"), ("b", b"12"), ("b", b"13")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "x.npy").write_bytes(content)
        os.utime(tmp_path / folder / "x.npy", ns=(len(found), len(found)))
        found.append([fingerprint(str(tmp_path / folder / end)) for end in ("x.npy", "")])
    assert found[0] == found[1] != found[2]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").write_bytes(b"no")
    assert fingerprint("digits") == fingerprint("nothing") == ""
