"""Figures show the numbers of the frame, all of them, where a reader expects them."""

from __future__ import annotations

import gc
import io
import itertools
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from estbench.errors import ResultsError, UsageError
from estbench.outputs import FIGURES, IN_REPORT, OF_TRAININGS
from estbench.plots import DRAWN_BY, slugs
from estbench.plots import draw as draw_at
from estbench.plots.curves import curves
from estbench.plots.overview import lines, overview, shades
from estbench.plots.png import png
from estbench.plots.scale import Scale, decades, scale, tick_labels
from estbench.plots.style import LOOKS, RC, Look, looks
from estbench.plots.ticks import add_ticks
from estbench.processes import cores
from estbench.views import ends, finished, middle_temperature, readable
from tests.frames import ESTIMATORS, NAN, frame, measured, results, row
from tests.sizes import thinned

LOOK = {"gumbel": LOOKS[0], "reinforce": LOOKS[1]}
draw = partial(draw_at, level=0.95)


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcParams.update(RC)
        yield


@pytest.fixture
def _no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and files written, but what is in the pictures takes no time."""
    monkeypatch.setattr("estbench.plots._pixels", lambda _: np.zeros((1, 1, 3), np.uint8))


def axes() -> Axes:
    """An empty panel."""
    return Figure().add_subplot()


def segments(ax: Axes) -> list[np.ndarray]:
    """All lines of all collections, [points, 2] each."""
    found = [c for c in ax.collections if isinstance(c, LineCollection)]
    return [np.asarray(line) for c in found for line in c.get_segments()]


def labels(ax: Axes, axis: str) -> list[Text]:
    """The labels of an axis."""
    return [text for text in ax.texts if (text.get_verticalalignment() == "top") == (axis == "x")]


def has(lines: list[np.ndarray], wanted: np.ndarray) -> bool:
    """Whether one of the lines is this one."""
    return any(line.shape == wanted.shape and np.allclose(line, wanted, rtol=1e-12) for line in lines)


def marks(ax: Axes, look: Look) -> dict[str, list[tuple[float, float]]]:
    """The points of a look, by the colour that fills them."""
    found: dict[str, list[tuple[float, float]]] = {}
    for artist in (*ax.lines, *ax.artists):
        if artist.get_marker() == look.marker and artist.get_color() == look.colour:  # type: ignore[attr-defined] # lines
            xy = np.column_stack(artist.get_data())  # type: ignore[attr-defined] # lines
            found.setdefault(str(artist.get_markerfacecolor()), []).extend(map(tuple, xy))  # type: ignore[attr-defined]
    return found


def shown_rows(**options: object) -> pd.DataFrame:
    """Finished rows of a made-up run, as the figures get them."""
    return finished(readable(results(**options)))  # type: ignore[arg-type] # keywords


# --- what is written


@pytest.mark.usefixtures("_no_pixels")
def test_draw_writes_every_kind_of_every_problem(tmp_path: Path) -> None:
    """Four figures per problem, PNG by default, in a folder that is made; the paths come back."""
    written = draw(results(("a", "b")), tmp_path / "deep" / "figures")
    assert [path.name for path in written] == [f"{p}-{kind}.png" for p in "ab" for kind in FIGURES]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_equal_frames_give_equal_bytes(tmp_path: Path, form: str, start: bytes) -> None:
    """No dates or random names, and the user's own matplotlib settings neither matter nor change."""
    first = draw(results(), tmp_path / "1", ["overview", "samples"], form)
    mpl.rcParams["axes.facecolor"] = "red"
    mpl.rcParams["text.usetex"] = True
    second = draw(results(), tmp_path / "2", ["overview", "samples"], form)
    assert mpl.rcParams["axes.facecolor"] == "red"
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes().startswith(start)
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_bytes_do_not_hang_on_the_order_of_sets(tmp_path: Path) -> None:
    """This process and one that hashes differently draw the same file."""
    names = [(name, f"{name} {i}") for i in (1, 2) for name in ESTIMATORS]
    rows = [measured(name, 1.0, n, "exact", label=label) for name, label in names for n in (1, 2)]
    draw(frame(rows), tmp_path / "here", ["samples"], "svg", level=0.95)
    code = (
        "import sys; from pathlib import Path; from estbench.plots import draw\n"
        "from tests.frames import ESTIMATORS, frame, measured\n"
        "names = [(name, f'{name} {i}') for i in (1, 2) for name in ESTIMATORS]\n"
        "rows = [measured(name, 1.0, n, 'exact', label=label) for name, label in names for n in (1, 2)]\n"
        "draw(frame(rows), Path(sys.argv[1]), ['samples'], 'svg', level=0.95)\n"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # by default that of this process is random
    command = [sys.executable, "-c", code, str(tmp_path / "there")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": seed}, timeout=120)
    here, there = ((tmp_path / place / "quadratic-samples.svg").read_bytes() for place in ("here", "there"))
    assert here == there


@pytest.mark.usefixtures("_no_pixels")
def test_kinds_without_anything_to_show_are_left_out(tmp_path: Path) -> None:
    """One temperature: no temperature figure; one N: none against N; no finished cell: nothing, and no folder."""

    def kinds(run: pd.DataFrame) -> set[str]:
        return {path.stem.rpartition("-")[2] for path in draw(run, tmp_path / "figures")}

    assert kinds(results(temperatures=(1.0,))) == {"overview", "samples", "cosine"}
    assert kinds(results(samples=(2,))) == {"overview", "temperature", "cosine"}
    assert kinds(results(temperatures=(1.0,), samples=(2,))) == {"overview"}
    nothing = frame([row(status="skipped"), row(status="failed"), row(problem="unknown")])
    assert draw(nothing, tmp_path / "none") == []
    assert draw(frame([]), tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_unknown_metrics_have_no_panel() -> None:
    """Without a true gradient there is the variance, and no empty panel for bias², MSE or cosine."""
    run = shown_rows(samples=(1, 2))
    for metric in ("bias_squared", "mse", "cosine"):
        run[[metric, f"{metric}_low", f"{metric}_high"]] = NAN
    for kind in ("overview", "temperature", "samples"):
        figure = DRAWN_BY[kind](run, 0.95)
        assert figure is not None
        assert [ax.get_title("left") for ax in figure.axes] == ["variance"]
    assert DRAWN_BY["cosine"](run, 0.95) is None


def test_unknown_kinds_and_formats_are_refused(tmp_path: Path) -> None:
    """One clear message that says what was given and what is allowed."""
    with pytest.raises(UsageError, match="--kind pie: no such kind of figure; choose from overview"):
        draw(results(), tmp_path, ["pie"])
    with pytest.raises(UsageError, match=r"--format gif: .* choose from png, svg, pdf"):
        draw(results(), tmp_path, format="gif")


def test_a_folder_that_cannot_be_written_is_an_error_of_its_own(tmp_path: Path) -> None:
    """A file where the folder should be: a message with the path, no traceback of the system."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"file.*cannot write this figure"):
        draw(results(), tmp_path / "file", ["overview"])


@pytest.mark.slow
def test_two_processes_draw_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared by processes, the figures come in the same order with the same bytes.

    Whoever asks is told how many are done, never fewer than before, and at last that all are.
    """
    monkeypatch.setattr("estbench.plots.EACH", 2)
    frame_of_two, kinds = results(("a", "b")), ["overview", "samples"]
    told: dict[int, list[tuple[int, int]]] = {1: [], 2: []}
    one, two = (
        draw(frame_of_two, tmp_path / str(n), kinds, processes=n, show=lambda *done, n=n: told[n].append(done))
        for n in (1, 2)
    )
    assert [path.name for path in one] == [path.name for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    for each in told.values():
        assert each == sorted(each)
        assert each[-1] == (4, 4)


@pytest.mark.slow
def test_an_error_in_either_process_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that one of two processes cannot write is an error as with one process."""
    monkeypatch.setattr("estbench.plots.EACH", 2)
    frame_of_two, kinds = results(("a", "b")), ["overview", "samples"]
    one = draw(frame_of_two, tmp_path / "one", kinds)
    for first in one[0], one[-1]:  # the other process begins at the front, this one at the end
        folder = tmp_path / first.stem
        (folder / first.name).mkdir(parents=True)
        with pytest.raises(ResultsError, match=rf"{first.name}: not a regular file"):
            draw(frame_of_two, folder, kinds, processes=2)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be kept to some cores here")
@pytest.mark.usefixtures("_no_pixels")
def test_one_core_is_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept to one core of many, a process draws alone."""
    monkeypatch.setattr("estbench.plots.EACH", 1)
    monkeypatch.setattr("estbench.plots.workers.Worker", None)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cores() == 1
        assert len(draw(results(("a", "b")), tmp_path, ["overview"])) == 2
    finally:
        os.sched_setaffinity(0, allowed)
    assert cores() == len(allowed)


@pytest.mark.parametrize("frozen", [False, True])
def test_what_is_frozen_stays_so(tmp_path: Path, frozen: bool) -> None:
    """What a program keeps from its garbage collector is kept from it after a figure too, and nothing more is."""
    count = gc.get_freeze_count()
    gc.unfreeze()
    try:
        if frozen:
            gc.freeze()
        before = gc.get_freeze_count()
        draw(results(), tmp_path, ["overview"])
        assert (gc.get_freeze_count() > 0) == frozen
        assert gc.get_freeze_count() <= before
    finally:
        gc.unfreeze()
        if count:
            gc.freeze()


def test_figures_leave_nothing_behind(tmp_path: Path) -> None:
    """However many are drawn, none of them stays in memory, whether or not the garbage of all else is collected."""

    def alive() -> int:
        return sum(type(thing) is Figure for thing in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        assert len(draw(results(), tmp_path, ["overview", "samples"])) == 2
        assert alive() == before
    finally:
        gc.enable()


@given(st.lists(st.text(max_size=100), unique=True, max_size=8))
def test_file_names_cannot_leave_the_folder_or_collide(problems: list[str]) -> None:
    """Whatever problems are called, their names are plain, of bearable length, and no two alike in any case."""
    names = slugs(problems)
    assert set(names) == set(problems)
    assert len({name.casefold() for name in names.values()}) == len(problems)
    for name in names.values():
        assert name == "problem" or name[0] not in ".-_"
        assert Path(name).name == name
        assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._=,+-")
        assert len(name) <= 90


def test_file_names_keep_signs_and_read_well() -> None:
    """A sweep over logits ±1 has two names; a list does not turn into a minus."""
    names = slugs(["quadratic[target=0.4] D=1 logits=-1", "quadratic[target=0.4] D=1 logits=1", "sine logits=[0.5,-1]"])
    assert list(names.values()) == [
        "quadratic_target=0.4_D=1_logits=-1",
        "quadratic_target=0.4_D=1_logits=1",
        "sine_logits=0.5,-1",
    ]


# --- curves


def test_exact_values_are_a_line_and_monte_carlo_are_points_with_bars() -> None:
    """The line has the exact values, the points the measured ones, the bars their intervals."""
    run = shown_rows(samples=(1,))
    ax = curves(axes(), run, "temperature", "variance", LOOK)
    own = run[run["name"] == "gumbel"].sort_values("temperature")
    exact, sampled = own[own["method"] == "exact"], own[own["method"] == "monte_carlo"]
    lines = segments(ax)
    assert has(lines, exact[["temperature", "variance"]].to_numpy())
    points = np.array(marks(ax, LOOKS[0])[LOOKS[0].colour])
    assert np.allclose(points[:, 1], sampled["variance"])
    assert np.allclose(points[:, 0], sampled["temperature"], rtol=0.05)
    for (x, _), low, high in zip(points, sampled["variance_low"], sampled["variance_high"], strict=True):
        assert has(lines, np.array([[x, low], [x, high]]))


def test_estimators_without_temperature_are_level_lines() -> None:
    """Their exact value is a line from edge to edge, their points stand aside, at the tick `none`."""
    run = shown_rows(samples=(1,))
    ax = curves(axes(), run, "temperature", "variance", LOOK)
    own = run[run["name"] == "reinforce"].set_index("method")
    level = float(own.loc["exact", "variance"])  # type: ignore[arg-type] # a number
    assert has(segments(ax), np.array([[end, level] for end in ax.get_xlim()]))
    [(x, y)] = marks(ax, LOOKS[1])[LOOKS[1].colour]
    assert y == own.loc["monte_carlo", "variance"]
    assert x > 2.5
    assert [label.get_text() for label in labels(ax, "x")] == ["0.1", "0.25", "0.5", "1", "2", "none"]


def test_points_without_exact_values_are_joined() -> None:
    """Where only Monte Carlo is known a thin line joins the points; a fully exact estimator has none."""
    run = shown_rows(samples=(1,), methods=("monte_carlo",))
    ax = curves(axes(), run, "temperature", "variance", LOOK)
    own = run[run["name"] == "gumbel"].sort_values("temperature")
    assert has(segments(ax), own[["temperature", "variance"]].to_numpy())
    both = segments(curves(axes(), shown_rows(samples=(1,)), "temperature", "variance", LOOK))
    assert not has(both, own[["temperature", "variance"]].to_numpy())


def test_names_without_a_look_stay_as_faint_context() -> None:
    """The best known values of every other estimator are there, one line each."""
    run = shown_rows(samples=(1, 2), temperatures=(1.0,))
    ax = curves(axes(), run, "samples", "variance", LOOK)
    own = run[(run["name"] == "ste") & (run["method"] == "exact")]
    assert has(segments(ax), own[["samples", "variance"]].to_numpy())
    faint = next(c for c in ax.collections if isinstance(c, LineCollection))
    assert len(faint.get_segments()) == len(ESTIMATORS) - len(LOOK)


def test_hollow_points_are_those_whose_interval_reaches_zero() -> None:
    """bias² = 3 in [0, 9] is hollow, 3 in [1, 9] is not; a negative estimate stands on the line of 0, its bar above."""
    triples = ((3.0, 0.0, 9.0), (3.0, 1.0, 9.0), (-2.0, 0.0, 5.0))
    rows = [
        row(label="gumbel", temperature=10.0**i, bias_squared=v, bias_squared_low=low, bias_squared_high=high)
        for i, (v, low, high) in enumerate(triples)
    ]
    ax = curves(axes(), finished(readable(frame(rows))), "temperature", "bias_squared", LOOK)
    found = {face: [y for _, y in xy] for face, xy in marks(ax, LOOKS[0]).items()}
    _, zero = labels(ax, "y")[0].get_position()
    assert labels(ax, "y")[0].get_text() == "0"
    assert found == {"white": [3.0, zero], LOOKS[0].colour: [3.0]}
    assert zero < 3.0
    bars = sorted((line[0, 1], line[1, 1]) for line in segments(ax) if len(line) == 2 and line[0, 0] == line[1, 0])
    assert bars == [(zero, 5.0), (zero, 9.0), (1.0, 9.0)]


@pytest.mark.parametrize(
    ("few", "many", "said"), [((1, 4), (4,), "τ at N = 4,"), ((1,), (4,), "τ at the smallest N of each")]
)
def test_cosines_say_at_which_n_they_are(few: tuple[int, ...], many: tuple[int, ...], said: str) -> None:
    """The N against temperature is the smallest that all have, not the smallest of all."""
    rows = [measured("gumbel", tau, n, "exact") for tau in (0.5, 1.0) for n in few]
    rows += [measured("reinforce", NAN, n, "exact") for n in many]
    figure = DRAWN_BY["cosine"](readable(frame(rows)), 0.95)
    assert figure is not None
    assert said in " ".join(text.get_text().replace("\n", " ") for text in figure.texts)


def test_guides_fall_like_one_over_n() -> None:
    """Every dotted guide has slope −1 in log-log, and crosses the panel to its right or lower edge."""
    run = shown_rows(temperatures=(1.0,))
    ax = curves(axes(), run, "samples", "variance", LOOK)
    dotted = [c for c in ax.collections if isinstance(c, LineCollection) and c.get_zorder() == 1][-1]
    lines = [np.log(np.asarray(line)) for line in dotted.get_segments()]
    assert len(lines) >= 2
    for (x0, y0), (x1, y1) in lines:
        assert (y1 - y0) / (x1 - x0) == pytest.approx(-1)
        right, floor = math.log(ax.get_xlim()[1]), math.log(scale(ends(run, "variance")).low)
        assert x1 == pytest.approx(right) or y1 == pytest.approx(floor)


def test_cosines_are_on_a_linear_axis_that_shows_zero_and_one() -> None:
    """0 and 1 are inside the limits, and each is a line."""
    ax = curves(axes(), shown_rows(temperatures=(1.0,)), "samples", "cosine", LOOK)
    assert ax.get_yscale() == "linear"
    low, high = ax.get_ylim()
    assert low < 0
    assert high > 1
    across = [line for line in ax.lines if np.array_equal(line.get_xdata(), [0, 1])]
    assert {float(np.asarray(line.get_ydata())[0]) for line in across} == {0.0, 1.0}


# --- scales


def test_scale_has_a_zero_only_where_it_is_needed() -> None:
    """Values and intervals above 0 need none; an interval that reaches 0 does, and its tiny estimate sets no limit."""
    found = scale([(1.0, 0.5, 2.0), (3.0, NAN, NAN), (0.01, NAN, NAN)])
    assert found.zero is None
    assert 0.005 < found.low < 0.01
    found = scale([(1e-30, 0.0, 1e-3), (2.0, 1.0, 3.0)])
    assert found.zero is not None
    assert found.zero < found.low < 1e-3
    assert found.low > 1e-5
    assert found.high > 3.0
    assert list(found.place([-1.0, 0.0, 1e-30, 0.5])) == [found.zero, found.zero, found.low, 0.5]
    assert 0.1 < scale([(1.0, 0.2, 2.0)]).low < 0.2
    assert 0.02 < scale([(1.0, 1e-9, 2.0)]).low < 1 / 30
    assert scale([(0.0, 0.0, 0.0), (NAN, NAN, NAN)]).zero is not None


@example(exponent=1.81640625, span=0.0546875, most=4)  # 66, 68, 70, 72 and 74 are one too many
@given(st.floats(-30, 30), st.floats(0.05, 40), st.sampled_from([4, 8]))
def test_ticks_are_inside_few_and_said_in_few_characters(exponent: float, span: float, most: int) -> None:
    """At least two ticks, at most so many, all of them on the axis, and none labelled like another."""
    low, high = 10.0**exponent, 10.0 ** (exponent + span)
    ticks = decades(low, high, most)
    assert 2 <= len(ticks) <= most
    assert all(low <= tick <= high for tick in ticks)
    labels = tick_labels(ticks)
    assert len(set(labels)) == len(labels)
    assert all(len(label) <= 10 for label in labels)


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("size", ["linear", "log"])
@pytest.mark.parametrize("lines", [True, False])
def test_ticks_are_where_matplotlib_would_put_them(axis: Literal["x", "y"], size: str, lines: bool) -> None:
    """Label, stroke and line of every tick, or the label alone, to the pixel."""

    def pixels(figure: Figure) -> np.ndarray:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call] # of matplotlib
        return np.array(canvas.buffer_rgba())  # type: ignore[no-untyped-call] # of matplotlib

    at, texts = [0.2, 1.0, 7.0], ["0.2", "one", "7"]
    figures = [Figure(dpi=160) for _ in range(2)]
    ours, theirs = (figure.add_axes((0.2, 0.2, 0.7, 0.7)) for figure in figures)
    for ax in (ours, theirs):
        ax.set(**{f"{axis}scale": size, f"{axis}lim": (0.1, 9.0), "yticks" if axis == "x" else "xticks": []})
    add_ticks(ours, axis, at, texts, lines=lines)
    theirs.set_axisbelow(True)
    (theirs.set_xticks if axis == "x" else theirs.set_yticks)(at, texts)
    theirs.minorticks_off()
    theirs.tick_params(axis=axis, color="#444444", labelcolor="#444444", labelsize=8.5)
    if lines:
        theirs.grid(True, axis=axis, color="#e8e8e8", linewidth=0.7)
    else:
        theirs.tick_params(axis=axis, length=0)
    assert np.array_equal(pixels(figures[0]), pixels(figures[1]))


def test_tick_labels_are_decimals_or_powers() -> None:
    """Handy sizes are decimals, others powers of ten, never both on one axis."""
    assert tick_labels([0.002, 0.005, 0.01]) == ["0.002", "0.005", "0.01"]
    assert tick_labels([1e-6, 1e-4, 1e-2, 1.0]) == ["10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]
    assert tick_labels(decades(0.0141, 0.0183, 4)) == ["0.016", "0.018"]
    assert tick_labels([1.5e-7, 2.5e-7]) == ["1.5×10⁻⁷", "2.5×10⁻⁷"]
    assert tick_labels([2e-7, 5e-7, 1e-6]) == ["2×10⁻⁷", "5×10⁻⁷", "10⁻⁶"]


# --- looks


def test_every_name_has_a_look_of_its_own_in_its_group() -> None:
    """Groups are of like size and hold all names in order; looks differ in colour, in marker and in dashes."""
    for count in (0, 1, 8, 9, 11, 40):
        groups = looks([f"e{i}" for i in range(count)])
        assert list(itertools.chain(*groups)) == [f"e{i}" for i in range(count)]
        sizes = {len(group) for group in groups}
        assert max(sizes) <= len(LOOKS)
        assert max(sizes) - min(sizes) <= 1
        for group in groups:
            for fact in ("colour", "marker", "dashes"):
                assert len({getattr(look, fact) for look in group.values()}) == len(group)


def test_colours_can_be_told_apart_on_white() -> None:
    """Each colour has a contrast to white of at least 1.9, as its line is thick, and hot temperatures are lighter."""

    def luminance(colour: str) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(colour)]
        return float(np.dot([0.2126, 0.7152, 0.0722], parts))

    assert all(1.05 / (luminance(look.colour) + 0.05) > 1.9 for look in LOOKS)
    ramp = [luminance(look.colour) for look in shades([0.1, 0.5, 1.0, 2.0]).values()]
    assert ramp == sorted(ramp)
    assert list(shades([NAN, 2.0, 1.0])) == [None, 1.0, 2.0]


# --- pages


def test_overview_sorts_by_mse_and_gives_every_estimator_a_line() -> None:
    """The smallest MSE at the middle temperature is on top; N other than the smallest are said."""
    run = results(samples=(2,))
    late = frame([measured("ste", NAN, 4, "exact", label="late", mse=1e9, mse_low=1e9, mse_high=1e9)])
    figure = overview(finished(readable(pd.concat([run, late]))), 0.95)
    assert figure is not None
    left = figure.axes[0]
    bottom, top = left.get_ylim()
    assert bottom > top  # the first line is the top one
    names = [label.get_text() for label in labels(left, "y")]
    assert names[0] == "enumerate"
    assert names[-1] == "late (N = 4)"
    assert len(names) == len(ESTIMATORS) + 1
    assert [ax.get_title("left") for ax in figure.axes] == ["bias²", "variance", "MSE", "cosine"]
    assert names.index("gumbel") < names.index("gumbel_st")


def test_overview_lines_show_exact_ticks_and_measured_points() -> None:
    """From the top of a line down: a place per temperature, a tick at the exact, a point at the measured value."""
    run = shown_rows(samples=(1,), estimators=("ste", "gumbel"))
    colours = shades([NAN, 0.1, 0.25, 0.5, 1.0, 2.0])
    ax = lines(axes(), run, "variance", {"ste": 0.3, "gumbel": 0.6}, colours)
    heights = []
    for tau, look in colours.items():
        own = run[run["temperature"].isna() if tau is None else run["temperature"] == tau].set_index("method")
        [(tick, level)] = marks(ax, Look(look.colour, "|", ()))[look.colour]
        [(point, same)] = marks(ax, look)[look.colour]
        exact, sampled = own.loc["exact"], own.loc["monte_carlo"]
        assert (tick, point, level) == (exact["variance"], sampled["variance"], same)
        bar = np.array([[sampled["variance_low"], level], [sampled["variance_high"], level]])
        assert has(segments(ax), bar)
        heights.append(level)
    assert heights[0] == pytest.approx(0.15)
    assert heights == sorted(heights)
    assert np.mean(heights[1:]) == pytest.approx(0.6)
    assert 0.3 < heights[1] < heights[-1] < 0.9


def test_labels_of_the_user_are_drawn_literally(tmp_path: Path) -> None:
    """No mathematics, no markup, no label lost for its underscore; a missing glyph is no warning."""
    label, problem = r"_$x_1$ \frac{<b>", "p $\\alpha$ 日本"
    rows = [measured("ste", NAN, n, "exact", label=label, problem=problem) for n in (1, 2)]
    figure = DRAWN_BY["samples"](finished(readable(frame(rows))), 0.95)
    assert figure is not None
    assert figure.texts[0].get_text() == problem
    assert figure.texts[2].get_text() == label  # the first of the legend
    assert not any(text.get_parse_math() for text in figure.texts)
    assert len(draw(frame(rows), tmp_path)) == 3


def boxes(figure: Figure) -> tuple[Bbox, list[Bbox], list[list[Bbox]]]:
    """Of a drawn figure: itself, its texts with keys of legends, and the tick labels of each axis."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call] # of matplotlib
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call] # of matplotlib
    texts = [text.get_window_extent(renderer) for text in figure.texts]
    axes_of = figure.axes
    keys = [line.get_window_extent(renderer) for line in figure.lines]
    ticks = [[label.get_window_extent(renderer) for label in labels(ax, axis)] for ax in axes_of for axis in ("x", "y")]
    return Bbox(figure.bbox.get_points()), texts + keys, ticks


@pytest.mark.parametrize("kind", thinned(3, FIGURES))
@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 19])
def test_nothing_overlaps_or_leaves_the_page(kind: str, count: int) -> None:
    """Titles, legends and tick labels are inside the figure; legends are beside the panels; ticks do not touch."""
    names = [f"{name}{i}" for i in range(3) for name in ESTIMATORS][:count]
    rows = [
        measured(name[:-1], tau, n, method, label=f"{name} a label[of=some,length=1]", problem="a problem " * 12)
        for name in names
        for tau in ((0.1, 0.3, 1.0, 3.0) if ESTIMATORS[name[:-1]][1] is not None else (NAN,))
        for n in (1, 10, 100, 1000)
        for method in ("exact", "monte_carlo")
    ] + [measured("gumbel", tau, n, "exact", label="g") for tau in (0.2, 0.9) for n in (1, 2)]
    run = finished(readable(frame(rows)))
    figure = DRAWN_BY[kind](
        run[run["problem"].str.startswith("a problem")] if count > 2 else run.assign(problem="p"), 0.95
    )
    if figure is None:
        assert kind == "temperature"
        return
    page, outside, ticks = boxes(figure)
    for box in outside + [box for axis in ticks for box in axis]:
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    for box in outside:
        for ax in figure.axes:
            assert not box.overlaps(ax.get_window_extent())
    for axis in ticks:
        for one, two in itertools.combinations(axis, 2):
            assert not one.overlaps(two)


def test_scales_round_trip_through_the_axes() -> None:
    """A scale on either axis has its limits, and 0 with a break."""
    axis: Literal["x", "y"]
    for axis in ("x", "y"):
        ax = axes()
        Scale(1e-3, 1.0, 1e-4).apply(ax, axis)
        low, high = ax.get_xlim() if axis == "x" else ax.get_ylim()
        assert low < 1e-4
        assert math.isclose(high, 1.0)
        assert labels(ax, axis)[0].get_text() == "0"
        assert [mark.get_clip_on() for mark in ax.lines] == [True, False, False, False]  # lines, strokes, and the break


def test_temperature_names_those_that_have_one_and_as_many_others_as_looks_allow() -> None:
    """Heated estimators come first; the unheated ones left over are faint, and counted in the remarks."""
    labels = [f"level{i}" for i in range(9)]
    rows = [measured("ste", NAN, 1, "exact", label=label) for label in labels]
    rows += [measured("gumbel", tau, 1, "exact", label="hot") for tau in (0.5, 1.0)]
    figure = DRAWN_BY["temperature"](finished(readable(frame(rows))), 0.95)
    assert figure is not None
    legend = [text.get_text() for text in figure.texts[2:]]
    assert legend[: len(LOOKS)] == ["hot", *labels[: len(LOOKS) - 1]]
    assert "2 more without a temperature" in figure.texts[1].get_text()
    assert "the others" in legend
    assert len(figure.axes) == 2


def test_middle_temperature_is_said_where_it_is_used() -> None:
    """The lower of two middle temperatures, of all that occur."""
    run = shown_rows(samples=(1, 2))
    for kind in ("samples", "cosine"):
        figure = DRAWN_BY[kind](run, 0.95)
        assert figure is not None
        assert "τ = 0.5 or nearest" in figure.texts[1].get_text()
    assert middle_temperature(run[run["temperature"].isna() | (run["temperature"] > 0.2)]) == 0.5
    assert math.isnan(middle_temperature(run[run["temperature"].isna()]))


def test_pictures_are_opaque_and_say_their_resolution(tmp_path: Path) -> None:
    """A PNG has three channels and as many pixels as inches times dots."""
    drawn = Image.open(draw(results(), tmp_path, ["overview"])[0])
    assert drawn.mode == "RGB"
    assert drawn.info["dpi"] == pytest.approx((RC["savefig.dpi"],) * 2, rel=1e-3)
    assert drawn.getpixel((0, 0)) == (255, 255, 255)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_png_holds_every_pixel(height: int, width: int, seed: int) -> None:
    """Any picture of any size is read again as it was."""
    colours = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    read = Image.open(io.BytesIO(png(colours, 160.0)))
    assert read.mode == "RGB"
    assert np.array_equal(np.asarray(read), colours)


def test_every_kind_of_figure_is_drawn_by_something() -> None:
    """The kinds that the command line and the report name are those that there are functions for."""
    assert list(DRAWN_BY) == list(FIGURES | OF_TRAININGS)
    assert set(IN_REPORT) <= set(DRAWN_BY)
