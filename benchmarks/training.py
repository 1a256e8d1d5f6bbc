"""What a training step costs over the same step written by hand.

`python benchmarks/training.py [--steps N] [--out benchmarks/training.md]` writes a page with one table.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from benchmarks.throughput import processor
from estbench.distributions import Bernoulli, Categorical
from estbench.training import expectation, sample

BATCH = 100
LIMITS = {784: 1.10, 32: 1.30}
HEAD = """# A training step against one by hand

An autoencoder of two linear layers and a discrete code between them, batch {batch}, float32, Adam, binary cross
entropy: a whole step, with backward pass and update, over the same step in plain PyTorch. Processor time of one thread,
both steps by turns in one process: the median ratio of {steps} pairs (quartiles), and the median milliseconds of the
step by hand. Other processes may have run beside; pairs make the ratios robust to that, the milliseconds less so.

{cpu}, torch {torch}, Python {python}. `python benchmarks/training.py` writes this page anew.

The bars are 1.10 for 784–200–784 and 1.30 for 32–20–32; **bold** is what misses its bar. Unless `samples=None` is
given, `expectation` calls f with an axis of samples, [batch, N, …], which the steps by hand with one sample do without:
one row shows what that alone costs a step by hand.

| step | code | 784–200–784 | by hand, ms | 32–20–32 | by hand, ms |
|---|---|---|---|---|---|
"""

Loss = Callable[[nn.Module, nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Pair:
    """The same step twice; K = 1 stands for Bernoulli variables."""

    name: str
    code: str
    K: int
    by_hand: Loss
    ours: Loss


def nll(decoder: nn.Module, z: Tensor, x: Tensor) -> Tensor:
    """[B, H] to [B]; or [B, N, H] to [B, N] of x [B, 1, X]."""
    return F.binary_cross_entropy_with_logits(decoder(z), x.expand(*z.shape[:-1], -1), reduction="none").sum(-1)


def log_prob(logits: Tensor, z: Tensor) -> Tensor:
    return -F.binary_cross_entropy_with_logits(logits, z, reduction="none").sum(-1)


def hand_gumbel(encoder: nn.Module, decoder: nn.Module, x: Tensor, *, hard: bool = False) -> Tensor:
    y = F.gumbel_softmax(encoder(x).unflatten(-1, (-1, 10)), tau=0.5, hard=hard)
    return nll(decoder, y.flatten(1), x).mean()


def hand_gumbel_st(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    return hand_gumbel(encoder, decoder, x, hard=True)


def hand_reinmax(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    """Algorithm 2 of Liu et al. 2023 with the stop-gradient trick, as their package has it in custom functions."""
    logits = encoder(x).unflatten(-1, (-1, 10))
    pi = logits.softmax(-1)
    z = F.one_hot(torch.multinomial(pi.detach().flatten(0, 1), 1).view(pi.shape[:-1]), 10).to(pi)
    halfway = (pi.detach() + z) / 2
    pi_1 = (halfway.log().detach() + logits - logits.detach()).softmax(-1)
    backward = 2 * pi_1 - pi / 2
    return nll(decoder, (backward + (z - backward).detach()).flatten(1), x).mean()


def hand_concrete(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    logits = encoder(x)
    u = torch.rand_like(logits).clamp(1e-7, 1 - 1e-7)
    return nll(decoder, torch.sigmoid((logits + u.log() - (-u).log1p()) / 0.5), x).mean()


def hand_ste(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    p = torch.sigmoid(encoder(x))
    z = torch.bernoulli(p.detach())
    return nll(decoder, z + p - p.detach(), x).mean()


def hand_ste_of_samples(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    """The same with an axis of samples in f, as `expectation` calls it."""
    p = torch.sigmoid(encoder(x)).unsqueeze(1)
    z = torch.bernoulli(p.detach())
    return nll(decoder, z + p - p.detach(), x.unsqueeze(1)).mean(1).mean()


def hand_reinforce(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    logits = encoder(x)
    z = torch.bernoulli(torch.sigmoid(logits.detach()))
    f = nll(decoder, z, x)
    surrogate = f.detach() * log_prob(logits, z)
    return (f + surrogate - surrogate.detach()).mean()


def hand_rloo(encoder: nn.Module, decoder: nn.Module, x: Tensor, N: int = 4) -> Tensor:
    logits = encoder(x).unsqueeze(1)
    z = torch.bernoulli(torch.sigmoid(logits.detach()).expand(-1, N, -1))
    f = nll(decoder, z, x.unsqueeze(1))
    weight = ((f - f.mean(1, keepdim=True)) / (N - 1)).detach()
    surrogate = (weight * log_prob(logits.expand_as(z), z)).sum(1)
    return (f.mean(1) + surrogate - surrogate.detach()).mean()


def hand_disarm(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    logits = encoder(x)
    p, u = torch.sigmoid(logits.detach()), torch.rand_like(logits)
    z, twin = (u < p).float(), (u > 1 - p).float()
    f = nll(decoder, z, x)
    with torch.no_grad():
        g = 0.5 * (nll(decoder, twin, x) - f).unsqueeze(-1) * (twin - z) * torch.maximum(p, 1 - p)
    surrogate = (g * logits).sum(-1)
    value: Tensor = (f + surrogate - surrogate.detach()).mean()
    return value


def sampled(text: str, K: int) -> Loss:
    """A step with `sample`."""
    if K == 1:
        return lambda encoder, decoder, x: nll(decoder, sample(Bernoulli(encoder(x)), text), x).mean()
    return lambda encoder, decoder, x: nll(
        decoder, sample(Categorical(encoder(x).unflatten(-1, (-1, K))), text).flatten(1), x
    ).mean()


def expected_of_one(text: str) -> Loss:
    """A step with `expectation` and `samples=None`."""
    return lambda encoder, decoder, x: expectation(
        lambda z: nll(decoder, z, x), Bernoulli(encoder(x)), text, samples=None
    ).mean()


def expected(text: str, N: int = 1) -> Loss:
    """A step with `expectation`, whose f has an axis of samples."""
    return lambda encoder, decoder, x: expectation(
        lambda z: nll(decoder, z, x.unsqueeze(1)), Bernoulli(encoder(x)), text, N
    ).mean()


HALF = "gumbel[temperature=0.5]"
HALF_ST = "gumbel_st[temperature=0.5]"
ONE, AXIS = "`expectation`, `samples=None`", "`expectation`"
PAIRS = (
    Pair("gumbel, K = 10", "`sample`", 10, hand_gumbel, sampled(HALF, 10)),
    Pair("gumbel, Bernoulli", "`sample`", 1, hand_concrete, sampled(HALF, 1)),
    Pair("gumbel, Bernoulli", ONE, 1, hand_concrete, expected_of_one(HALF)),
    Pair("gumbel, Bernoulli", AXIS, 1, hand_concrete, expected(HALF)),
    Pair("gumbel_st, K = 10", "`sample`", 10, hand_gumbel_st, sampled(HALF_ST, 10)),
    Pair("reinmax, K = 10", "`sample`", 10, hand_reinmax, sampled("reinmax", 10)),
    Pair("ste, Bernoulli", "`sample`", 1, hand_ste, sampled("ste", 1)),
    Pair("ste, Bernoulli", ONE, 1, hand_ste, expected_of_one("ste")),
    Pair("ste, Bernoulli", AXIS, 1, hand_ste, expected("ste")),
    Pair("ste by hand, f with an axis of samples", "–", 1, hand_ste, hand_ste_of_samples),
    Pair("reinforce, Bernoulli", ONE, 1, hand_reinforce, expected_of_one("reinforce")),
    Pair("reinforce, Bernoulli", AXIS, 1, hand_reinforce, expected("reinforce")),
    Pair("rloo, N = 4, Bernoulli", AXIS, 1, hand_rloo, expected("rloo", 4)),
    Pair("disarm, Bernoulli", ONE, 1, hand_disarm, expected_of_one("disarm")),
    Pair("disarm, Bernoulli", AXIS, 1, hand_disarm, expected("disarm")),
)


def stepper(loss: Loss, width: int) -> Callable[[], None]:
    """A step of training of a network of its own, from the same start."""
    torch.manual_seed(1)
    hidden = 200 if width == 784 else 20
    encoder, decoder = nn.Linear(width, hidden), nn.Linear(hidden, width)
    x = (torch.rand(BATCH, width) < 0.3).float()
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        loss(encoder, decoder, x).backward()
        optimiser.step()

    return step


def seconds(step: Callable[[], None]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def measured(pair: Pair, width: int, steps: int) -> tuple[float, float, float, float]:
    """The median ratio, its quartiles, and the median milliseconds by hand."""
    theirs, ours = stepper(pair.by_hand, width), stepper(pair.ours, width)
    for _ in range(5):
        theirs(), ours()
    found = []
    for i in range(steps):
        first, second = (theirs, ours) if i % 2 else (ours, theirs)
        one, two = seconds(first), seconds(second)
        found.append((one, two) if i % 2 else (two, one))
    ratios = [b / a for a, b in found]
    low, _, high = quantiles(ratios, n=4)
    return median(ratios), low, high, 1e3 * median(a for a, _ in found)


def rows(steps: int) -> Iterator[str]:
    """The lines of the table."""
    for pair in PAIRS:
        line = [pair.name, pair.code]
        for width, limit in LIMITS.items():
            many = steps if width == 784 else 4 * steps  # they are short
            ratio, low, high, ms = measured(pair, width, many)
            shown = f"{ratio:.2f}" if round(ratio, 2) <= limit else f"**{ratio:.2f}**"
            line += [f"{shown} ({low:.2f}–{high:.2f})", f"{ms:.2f}"]
        yield f"| {' | '.join(line)} |"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description="Measure training steps against hand-written ones.")
    parser.add_argument("--steps", type=int, default=150, help="pairs of steps [150]")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("training.md"), help="page to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts = {"cpu": processor(), "torch": torch.__version__, "python": platform.python_version()}
    lines = []
    for line in rows(options.steps):
        print(line, flush=True)
        lines.append(line)
    options.out.write_text(HEAD.format(batch=BATCH, steps=options.steps, **facts) + "\n".join(lines) + "\n")
    print(f"training: written to {options.out}")


if __name__ == "__main__":
    main()
