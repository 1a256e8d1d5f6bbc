"""Tables are read at the width they are shown: numbers, columns, names that mean harm, and other formats."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from estbench.outputs import TableFormat
from estbench.printable import plain
from estbench.tables import numbers as write
from estbench.tables.adaptive import Column, broken, fit
from estbench.tables.formats import encode
from estbench.tables.listing import Listing
from estbench.tables.progress import status
from estbench.tables.ranking import ranking as ranking_at
from estbench.tables.summary import digest as digest_at
from estbench.tables.summary import summary as summary_at
from estbench.views import at_middle_temperature, at_smallest_samples, best_known, ends, names, readable
from tests.frames import ESTIMATORS, NAN, frame, measured, results, row
from tests.sizes import thinned

summary = partial(summary_at, level=0.95)
digest = partial(digest_at, level=0.95)
ranking = partial(ranking_at, level=0.95)

NASTY = "[bold red]x[/bold red] \x1b[31mred\x07\u202egnp\r\n[/]"


def shown(table: RenderableType, width: int, **options: object) -> str:
    """What a console of this width prints."""
    console = Console(file=io.StringIO(), width=width, legacy_windows=False, **options)  # type: ignore[arg-type] # keywords
    console.print(table)
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def text_of(data: pd.DataFrame, form: TableFormat) -> str:
    """A frame in one of the formats of text."""
    return encode(data, form).decode()


def rows_of(data: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a frame, as `findings` have them."""
    return [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]


def words(text: str) -> str:
    """The text with all white space as single spaces."""
    return " ".join(text.split())


# --- numbers


@pytest.mark.parametrize(
    ("ends", "long", "short"),
    [
        ((0.01594, 0.0155, 0.0164), "0.0159 ± 0.0005", "0.0159(5)"),
        ((-2e-7, 0, 1e-6), "-2e-7 ± 1.2e-6", "-0.2(12)e-6"),
        ((0.0996, 0.09, 0.11), "0.100 ± 0.010", "0.100(10)"),
        ((0.8123, 0.7898, 0.8348), "0.812 ± 0.023", "0.81(2)"),
        ((0.8123, 0.7773, 0.8473), "0.81 ± 0.04", "0.81(4)"),
        ((12345, 12000, 13000), "12300 ± 700", "1.23(7)e4"),
        ((9.9999e-4, 9.9e-4, 1.01e-3), "1.000e-3 ± 1.0e-5", "1.000(10)e-3"),
        ((-1e-9, -0.04, 0.04), "0.00 ± 0.04", "0.00(4)"),
        ((2.0833e-4, 2.0833e-4, 2.0833e-4), "2.083e-4 ± ", "2.083e-4"),
        ((0.0, 0.0, 0.0), "0 ± ", "0"),
        ((0.0159, NAN, NAN), "0.0159 ± –", "0.0159(–)"),
        ((NAN, NAN, NAN), "– ± ", "–"),
    ],
)
def test_digits_follow_the_interval(ends: tuple[float, float, float], long: str, short: str) -> None:
    """A value has the digits that its interval supports; exact values have no ±, unknown ones are –, never 0."""
    assert " ± ".join(write.measured(*ends)) == long
    assert write.concise(*ends) == short


@given(
    st.floats(-1e9, 1e9).filter(lambda v: v == 0 or abs(v) > 1e-30),
    st.floats(1e-30, 1e9),
    st.floats(0, 1),
)
def test_written_numbers_are_the_numbers(value: float, half: float, share: float) -> None:
    """What is written, long or short, is the value and the farther end of its interval, to half a unit of a digit."""
    ends = (value, value - half, value + share * half)
    half = write.reach(*ends)
    if half == 0:
        return
    unit = 10.0 ** math.floor(math.log10(half))  # of the leading digit of the ±: the coarsest that is allowed
    slack = 0.51 * unit + 1e-9 * abs(value)
    long, reach = write.measured(*ends)
    assert abs(float(long) - value) <= slack
    assert abs(float(reach) - half) <= slack
    match = re.fullmatch(r"(-?[\d.]+)\((\d+)\)(?:e(-?\d+))?", write.concise(*ends))
    assert match
    mantissa, units, exponent = match[1], int(match[2]), int(match[3] or 0)
    last = 10.0 ** (exponent - len(mantissa.partition(".")[2]))
    assert abs(float(mantissa) * 10.0**exponent - value) <= slack
    assert abs(units * last - half) <= slack
    assert units < 20


def test_half_of_an_uneven_interval_is_its_longer_side() -> None:
    """± reaches the farther end, so value ± covers the whole interval."""
    assert write.reach(1.0, 0.9, 1.4) == pytest.approx(0.4)
    assert write.reach(1.0, 0.5, 1.4) == pytest.approx(0.5)


def test_percent_says_below_where_the_interval_reaches_zero() -> None:
    """A relative bias that may be 0 is given by its upper end."""
    assert write.percent(0.0012, 0.0, 0.034) == "<3.4%"
    assert write.percent(0.123, 0.1, 0.15) == "12%"
    assert write.percent(0.0, 0.0, 0.0) == "0%"
    assert write.percent(NAN, NAN, NAN) == "–"


def test_decimal_points_are_in_line() -> None:
    """Padded cells have one width and one place for the point."""
    cells = write.aligned(["0.1", "12.345", "7", "-1.5e-3", "–"])
    assert len({len(cell) for cell in cells}) == 1
    assert {cell.index(".") for cell in cells if "." in cell} == {2}
    assert cells[2][1] == "7"


def test_times_have_the_unit_that_suits() -> None:
    """Seconds, milli-, micro- and nanoseconds, to two digits; – for unknown."""
    assert [write.seconds(t) for t in (2.5, 0.0312, 4.7e-6, 2.34e-8, NAN)] == ["2.5 s", "31 ms", "4.7 µs", "23 ns", "–"]


@given(st.text(max_size=60), st.integers(10, 40))
def test_broken_labels_lose_nothing_and_keep_the_width(label: str, width: int) -> None:
    """A long label goes on in further lines of the width, with all its characters but spaces."""
    label = plain(label)
    lines = broken(label, width).split("\n")
    assert max(cell_len(line) for line in lines) <= width
    assert "".join("".join(lines).split()) == "".join(label.split())


# --- which columns


def test_columns_leave_by_rank_and_never_below_zero() -> None:
    """The highest rank is left out first; columns of rank 0 stay, whatever the width; short forms come before that."""
    columns = [
        Column("a", ["x" * 10]),
        Column("b", ["x" * 10], rank=1),
        Column("c", ["x" * 10], rank=7),
        Column("d", ["x" * 10], rank=2, short=["x"]),
    ]
    heads = {width: [c.head for c in fit(columns, width)[0]] for width in (60, 46, 45, 34, 33, 25, 20, 5)}
    assert heads[60] == heads[46] == ["a", "b", "c", "d"]
    assert heads[45] == heads[34] == ["a", "b", "d"]
    assert fit(columns, 34)[2] is False
    assert heads[33] == heads[25] == ["a", "b", "d"]
    assert fit(columns, 33)[2] is True
    assert heads[5] == ["a"]


@pytest.mark.parametrize("width", thinned(2, [40, 60, 80, 120, 200, 100]))
@pytest.mark.parametrize("table", [summary, digest])
def test_nothing_is_wider_than_the_console(table: object, width: int) -> None:
    """No line is longer than the width, and no number is cut: rich would mark that with …"""
    assert callable(table)
    text = shown(table(results(samples=(1, 4))), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_columns_at_80_and_at_120() -> None:
    """At 80 columns bias², verdict, variance and cosine are there; at 120 also method, MSE and cost."""
    table = summary(results(samples=(1, 4)))
    texts = {width: shown(table, width).splitlines() for width in (80, 120)}
    heads = {width: next(line for line in lines if line.startswith("est")) for width, lines in texts.items()}
    assert {"estimator", "τ", "N", "bias²", "verdict", "variance", "cosine"} <= {*heads[80].split()}
    assert {*heads[80].split(), "method", "MSE", "rel.", "f", "∇f"} <= {*heads[120].split()}


def test_what_is_left_out_is_said() -> None:
    """Columns shown and columns named as left out are all of them."""
    table = summary(results(samples=(1, 4)))
    text = shown(table, 80)
    heads = next(line for line in text.splitlines() if line.startswith("estimator"))
    dropped = words(text).partition("Left out at this width: ")[2].rstrip(".").split(", ")
    for column in table.columns:
        assert (column.head in dropped) != (column.head in heads), column.head


def test_plus_minus_is_explained() -> None:
    """The caption says what ± is, with the level of the run, and what the short notation is where it is used."""
    assert "± reaches to the farther end of the 90 % interval" in words(shown(summary(results(), level=0.9), 120))
    assert "0.0159(4) is short for" in words(shown(summary(results()), 80))
    assert "0.0159(4)" not in shown(summary(results(samples=(1,), methods=("exact",))), 200)


# --- the summary


def test_summary_shows_every_finished_cell_once() -> None:
    """Problems × estimators × temperatures × N × methods: one line each, with the numbers of the frame."""
    run = results(("a", "b"), samples=(1, 4))
    table = summary(run)
    assert [len(section.rows) for section in table.sections] == [len(run) // 2] * 2
    heads = {column.head: column for column in table.columns}
    assert [float(cell) for cell in heads["N"].cells[:4]] == [1, 1, 4, 4]
    assert list(heads["method"].cells[:4]) == ["MC", "exact"] * 2
    variance = readable(run).query("problem == 'a' and name == 'gumbel' and method == 'exact' and samples == 1")
    gumbel = shown(table, 120).partition("gumbel ")[2].splitlines()
    assert write.number(float(variance["variance"].iloc[0]), 4) in "\n".join(gumbel[:4])


def test_every_column_shows_its_own_number() -> None:
    """One row whose numbers are all different: each is under its head."""
    values: dict[str, object] = {"temperature": 0.7, "samples": 3, "f_evaluations": 5, "grad_evaluations": 6}
    values |= {"mse": 0.077, "seconds_per_estimate": 8e-6, "bias_verdict": "biased", "label": "mine"}
    for i, metric in enumerate(("bias_squared", "relative_bias", "variance", "cosine")):
        middle = (0.11, 0.22, 0.33, 0.44)[i]
        values |= {metric: middle, f"{metric}_low": middle - 0.05, f"{metric}_high": middle + 0.05}
    line = words(shown(summary(frame([row(**values)])), 200).splitlines()[2])
    assert line == "mine 0.7 3 0.11 ± 0.05 22% biased 0.33 ± 0.05 0.0770 0.44 ± 0.05 5 6 8.0 µs"


def test_unknown_is_a_dash_and_never_zero() -> None:
    """Without a true gradient bias, MSE and cosine are –."""
    run = frame([row(label="ste", variance=2.5, variance_low=2.4, variance_high=2.6, true_norm=NAN)])
    line = shown(summary(run), 120).splitlines()[1:3]
    assert line[1].split()[:7] == ["ste", "1", "–", "–", "–", "2.50", "±"]
    assert " 0" not in line[1].replace(" 0.10", "")
    assert "true gradient unknown" in shown(summary(run), 120)


def test_exact_values_at_the_level_of_rounding_are_zero() -> None:
    """A bias² of 1e-36 beside a gradient of length .02 is 0, exact or not; one of 1e-20, a bias of 1e-10, is not."""
    ends = {"bias_squared": 1e-36, "bias_squared_low": 1e-36, "bias_squared_high": 1e-36}
    run = frame([row(method="exact", **ends), row(**ends), row(bias_squared=1e-20, method="exact")])
    assert list(readable(run)["bias_squared"]) == [0.0, 0.0, 1e-20]
    assert list(readable(run)["bias_squared_high"]) == [0.0, 0.0, 1e-20]


def test_small_variances_are_shown() -> None:
    """A variance and an MSE of 1e-30 beside a gradient of length .02 are shown; an MSE of rounding alone is 0."""
    small = {name + end: 1e-30 for name in ("variance", "mse") for end in ("", "_low", "_high")}
    nothing = {"bias_squared" + end: 1e-36 for end in ("", "_low", "_high")}
    none = {"variance" + end: 0.0 for end in ("", "_low", "_high")}
    run = readable(frame([row(**small), row(**small, method="exact"), row(**small | none | nothing)]))
    assert list(run["variance"]) == [1e-30, 1e-30, 0.0]
    assert list(run["mse"]) == [1e-30, 1e-30, 0.0]


def test_cosines_at_the_level_of_rounding_are_zero() -> None:
    """A cosine of 6e-17 is 0, at its ends as well; one of 1e-10 is not, and an unknown one stays unknown."""
    ends = {"cosine": 6.2e-17, "cosine_low": -3e-13, "cosine_high": 0.5}
    run = frame([row(**ends), row(cosine=1e-10, cosine_low=-1e-10, cosine_high=2e-10), row(cosine=NAN)])
    x = readable(run)[["cosine", "cosine_low", "cosine_high"]].to_numpy(float)
    np.testing.assert_array_equal(x[:2], [[0.0, 0.0, 0.5], [1e-10, -1e-10, 2e-10]])
    assert np.isnan(x[2, 0])


def test_skipped_and_failed_cells_are_grouped_with_their_reason() -> None:
    """One line for all estimators left out for the same reasons, with the number of cells; failures come first."""
    why = "serves categorical only"
    rows = [row(label=name, status="skipped", reason=why, samples=n) for name in "ab" for n in (1, 2)]
    rows += [row(label="c", status="failed", reason="objective returned NaN")]
    text = words(shown(summary(pd.concat([results(samples=(1,)), frame(rows)])), 120))
    assert "failed c: objective returned NaN (1 cell) skipped a, b: serves categorical only (4 cells)" in text
    assert "No results yet" in shown(summary(frame(rows)), 80)
    assert "No results yet" in shown(digest(frame([])), 80)


def test_flags_stand_beside_their_row_and_are_explained() -> None:
    """Flags are short words in the row; the caption says what those that occur mean, and no others."""
    run = results(samples=(1,), methods=("monte_carlo",), temperatures=(1.0,))
    run["flags"] = run["flags"].mask(run["estimator"] == "ste", "few_events, heavy_tail")
    text = shown(summary(run), 80)
    assert next(line for line in text.splitlines() if line.startswith("ste ")).split()[-2:] == ["few", "tail"]
    assert words(text).count("few:") == words(text).count("tail:") == 1
    assert "skew:" not in text


def test_missing_replicates_for_a_verdict_are_shown() -> None:
    """The number in an inconclusive verdict has a column of its own, where there is room."""
    text = shown(summary(results(samples=(1,))), 200)
    line = next(line for line in text.splitlines() if line.startswith("reinforce  "))
    assert "inconclusive" in line
    assert " 2.5e5 " in line
    assert "more R:" in text


def test_verdicts_are_coloured_unless_told_not_to() -> None:
    """The verdict is a word, in colour on a terminal, and without colour if NO_COLOR is set."""
    terminal = {"force_terminal": True, "color_system": "standard"}
    colour = shown(summary(results()), 120, _environ={}, **terminal)
    assert "\x1b[32munbiased" in colour
    assert "\x1b[31mbiased" in colour
    plain_text = shown(summary(results()), 120, _environ={"NO_COLOR": "1"}, **terminal)
    assert "\x1b[32m" not in plain_text
    assert "unbiased" in plain_text


def test_names_cannot_inject_markup_or_escape_codes() -> None:
    """Labels, problems and reasons of the user are shown as they are, without their control characters."""
    run = frame([measured("ste", NAN, 1, "exact", label=NASTY, problem=NASTY), row(status="failed", reason=NASTY)])
    for table in (summary(run), digest(run), status(rows_of(run), {NASTY: 3}), Listing([{"a": NASTY, "b": NASTY}])):
        text = shown(table, 120)
        assert not {c for c in text if ord(c) < 32 or c in "\x7f\u202e"} - {"\n"}
        assert "[bold red]x[/bold red] [31mred" in words(text).replace("x [/bold", "x[/bold")


# --- the digest


def test_digest_has_one_line_per_estimator_best_first() -> None:
    """Smallest MSE first, at the middle temperature and smallest N; the number of results not shown is exact."""
    run = results(("a", "b"), temperatures=(0.1, 0.5, 2.0), samples=(2, 4))
    table = digest(pd.concat([run, frame([row(problem="a", status="skipped", reason="why not")])]))
    assert [len(section.rows) for section in table.sections] == [len(ESTIMATORS)] * 2 + [0]  # the skipped
    heads = {column.head: list(column.cells) for column in table.columns}
    assert {cell.strip() for cell in heads["τ"]} == {"0.5", "–"}
    assert set(heads["N"]) == {"2"}
    mse = [float(cell) for cell in heads["MSE"]][: len(ESTIMATORS)]
    assert mse == sorted(mse)
    assert f"Not shown: {len(run) - 2 * len(ESTIMATORS)} more results" in words(shown(table, 80))


def test_digest_is_cut_at_the_limit_and_says_so() -> None:
    """At most `limit` lines per problem, the best ones, and a line with the number of the others."""
    table = digest(results(), limit=3)
    assert len(table.sections[0].rows) == 3
    assert f"… and {len(ESTIMATORS) - 3} more further down" in shown(table, 80)
    assert "identity" not in shown(table, 80)


def test_exact_values_are_preferred() -> None:
    """Of a cell with both methods the exact row is kept; a cell without an exact row keeps its Monte Carlo row."""
    run = readable(results(samples=(1,), temperatures=(1.0,)))
    run = run[(run["name"] != "ste") | (run["method"] != "exact")]
    kept = best_known(run).set_index("name")["method"]
    assert kept["ste"] == "monte_carlo"
    assert set(kept.drop("ste")) == {"exact"}
    assert list(kept.index) == list(ESTIMATORS)


def test_a_cosine_that_is_not_known_exactly_is_the_sampled_one() -> None:
    """An exact row without a cosine shows that of the draws, with its interval; one that has it keeps it."""
    sampled = {"method": "monte_carlo", "cosine": 0.5, "cosine_low": 0.4, "cosine_high": 0.6}
    known = {"method": "exact", "cosine": 0.45, "cosine_low": 0.45, "cosine_high": 0.45}
    rows = [row(label="a", **sampled), row(label="a", method="exact"), row(label="b", **sampled)]
    rows += [row(label="b", **known), row(label="c", method="exact")]
    kept = best_known(readable(frame(rows))).set_index("name")
    assert set(kept["method"]) == {"exact"}
    assert ends(kept.loc[["a", "b"]], "cosine") == [(0.5, 0.4, 0.6), (0.45, 0.45, 0.45)]
    assert kept["cosine"].isna().tolist() == [False, False, True]


def test_slices_take_the_nearest_temperature_and_the_smallest_n_of_each() -> None:
    """One N for all where there is one; an estimator with temperatures or N of its own is shown at its nearest ones."""
    rows = [row(label="a", temperature=t, samples=n) for t in (0.1, 0.5, 2.0) for n in (1, 2)]
    rows += [row(label="b", temperature=t, samples=n) for t in (1.0, 4.0) for n in (2, 4)] + [row(label="c", samples=3)]
    run = readable(frame(rows))
    middle = at_middle_temperature(run)  # of .1, .5, 1, 2, 4
    heated = middle.dropna(subset="temperature")
    assert set(zip(heated["name"], heated["temperature"], strict=True)) == {("a", 0.5), ("b", 1.0)}
    assert "c" in set(middle["name"])
    fewest = at_smallest_samples(run).groupby("name")["samples"].unique().map(list).to_dict()
    assert fewest == {"a": [1], "b": [2], "c": [3]}
    two = run[run["name"] != "c"]
    assert set(at_smallest_samples(two)["samples"]) == {2}  # which both have
    assert len(at_smallest_samples(two)["name"].unique()) == 2


def test_names_fall_back_and_are_told_apart() -> None:
    """Without a label estimator[options]; a label given to two estimators has these added."""
    rows = [row(estimator="ste"), row(estimator="ste", options="slope=2"), row(label="x")]
    run = frame([*rows, row(estimator="darn", label="x")])
    assert list(names(run)) == ["ste", "ste[slope=2]", "x · ste", "x · darn"]


# --- comparisons, lists, status


def compared(**values: object) -> dict[str, object]:
    """One row of a comparison."""
    usual: dict[str, object] = {"problem": "p", "basis": "equal samples, N = 4", "rank": 1, "name": "gumbel"}
    usual |= {"temperature": 0.5, "samples": 4, "f_evaluations": 4, "grad_evaluations": 0, "metric": "mse"}
    usual |= {"value": 0.031, "value_low": 0.03, "value_high": 0.032}
    usual |= {"ratio": 0.19, "ratio_low": 0.18, "ratio_high": 0.2}
    return usual | {"verdict": "better", "flags": "unpaired", "bias_verdict": "biased"} | values


def test_ranking_shows_ratios_with_intervals_and_a_verdict() -> None:
    """Each section is one problem and basis; the ratio has its interval, ∞ and unknown are shown as such."""
    rows = [compared(), compared(rank=pd.NA, name=NASTY, ratio=math.inf, ratio_low=NAN, ratio_high=NAN, value=NAN)]
    rows += [compared(basis="equal evaluations", verdict="inconclusive: about 9 more replicates")]
    text = shown(ranking(pd.DataFrame(rows), "reinforce"), 120)
    lines = text.splitlines()
    assert lines[0] == "p  equal samples, N = 4"
    assert words(lines[2]) == "1 gumbel 0.5 4 4 0 0.0310 ± 0.0010 0.190 [0.180, 0.200] better biased unpaired"
    assert "∞" in lines[3]
    assert "equal evaluations" in text
    assert "inconclusive" in text
    assert "ratio: MSE over that of reinforce" in text
    assert "unpaired: " in text
    assert "\x1b" not in text
    assert max(map(cell_len, shown(ranking(pd.DataFrame(rows), "reinforce"), 80).splitlines())) <= 80


def test_listing_leaves_out_the_last_columns() -> None:
    """Where the width asks for it the last columns go, and it is said; prose wraps as long as it has room."""
    rows = [{"name": "ste", "summary": "word " * 30, "families": ("B", "C"), "aliases": "x" * 30}]
    wide, narrow = (shown(Listing(rows, prose="summary"), width) for width in (240, 80))
    assert words(wide).startswith("name summary families aliases ste word")
    assert "Left out at this width: aliases." in narrow
    assert "B, C" in narrow
    assert max(map(cell_len, narrow.splitlines())) <= 80
    assert len(narrow.splitlines()) <= 8
    assert shown(Listing(rows, prose="summary"), 30).split()[:2] == ["name", "ste"]
    assert shown(Listing([]), 80).strip() == ""


def test_status_counts_cells() -> None:
    """Done, skipped, failed, to come and all, per problem and in total."""
    run = frame([row(problem="a"), row(problem="a", status="skipped"), row(problem="b", status="failed", reason="no")])
    lines = shown(status(rows_of(run), {"a": 5, "b": 1, "c": 2}), 80).splitlines()
    assert [words(line) for line in lines[:5]] == [
        "problem done skipped failed to come cells",
        "a 1 1 0 3 5",
        "b 0 0 1 0 1",
        "c 0 0 0 2 2",
        "all 1 1 1 5 8",
    ]


# --- other formats


def test_csv_and_json_keep_every_digit() -> None:
    """Read back they are the frame; in JSON unknown is null and infinity a string, at any depth."""
    run = results(samples=(1,), temperatures=(1.0,))
    # pandas.read_csv may lose the last digit (before 3.1): Python's float() does not.
    back = list(csv.DictReader(io.StringIO(text_of(run, "csv"))))
    for column in ("variance", "mse_low", "temperature", "bias_squared"):
        assert [float(row[column]) for row in back if row[column]] == list(run[column].dropna())
    records = json.loads(text_of(run, "json"))
    assert [record["variance"] for record in records] == list(run["variance"])
    assert records[0]["temperature"] is None
    strange = pd.DataFrame({"x": [math.inf, NAN], "v": [[1.0, NAN], None], "n": pd.array([1, None], dtype="Int64")})
    assert json.loads(text_of(strange, "json")) == [
        {"x": "Infinity", "v": [1.0, None], "n": 1},
        {"x": None, "v": None, "n": None},
    ]


@given(st.text(max_size=40))
def test_markdown_cells_cannot_break_the_table(label: str) -> None:
    """Whatever a label is, a row has as many cells as the head, and the label is in it as text."""
    text = text_of(pd.DataFrame({"name": [label], "value": [0.5]}), "markdown")
    lines = text.splitlines()
    assert len(lines) == 3
    cells = re.split(r"(?<!\\)(?:\\\\)*\|", lines[2])
    assert len(cells) == 4
    assert re.sub(r"\\(.)", r"\1", lines[2]).startswith(f"| {plain(label) or '–'} |")


def test_latex_escapes_what_is_special() -> None:
    """All ten special characters are escaped, and numbers are formulas."""
    text = text_of(pd.DataFrame({"a_b": [r"50% & $x_1$ #{}~^\input{x}"], "v": [-1.25e-7]}), "latex")
    assert r"50\% \& \$x\_1\$ \#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}input\{x\}" in text
    assert r"$-1.25\times10^{-7}$" in text
    assert r"a\_b & v \\" in text
    assert text.startswith("\\begin{tabular}{lr}\n\\toprule\n")


def test_readers_formats_join_a_value_with_its_interval() -> None:
    """x, x_low and x_high become one column in Markdown and LaTeX."""
    data = pd.DataFrame({"x": [0.5, NAN], "x_low": [0.45, NAN], "x_high": [0.55, NAN], "t_low": [1, 2]})
    assert text_of(data, "markdown").splitlines() == [
        r"| x | t\_low |",
        "| ---: | ---: |",
        r"| 0.500 \[0.45, 0.55\] | 1 |",
        "| – | 2 |",
    ]
    assert r"$0.500$ [$0.45$, $0.55$] & $1$ \\" in text_of(data, "latex")


def test_tables_and_plots_work_without_torch(pytestconfig: pytest.Config) -> None:
    """With torch blocked, tables are made and figures drawn, without a warning; pyplot is not loaded."""
    code = (
        "import sys; sys.modules['torch'] = None; sys.path.insert(0, '.')\n"
        "from tests.frames import results; from estbench import plots; from pathlib import Path\n"
        "from estbench.tables.formats import encode; from estbench.tables.summary import summary; import tempfile\n"
        "summary(results(), 0.95); encode(results(), 'latex')\n"
        "with tempfile.TemporaryDirectory() as folder: plots.draw(results(), Path(folder), ['overview'], level=0.95)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    # The warnings that pytest was told to let pass (`make lowest`) pass here too.
    filters = ["error", *(pytestconfig.getoption("pythonwarnings") or [])]
    subprocess.run([sys.executable, *(f"-W{one}" for one in filters), "-c", code], check=True, timeout=120)


def test_intervals_of_rounding_are_none() -> None:
    """An interval narrower than 1e-12 of its value says nothing: 17 digits of it would fill the table."""
    value = 0.022788084162376737
    ends = math.nextafter(value, 0.0), math.nextafter(value, 1.0)
    assert write.measured(value, *ends) == ("0.02279", "")
    assert write.concise(value, *ends) == "0.02279"
    assert write.concise(value, value * (1 - 2e-12), value) != "0.02279"


def test_reasons_hang_beside_their_status() -> None:
    """A long reason goes on beneath itself, not beneath the word `skipped`."""
    reason = "noise is integrated for one variable only " * 4
    run = pd.concat([results(), frame([row(label="gone", status="skipped", reason=reason)])])
    text = shown(status(rows_of(run), {"quadratic logits=1": 3}), 60)
    first, *rest = [line for line in text.splitlines() if "gone" in line or "one variable" in line]
    assert first.startswith("skipped  gone: noise")
    assert len(rest) > 1
    assert all(line.startswith(" " * 9) for line in rest)


def test_ranking_keeps_temperatures_longer_than_intervals() -> None:
    """Rows that differ in nothing but τ can be told apart at any width."""
    rows = [compared(rank=i, temperature=tau, flags="unpaired few_events") for i, tau in enumerate((0.5, 1.0), 1)]
    heads = shown(ranking(pd.DataFrame(rows), "reinforce"), 62).splitlines()[1]
    assert "τ" in heads
    assert "interval" not in heads


def test_names_break_at_underscores_before_letters() -> None:
    """A name too long for its line breaks after an underscore."""
    assert broken("noise_multiplicative", 18) == "noise_\n multiplicative"


def test_names_of_plugins_break_at_the_colon_and_at_dots_but_numbers_do_not() -> None:
    """A long `package.module:Class` breaks after its colon or a dot; a number does not break at its own."""
    assert broken("my.module:MyEstimator", 20) == "my.module:\n MyEstimator"
    assert broken("my_package.estimators:Mine", 18) == "my_package.\n estimators:Mine"
    assert broken("an_option_so_long=10.123", 22) == "an_option_so_long=\n 10.123"
