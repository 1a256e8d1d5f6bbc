"""An estimator beside members of the catalogue: their figures on one problem, and those that it equals."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from estbench.card.findings import Beside
from estbench.card.members import Member, draw_by_draw, figures, in_law, members, nearest, serves
from estbench.card.problems import Probe
from estbench.card.sampling import sample
from estbench.card.setting import Setting

FIGURES = 4096
"""Estimates behind each figure of a member."""


def compared(setting: Setting, probe: Probe, N: int) -> Beside:
    """Figures beside members of the catalogue."""
    whole = members(setting.name, setting.temperatures[:3])
    x = sample(probe.problem, setting.estimator, N, setting.R, "figures")
    mine = figures(setting.subject.label, setting.estimator, probe.problem, N, x)
    others = [c for c in whole if c.estimator != setting.estimator]
    near = nearest(mine, probe.problem, others, FIGURES)
    return Beside(setting.name, probe.label, (mine, *near), equal(setting, probe, N, x, whole))


def equal(setting: Setting, probe: Probe, N: int, x: Tensor, whole: Sequence[Member]) -> str:
    """The member that it equals, draw by draw or, by its estimates x, in law; empty where there is none."""
    own = type(setting.estimator)
    others = [c for c in whole if type(c.estimator) is not own]
    if setting.subject.function is None or setting.subject.form == "advantages":
        label, factor = draw_by_draw(probe.problem, setting.estimator, N, others)
        if label:
            same = f"the same as `{label}`" if factor == 1 else f"{factor:.4g} times `{label}`"
            return f"{same}, draw by draw"
    alike = _alike(setting, probe, N, x, others)
    if not alike:
        return ""
    return f"the same as {' and '.join(f'`{a}`' for a in alike[:3])}, in law as far as {setting.R} estimates tell"


def _alike(setting: Setting, probe: Probe, N: int, x: Tensor, others: Sequence[Member]) -> list[str]:
    """The members with the same law on a problem and on the one of a single variable."""
    likely = [c for c in others if serves(c.estimator, probe.problem, N)]
    alike = in_law(x, probe.problem, N, likely)
    one = setting.role("one")
    if alike and one is not probe:
        y = sample(one.problem, setting.estimator, N, setting.R, "law one")
        alike = in_law(y, one.problem, N, [c for c in likely if c.label in alike])
    return alike
