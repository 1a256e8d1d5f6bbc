"""A picture as a PNG file (W3C Recommendation, 2003), without filters: on white pages lines are as small without."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def png(colours: NDArray[np.uint8], dpi: float) -> bytes:
    """The file of an opaque picture [height, width, 3], with so many dots per inch."""
    height, width, _ = colours.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter: 0, none
    for channel in range(3):  # a third faster than all at once
        rows[:, 1 + channel :: 3] = colours[..., channel]
    metre = round(dpi / 0.0254)
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),  # 8 bits of red, green and blue
        (b"pHYs", struct.pack(">2IB", metre, metre, 1)),
        (b"IDAT", zlib.compress(rows.data, 3)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
