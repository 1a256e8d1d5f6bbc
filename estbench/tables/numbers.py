"""Numbers as a reader wants them: as many digits as the interval supports, – for unknown, decimal points in line."""

from __future__ import annotations

import math
from collections.abc import Sequence

UNKNOWN = "–"


def number(value: float, digits: int = 3) -> str:
    """A value without an interval, to a number of significant digits; – if NaN."""
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return "0" if value == 0 else _written(value, digits - 1 - _exponent(value, digits), abs(value))


def reach(value: float, low: float, high: float) -> float:
    """The ± of a value: its distance to the farther end of its interval; NaN if an end is unknown or infinite.

    0 if it is below 1e-12 of the value: that is rounding.
    """
    far = max(high - value, value - low)
    if not math.isfinite(far):
        return math.nan
    return far if far > 1e-12 * abs(value) else 0.0


def measured(value: float, low: float, high: float) -> tuple[str, str]:
    """(value, ±) rounded alike: the ± to two digits if it leads with 1 or 2, else to one. No ± for a point."""
    half = reach(value, low, high)
    if math.isnan(half):
        return number(value), "" if math.isnan(value) else UNKNOWN
    if half == 0:
        return number(value, 4), ""
    places, top = _places(half), max(abs(value), half)
    return _written(value, places, top), _written(half, places, top)


def concise(value: float, low: float, high: float) -> str:
    """value(±), the ± in units of the last digit: 0.0159(4) is 0.0159 ± 0.0004. Two digits only if it leads with 1."""
    half = reach(value, low, high)
    if math.isnan(half) or half == 0:
        return measured(value, low, high)[0] + (f"({UNKNOWN})" if half != 0 and not math.isnan(value) else "")
    places, top = _places(half, 2), max(abs(value), half)
    units = round(half * 10.0**places)
    if _fixed(top) and places >= 0:
        return f"{_written(value, places, top)}({units})"
    exponent = _exponent(round(top, places), 6)
    return f"{_signed(value / 10.0**exponent, places + exponent)}({units})e{exponent}"


def between(low: float, high: float) -> str:
    """An interval as [low, high], both ends rounded as a ± of its width would be; "" if an end is unknown."""
    if math.isnan(low) or math.isnan(high):
        return ""
    if math.isinf(high - low) or low == high:
        return f"[{number(low)}, {number(high)}]"
    places, top = _places(high - low), max(abs(low), abs(high))
    return f"[{_written(low, places, top)}, {_written(high, places, top)}]"


def percent(value: float, low: float, high: float) -> str:
    """A share as a percentage; < its upper end where the interval reaches 0."""
    if math.isfinite(value) and low <= 0 < high:
        return f"<{number(100 * high, 2)}%"
    return f"{number(100 * value, 2)}%" if math.isfinite(value) else UNKNOWN


def as_given(value: float) -> str:
    """A number that was chosen or counted, as short as it can be written; – if NaN."""
    return UNKNOWN if math.isnan(value) else f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def seconds(value: float) -> str:
    """A time in the unit that suits it, to two digits; – if NaN."""
    if math.isnan(value):
        return UNKNOWN
    unit, size = next(((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)) if value >= s), ("ns", 1e-9))
    return f"{number(value / size, 2)} {unit}"


def aligned(cells: Sequence[str]) -> list[str]:
    """The cells padded to one width, decimal points (or the ends of whole numbers) in one column."""
    split = [_point(cell) for cell in cells]
    before = max((len(head) for head, _ in split), default=0)
    after = max((len(tail) for _, tail in split), default=0)
    return [head.rjust(before) + tail.ljust(after) for head, tail in split]


def _point(cell: str) -> tuple[str, str]:
    at = next((i for i, c in enumerate(cell) if c in ".(e%"), len(cell))
    return cell[:at], cell[at:]


def _exponent(value: float, digits: int) -> int:
    """Of the leading digit, after rounding to so many digits: 0.0996 has -2 to three digits, -1 to two."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _places(half: float, below: int = 3) -> int:
    """Decimal places that leave a ± with two digits if it leads with less than `below`, else with one."""
    leading = float(f"{half:.1e}".partition("e")[0])
    return (1 if leading < below else 0) - _exponent(half, 2)


def _fixed(top: float) -> bool:
    """Whether numbers of this size are written without an exponent."""
    return 1e-3 <= top < 1e5


def _written(value: float, places: int, top: float) -> str:
    """Rounded to decimal places, in the notation that suits numbers up to `top`."""
    value = round(value, places)
    if _fixed(top):
        return _signed(value, places)
    if value == 0:
        return "0"
    exponent = _exponent(value, 6)
    return f"{_signed(value / 10.0**exponent, places + exponent)}e{exponent}"


def _signed(value: float, places: int) -> str:
    """Fixed notation; -0.00 is written 0.00."""
    written = f"{value:.{max(0, places)}f}"
    return written.lstrip("-") if float(written) == 0 else written
