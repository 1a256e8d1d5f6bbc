"""Draws: base noise (with weights or without) and, lazily and once, all that estimators derive from it.

The only module that makes random numbers. There is one stream per (seed, problem, shard, stream name), so what an
estimator sees does not hang on which other estimators run, in what order, on how many workers, or after a resume.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, reduce
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from estbench.distributions import Mirrored, Noisy
from estbench.errors import UsageError
from estbench.problem import Problem

MAIN = "main"
_TINY = {torch.float64: 2.0**-54, torch.float32: 2.0**-25}


class Streams:
    """The named streams of uniforms of some shards of one problem, read block by block.

    On the CPU numbers come from numpy's SFC64: twice as fast as torch's generator, and the same whether read at once or
    in pieces. On an accelerator they are made there, by one torch generator per stream and job.
    """

    def __init__(self, seed: int, problem: str, shards: range, device: str = "cpu") -> None:
        self._entropy = (seed, _number(problem))
        self._shards = shards
        self._device = torch.device(device)
        self._generators: dict[str, list[np.random.Generator]] = {}
        self._device_generators: dict[str, torch.Generator] = {}

    def uniform(self, name: str, rows: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """The next `rows` rows of every shard, one shard after the other: [shards · rows, *shape], inside (0, 1)."""
        total = (len(self._shards) * rows, *shape)
        if self._device.type != "cpu":
            made = torch.rand(total, generator=self._device_generator(name), device=self._device, dtype=dtype)
            return made.clamp_(_TINY[dtype], 1 - 2 * _TINY[dtype])
        if name not in self._generators:
            self._generators[name] = [self._generator(name, shard) for shard in self._shards]
        u = np.empty(total)
        for i, generator in enumerate(self._generators[name]):
            generator.random(out=u[i * rows : (i + 1) * rows])
        uniforms = torch.from_numpy(u).clamp_(min=_TINY[torch.float64])  # 0 does occur, and its logarithm is infinite
        if dtype != torch.float64:
            uniforms = uniforms.to(dtype).clamp_(_TINY[dtype], 1 - 2 * _TINY[dtype])
        return uniforms

    def _generator(self, name: str, shard: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence((*self._entropy, shard, _number(name)))))

    def _device_generator(self, name: str) -> torch.Generator:
        if name not in self._device_generators:
            sequence = np.random.SeedSequence((*self._entropy, self._shards.start, _number(name)))
            seed = int(sequence.generate_state(1, np.uint64)[0] >> 1)
            self._device_generators[name] = torch.Generator(self._device).manual_seed(seed)
        return self._device_generators[name]


def _number(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


class Draw:
    """R replicates of N samples of a problem's variables: base noise, and all that is derived from it, computed once.

    Letters: R replicates, N samples, D variables, K classes. Samples have shape [R, N, D] or, one-hot, [R, N, D, K].
    A Monte Carlo draw reads its noise from `streams`; a weighted draw (`weights` [R], summing to 1 over the whole draw)
    is given what it needs: `z` itself for an estimator that depends on z alone, or named `noise` at quadrature nodes.
    `shard` is the number of replicates of one shard: the draw is a whole number of shards, or a part of one.

    Where the logits have batch axes, each replicate is one entry of the batch, in order: R is the product of these
    axes, and takes their place in all shapes.
    """

    def __init__(
        self,
        problem: Problem,
        replicates: int,
        samples: int,
        *,
        streams: Streams | None = None,
        shard: int | None = None,
        noise: Mapping[str, Tensor] | None = None,
        z: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.problem = problem = problem.with_flat_batch()
        self.distribution = problem.independent
        if problem.distribution.batch_shape not in ((), (replicates,)):
            shape = list(problem.distribution.batch_shape)
            raise UsageError(
                f"the logits have a batch of shape {shape}, so a draw has as many replicates, not {replicates}"
            )
        self.R, self.N = replicates, samples
        self.shard = replicates if shard is None else shard
        self.weights = weights
        self._streams = streams
        self._noise = dict(noise or {})
        self._kept_noisy: dict[int | None, Noisy] = {}
        self._relaxed: dict[int | None, Relaxed] = {}
        if z is not None:
            self.z = z

    def again(self) -> Draw:
        """A draw of the same base noise, with nothing derived from it yet."""
        return Draw(self.problem, self.R, self.N, streams=self._streams, shard=self.shard, noise=self._noise)

    def uniform(self, name: str, *shape: int, per_replicate: bool = False) -> Tensor:
        """Uniforms of a named stream: [R, N, *shape], or [R, *shape] where the replicate needs but one."""
        if name not in self._noise:
            if self._streams is None:
                have = ", ".join(self._noise) or "none"
                raise LookupError(
                    f"this draw holds no noise named '{name}' (it holds: {have}); declare it in facts.noise, with "
                    "exact='smooth' (and in `breaks`, if the uniforms are the estimator's own), or say exact='none'"
                )
            rows = self.shard if self.R % self.shard == 0 else self.R
            tail = shape if per_replicate else (self.N, *shape)
            dtype = self.distribution.logits.dtype
            self._noise[name] = self._streams.uniform(name, rows, *tail, dtype=dtype)
        return self._noise[name]

    def noise(self, name: str = MAIN) -> Tensor:
        """The distribution's base noise of a named stream: uniforms [R, N, D], or exponentials [R, N, D, K]."""
        made = name not in self._noise
        noise = self.uniform(name, *self.distribution.event_shape)
        if made:  # what is given is base noise as it is
            noise = self._noise[name] = self.distribution.base_noise(noise)
        return noise

    @cached_property
    def z(self) -> Tensor:
        """The samples, [R, N, D(, K)]."""
        d = self.distribution
        return self._noisy().hard if d.samples_by_noisy else d.sample(self.noise())

    @cached_property
    def score(self) -> Tensor:
        """s(z) = ∂ log P(z)/∂ logits, like z."""
        return self.distribution.score(self.z)

    @cached_property
    def fz(self) -> Tensor:
        """f(z), [R, N]."""
        return self.problem.f(self.z)

    @cached_property
    def dfz(self) -> Tensor:
        """g = ∇f(z), like z."""
        return self.distribution.values_pull(self._df_values) if self.problem.ordinal else self.problem.df(self.z)

    @cached_property
    def _df_values(self) -> Tensor:
        return self.problem.df_inputs(self.z)

    @cached_property
    def straight_through(self) -> Tensor:
        """J(π) ∇f(z) = J(π) (dv/dz)ᵀ ∂f/∂v, like z; where f is of values v, J(π) (dv/dz)ᵀ is the same for all z."""
        d = self.distribution
        return d.mean_jac_values(self._df_values) if self.problem.ordinal else d.mean_jac(self.dfz)

    @cached_property
    def x(self) -> Tensor:
        """The noisy logits whose hard threshold or argmax is z, like z."""
        return self._noisy().x

    @cached_property
    def free_x(self) -> Tensor:
        """The noisy logits as logits + noise, where the logits are not normalised, like z."""
        return self.distribution.free_noisy(self.noise(), self._noisy())

    @cached_property
    def antithetic(self) -> Tensor:
        """z of the mirrored noise."""
        d = self.distribution
        assert isinstance(d, Mirrored)
        return d.sample(d.mirror(self.noise()))

    @cached_property
    def antithetic_difference(self) -> Tensor:
        """f of the mirrored samples less f(z), [R, N]."""
        return self.problem.difference(self.problem.f(self.antithetic), self.fz)

    def lift(self, numbers: Tensor) -> Tensor:
        """Shape numbers [R, N] to multiply samples."""
        return self.distribution.lift(numbers)

    def relaxed(self, tau: float, redraw: int | None = None) -> Relaxed:
        """The relaxed samples at temperature τ of x, or of x redrawn given z from the stream `redraw/<number>`.

        Only the last temperature is kept: a sweep over many goes through them in order.
        """
        kept = self._relaxed.get(redraw)
        if kept is None or kept.tau != tau:
            kept = self._relaxed[redraw] = Relaxed(self.problem, self._noisy(redraw), self.z, tau)
        return kept

    def _noisy(self, redraw: int | None = None) -> Noisy:
        if redraw not in self._kept_noisy:
            d = self.distribution
            x = d.noisy(self.noise()) if redraw is None else d.conditional(self.z, self.redraw(redraw))
            self._kept_noisy[redraw] = x
        return self._kept_noisy[redraw]

    def redraw(self, number: int) -> Tensor:
        """Base noise for one redraw of x given z."""
        return self.noise(f"redraw/{number}")

    def redraw_pull(self, number: int, h: Tensor) -> Tensor:
        """(dx̃/dlogits)ᵀ h of that redraw x̃, like z."""
        return self.distribution.conditional_pull(self.z, self.redraw(number), h, self._noisy(number))


def over_samples(t: Tensor) -> Tensor:
    """Σ_n t_n of t [R, N, …]: [R, …]; a few are added one by one, as sums over a short axis are slow."""
    return reduce(torch.add, t.unbind(1)) if t.shape[1] <= 4 else t.sum(1)


class Relaxed:
    """y = σ(x/τ) or softmax(x/τ), with f(y) and ∇f(y), each computed once.

    It knows the samples z, not the draw that keeps it: what refers to itself is freed late, and blocks are large.
    """

    def __init__(self, problem: Problem, noisy: Noisy, z: Tensor, tau: float) -> None:
        self._problem, self._noisy, self._z, self.tau = problem, noisy, z, tau

    @property
    def x(self) -> Tensor:
        """The noisy logits, like z."""
        return self._noisy.x

    @cached_property
    def y(self) -> Tensor:
        """The relaxed samples, like z."""
        return self._noisy.relax(self.tau)

    @cached_property
    def f(self) -> Tensor:
        """f(y), [R, N]."""
        return self._problem.f(self.y)

    @cached_property
    def df(self) -> Tensor:
        """∇f(y), like z."""
        return self._problem.df(self.y)

    def pull(self, g: Tensor) -> Tensor:
        """(dy/dx)ᵀ g = J(y) g/τ, like z."""
        return self._noisy.pull(self.y, self._z, self.tau, g)
