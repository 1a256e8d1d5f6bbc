"""Figures of trainings: metrics against the checkpoint, and losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from estbench.plots import draw
from estbench.plots.checkpoints import checkpoints, of_training, relative
from estbench.plots.losses import losses
from estbench.views import finished, readable
from tests.frames import frame, row
from tests.sizes import slow

EPOCHS = (0, 2, 10)


def trained(epochs: tuple[int, ...] = EPOCHS) -> pd.DataFrame:
    """Results of two estimators at each checkpoint of one training; the gradient becomes shorter."""
    rows = []
    for epoch in epochs:
        for name, method in (("ste", "exact"), ("ste", "monte_carlo"), ("rloo", "monte_carlo")):
            rows.append(
                row(
                    problem=f"vae D=3, trained by exact, epoch {epoch}, encoder",
                    estimator=name,
                    label=name,
                    method=method,
                    true_norm=1 / (1 + epoch),
                    bias_squared=0.1,
                    bias_squared_high=0.2,
                    variance=0.5,
                    cosine=0.5 if method == "monte_carlo" else np.nan,
                    kind="network",
                    checkpoint=epoch,
                )
            )
    return frame(rows)


def along() -> pd.DataFrame:
    """Losses of three trainings at each checkpoint."""
    rows = [
        {
            "kind": "network", "problem": "vae", "network": "vae", "distribution": "categorical", "dimensions": 3,
            "categories": 8, "trained_by": name,
            "samples": 1, "checkpoint": epoch, "data": data, "seeds": 5, "loss": loss, "loss_low": loss - 0.2,
            "loss_high": loss + 0.2, "loss_q05": loss - 1, "loss_q50": loss, "loss_q95": loss + 1, "share_worse": 0.0,
            "open_share": np.nan, "open_share_low": np.nan, "open_share_high": np.nan, "open_target": np.nan,
        }
        for k, name in enumerate(("exact", "ste", "rloo N=2"))
        for epoch in EPOCHS
        for data in ("train", "valid")
        for loss in [40 - epoch + k]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_metrics_are_relative_to_the_gradient_at_their_checkpoint() -> None:
    """bias² and variance, and both ends of their intervals, are divided by ‖g‖² of their row."""
    rows = readable(trained())
    found = relative(rows)
    assert np.allclose(found["variance"], 0.5 * (1 + rows["checkpoint"].astype(float)) ** 2)
    assert np.allclose(found["bias_squared_high"], rows["bias_squared_high"] / rows["true_norm"] ** 2, equal_nan=True)
    assert (found["cosine"].dropna() == 0.5).all()


def test_checkpoints_are_evenly_spaced_and_named() -> None:
    """The axis has the epochs as they are, 0 among them; where there is one checkpoint there is no figure."""
    figure = checkpoints(finished(readable(trained())), 0.95)
    assert figure is not None
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"0", "2", "10"} <= set(texts)
    titles = [ax.get_title("left") or ax.get_title() for ax in figure.axes]
    assert titles == ["bias²/‖g‖²", "variance/‖g‖²", "cosine"]
    assert "trained by exact, encoder" in figure.texts[0].get_text()
    assert "‖g‖ = 0.0909 to 1" in figure.texts[1].get_text()
    assert checkpoints(finished(readable(trained((3,)))), 0.95) is None


def test_problems_of_a_training_share_a_name() -> None:
    """The epoch or the step is what they differ in."""
    assert of_training("vae, trained by ste, epoch 30, encoder") == "vae, trained by ste, encoder"
    assert of_training("quadratic, step 100") == "quadratic"


def test_losses_are_ranked_at_the_end_with_the_exact_gradient_on_top() -> None:
    """The panel of the end names every training, the exact one first, or alone, then by loss, each with a band."""
    figure = losses(along(), 0.9)
    assert figure is not None
    curve, end = figure.axes
    names = [text.get_text() for text in end.texts]
    assert names == ["rloo N=2", "ste", "exact"]
    assert len(curve.collections) == 3
    assert "90 % interval" in figure.texts[1].get_text()
    assert losses(along().query("checkpoint == 0"), 0.9) is None
    alone = losses(along().query("trained_by == 'exact'"), 0.9)
    assert alone is not None
    assert [text.get_text() for text in alone.axes[1].texts] == ["exact"]


@pytest.mark.parametrize("kinds", [slow((None,)), ["losses"], ["checkpoints"]])
def test_files(tmp_path: Path, kinds: list[str] | None) -> None:
    """One file for each training and one for each network, beside those of the problems."""
    drawn = draw(trained(), tmp_path, kinds, level=0.95, trainings=along(), processes=1)
    names = {path.name.rsplit("-", 1)[1] for path in drawn}
    assert names == ({"losses.png", "checkpoints.png", "overview.png"} if kinds is None else {f"{kinds[0]}.png"})
    assert sum(path.name.endswith("checkpoints.png") for path in drawn) <= 1


def test_gates_are_shown_against_their_target() -> None:
    """A third panel with the share of open gates of each training, with its interval, and a line at the target."""
    shares = {"open_share": 0.4, "open_share_low": 0.35, "open_share_high": 0.45, "open_target": 0.3}
    figure = losses(along().assign(network="gates", **shares), 0.95)
    assert figure is not None
    *_, ax = figure.axes
    assert (ax.get_title(), ax.get_title("right")) == ("share of open gates", "target 0.3")
    drawn = [np.asarray(line.get_xdata()).tolist() for line in ax.lines]
    assert [drawn.count(x) for x in ([0.3, 0.3], [0.35, 0.45], [0.4])] == [1, 3, 3]


def test_the_importance_weighted_bound_has_a_panel() -> None:
    """A third panel with the bound of each training, its interval and K; none where a run has no bound."""
    rows = along()
    bound = rows["loss"] - 3
    bounds = {"importance_weighted": bound, "importance_weighted_low": bound - 1, "importance_weighted_high": bound + 1}
    figure = losses(rows.assign(**bounds, importance_samples=50), 0.95)
    assert figure is not None
    *_, ax = figure.axes
    assert len(figure.axes) == 3
    assert (ax.get_title(), ax.get_title("right")) == ("importance-weighted bound", "K = 50")
    drawn = [np.asarray(line.get_xdata()).tolist() for line in ax.lines]
    assert all(x in drawn for x in ([26.0, 28.0], [27.0], [28.0], [29.0]))
    without = losses(rows.assign(importance_weighted=np.nan, importance_samples=np.nan), 0.95)
    assert without is not None
    assert len(without.axes) == 2


def test_trajectories_show_how_many_seeds_are_worse() -> None:
    """Losses of logits have no data of their own, steps in place of epochs, and a third panel."""
    rows = along().query("data == 'valid'").assign(kind="trajectory", problem="toy, adam 0.01", data=np.nan)
    figure = losses(rows.assign(share_worse=[0.0] * 3 + [0.4] * 6), 0.95)
    assert figure is not None
    assert [ax.get_title("left") or ax.get_title() for ax in figure.axes] == [
        "loss", "loss after step 10", "seeds worse than at the start",
    ]  # fmt: skip
    assert figure.axes[0].get_xlabel() == "step"
    assert "toy, adam 0.01" in figure.texts[0].get_text()
