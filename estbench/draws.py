"""Draws: base noise, with weights or without, and all that estimators derive from it, computed once when first used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from estbench.distributions import Independent, Mirrored, Noisy
from estbench.errors import UsageError
from estbench.problem import Problem
from estbench.rounding import rounding
from estbench.streams import Streams, Uniforms
from estbench.tensor_versions import cached_property, leave_untracked, shared_tensors, track, written

MAIN = "main"


_Stream = tuple[str, tuple[int, ...] | None, bool]
"""The name and shape of a stream (None: the exponentials of the distribution), and whether it is one per replicate."""


class Draw:
    """R replicates of N samples of a problem's variables: base noise, and all that is derived from it, computed once.

    Letters: R replicates, N samples, D variables, K classes. Samples have shape [R, N, D] or, one-hot, [R, N, D, K].
    A Monte Carlo draw reads its noise from `streams`; a weighted draw (`weights` [R], summing to 1 over the whole draw)
    is given what it needs: `z` itself for an estimator that depends on z alone, or named `noise` at quadrature nodes.
    `shard` is the number of replicates of one shard: the draw is a whole number of shards, or a part of one.

    Where the logits have batch axes, each replicate is one entry of the batch, in order: R is the product of these
    axes, and takes their place in all shapes.

    A draw that is not `watched` cannot tell what was `written` into: nobody asks in training, and it costs.
    """

    problem: Problem
    distribution: Independent
    R: int
    N: int
    shard: int
    weights: Tensor | None
    _streams: Uniforms | None
    _watched: bool
    _given: dict[str, Tensor]
    _noise: dict[_Stream, Tensor]
    _kept_noisy: dict[int | None, Noisy]
    _relaxed: dict[int | None, Relaxed]
    _first_read: int
    _reads: list[int]

    def __init__(
        self,
        problem: Problem,
        replicates: int,
        samples: int,
        *,
        streams: Uniforms | None = None,
        shard: int | None = None,
        noise: Mapping[str, Tensor] | None = None,
        z: Tensor | None = None,
        weights: Tensor | None = None,
        watched: bool = True,
    ) -> None:
        batch = problem.distribution.batch_shape
        if len(batch) > 1:
            problem = problem.with_flat_batch()
            batch = problem.distribution.batch_shape
        if batch not in ((), (replicates,)):
            raise UsageError(f"one replicate for each entry of the batch of logits: {batch[0]}, not {replicates}")
        vars(self).update(
            problem=problem,
            distribution=problem.distribution,
            R=replicates,
            N=samples,
            shard=replicates if shard is None else shard,
            weights=weights,
            _streams=streams,
            _watched=watched,
            _given=dict(noise or {}),
            _noise={},
            _kept_noisy={},
            _relaxed={},
            _first_read=0 if streams is None else streams.reads,
            _reads=[0],
        )
        if z is not None:
            vars(self)["z"] = z
        if not watched:
            leave_untracked(self, problem, self.distribution)
            return
        track(self, "logits", vars(self.distribution), "logits")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        """Refused with AttributeError: all estimators read the same attributes."""
        raise AttributeError(f"a draw is shared by all estimators: {name} cannot be set")

    def with_same_noise(self) -> Draw:
        """A draw of the same base noise, with nothing derived from it yet."""
        twin = Draw(
            self.problem,
            self.R,
            self.N,
            streams=self._streams,
            shard=self.shard,
            noise=self._given,
            watched=self._watched,
        )
        twin._noise.update(self._noise)
        return twin

    def split(self, size: int, streams: Sequence[str]) -> Iterator[Draw]:
        """The replicates in order, so many at a time: draws of the same base noise, in the streams of these names.

        Of one shard that is read on the CPU no more than that is held at once: the noise is made again each time.
        """
        again = self._again()
        tail, dtype = (self.N, *self.distribution.event_shape), self.distribution.logits.dtype

        def noise(name: str, start: int, rows: int) -> Tensor:
            if again is None:
                return self.noise(name)[start : start + rows]
            return self.distribution.base_noise(again.uniform(name, rows, *tail, dtype=dtype, reader="noise"))

        for start in range(0, self.R, size):
            rows = min(size, self.R - start)
            yield Draw(self.problem, rows, self.N, noise={name: noise(name, start, rows) for name in streams})

    def head(self, rows: int) -> Draw:
        """A draw of the first replicates alone, or of more where only all can be read: uniforms have the same rows."""
        again = self._again()
        return self if again is None else Draw(self.problem, rows, self.N, streams=again)

    def _again(self) -> Streams | None:
        """The streams from their beginning, where they can be read in pieces: those of one shard, on the CPU."""
        streams = self._streams
        one = isinstance(streams, Streams) and streams.in_pieces and self.shard == self.R
        return cast(Streams, streams).again() if one else None

    def uniform(self, name: str, *shape: int, per_replicate: bool = False) -> Tensor:
        """Uniforms of a named stream: [R, N, *shape], or [R, *shape] where the replicate needs but one.

        A stream is its name, its shape, and whether it is one per replicate: those that differ in one are independent.
        """
        stream = (name, shape, per_replicate)
        if stream not in self._noise:
            tail = shape if per_replicate else (self.N, *shape)
            if name in self._given:
                return self._of_given(name, tail)
            plain = shape == self.distribution.event_shape and not per_replicate
            seed = name if plain else f"{name} {list(shape)}" + " per replicate" * per_replicate
            self._noise[stream] = self._read(name, seed, tail)
            track(self, f"noise '{name}'", self._noise, stream)
        return self._noise[stream]

    def noise(self, name: str = MAIN) -> Tensor:
        """The distribution's base noise of a named stream: uniforms [R, N, D], or exponentials [R, N, D, K]."""
        if name in self._given:
            return self._given[name]  # base noise as it is
        stream = (name, None, False)
        if stream not in self._noise:
            u = self._read(name, name, (self.N, *self.distribution.event_shape), "noise")
            self._noise[stream] = self.distribution.base_noise(u)
            if self._watched:
                track(self, f"noise '{name}'", self._noise, stream)
        return self._noise[stream]

    def _read(self, name: str, seed: str, tail: tuple[int, ...], reader: str = "") -> Tensor:
        if self._streams is None:
            have = ", ".join(self._given) or "none"
            raise LookupError(
                f"this draw holds no noise named '{name}' (it holds: {have}); declare it in facts.noise, with "
                "exact='smooth' (and in `breakpoints`, if the uniforms are the estimator's own), or say exact='none'"
            )
        rows = self.shard if self.R % self.shard == 0 else self.R
        self._reads[0] += 1
        return self._streams.uniform(seed, rows, *tail, dtype=self.distribution.logits.dtype, reader=reader)

    def _of_given(self, name: str, tail: tuple[int, ...]) -> Tensor:
        given = self._given[name]
        if given.shape != (self.R, *tail):
            raise LookupError(
                f"this draw holds noise named '{name}' of shape {list(given.shape)}, not {[self.R, *tail]}; where a "
                "name has several shapes, or is read once per replicate, say exact='none'"
            )
        return given

    def written(self) -> Iterator[str]:
        """What was written into of all that estimators share, by name: none of it may be."""
        for kept in self._owners():
            yield from written(kept)
        if self._streams is not None and self._streams.reads != self._first_read + self._reads[0]:
            yield "the streams (ask the draw: draw.uniform(name, ...))"

    def shared(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors that estimators share and that were made so far, by name."""
        return ((label, tensor) for kept in self._owners() for label, tensor in shared_tensors(kept))

    def _owners(self) -> tuple[object, ...]:
        return self, self.problem, self.distribution, *self._kept_noisy.values(), *self._relaxed.values()

    def differences(self, clean: Draw) -> Iterator[str]:
        """The names of the tensors kept here that differ from those of an untouched draw of the same noise."""
        pairs = [(self, clean), (self.problem, clean.problem), (self.distribution, clean.distribution)]
        pairs += [(kept, clean.relaxed(kept.tau, redraw)) for redraw, kept in self._relaxed.items()]
        for mine, theirs in pairs:
            for name, value in list(vars(mine).items()):
                if isinstance(value, Tensor) and not _equal(value, getattr(theirs, name)):
                    yield name
        for (name, shape, per_replicate), value in self._noise.items():
            other = clean.noise(name) if shape is None else clean.uniform(name, *shape, per_replicate=per_replicate)
            if not _equal(value, other):
                yield f"noise '{name}'"

    @property
    def logits(self) -> Tensor:
        """The logits, [D(, K)], with the axes of a batch before them."""
        return self.distribution.logits

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
    def deviation(self) -> Tensor:
        """z − E z, like z: the score itself where the link is canonical."""
        return self.score if self.distribution.canonical else self.distribution.deviation(self.z)

    @cached_property
    def fz(self) -> Tensor:
        """f(z), [R, N]."""
        return self.problem.f(self.z)

    @cached_property
    def dfz(self) -> Tensor:
        """g = ∇f(z), like z."""
        return self.distribution.values_vjp(self._df_values) if self.problem.ordinal else self.problem.df(self.z)

    @cached_property
    def _df_values(self) -> Tensor:
        return self.problem.df_inputs(self.z)

    @cached_property
    def straight_through(self) -> Tensor:
        """(dE z/dlogits)ᵀ ∇f(z), like z: J(π) (dv/dz)ᵀ ∂f/∂v.

        Where f is of values v, J(π) (dv/dz)ᵀ is the same for all z.
        """
        d = self.distribution
        return d.mean_jac_values(self._df_values) if self.problem.ordinal else d.mean_jac(self.dfz)

    def df(self, h: Tensor) -> Tensor:
        """∇f(h), like h, computed once where h is z or a relaxed sample that is kept here."""
        if h is vars(self).get("z"):
            return self.dfz
        for relaxed in self._relaxed.values():
            if vars(relaxed).get("y") is h:
                return relaxed.df
        return self.problem.df(h)

    def mean_jac(self, g: Tensor) -> Tensor:
        """(dE z/dlogits)ᵀ g, computed once where g is ∇f(z)."""
        return self.straight_through if g is vars(self).get("dfz") else self.distribution.mean_jac(g)

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
        mirror = cast(Mirrored, d).mirror  # `isinstance` of a protocol would take longer
        return d.sample(mirror(self.noise()))

    @cached_property
    def antithetic_difference(self) -> Tensor:
        """f of the mirrored samples less f(z), [R, N]."""
        return self.problem.difference(self.problem.f(self.antithetic), self.fz)

    def total(self, terms: Tensor) -> Tensor:
        """Σ_n t_n of terms [R, N, …], 0 where they cancel but for rounding, which would count as a direction.

        Joint estimators take their last sum by it. Where differences of f keep their rounding, as in training
        (`Problem.zero_rounding`), so does the sum.
        """
        total = over_samples(terms)
        if self.problem.zero_rounding:
            leave_no_rounding([total], terms, [terms.shape[1]])
        return total

    def cancelled(self, total: Tensor, size: Tensor, summands: int) -> Tensor:
        """A sum, 0 where it is rounding, as `total` has it: `size` is the sum of the |t| of so many summands."""
        if not self.problem.zero_rounding:
            return total
        least = size * rounding(summands, total.dtype)
        return torch.where((total.abs() <= least) & (least < math.inf), 0.0, total)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """a·b within each variable, shaped to multiply samples, 0 where the products of its classes cancel."""
        d = self.distribution
        return d.dot_unless_rounding(a, b) if self.problem.zero_rounding else d.dot(a, b)

    def lift(self, numbers: Tensor) -> Tensor:
        """Shape numbers [R, N] to multiply samples."""
        return self.distribution.lift(numbers)

    def relaxed(self, tau: float, redraw: int | None = None) -> Relaxed:
        """The relaxed samples at temperature τ of x, or of x redrawn given z from the stream `redraw/<number>`.

        Only the last temperature is kept: a sweep over many goes through them in order.
        """
        kept = self._relaxed.get(redraw)
        if kept is None or kept.tau != tau:
            kept = self._relaxed[redraw] = Relaxed(self.problem, self._noisy(redraw), tau)
        return kept

    def _noisy(self, redraw: int | None = None) -> Noisy:
        if redraw not in self._kept_noisy:
            d = self.distribution
            x = d.noisy(self.noise()) if redraw is None else d.conditional(self.z, self.redraw(redraw))
            self._kept_noisy[redraw] = x
            if not self._watched:
                leave_untracked(x)
                return x
            for part, value in list(vars(x).items()):
                if isinstance(value, Tensor):
                    track(x, "the noisy logits", vars(x), part)
        return self._kept_noisy[redraw]

    def redraw(self, number: int) -> Tensor:
        """Base noise for one redraw of x given z."""
        return self.noise(f"redraw/{number}")

    def redraw_vjp(self, number: int, h: Tensor) -> Tensor:
        """(dx̃/dlogits)ᵀ h of that redraw x̃, like z."""
        return self.distribution.conditional_vjp(self.z, self.redraw(number), h, self._noisy(number))


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-12, atol=0.0, equal_nan=True)


def over_samples(t: Tensor) -> Tensor:
    """Σ_n t_n of t [R, N, …]: [R, …]; a few are added one by one, as sums over a short axis are slow."""
    return reduce(torch.add, t.unbind(1)) if t.shape[1] <= 4 else t.sum(1)


def leave_no_rounding(sums: Iterable[Tensor], terms: Tensor, samples: Sequence[int]) -> None:
    """Make 0 what is left of sums over the first N terms that cancel: at most (2 + √N) eps Σ |t|."""
    on_cpu = terms.device.type == "cpu"  # elsewhere, asking would wait for the device
    norm = float(torch.linalg.vector_norm(terms)) if on_cpu else math.inf  # Σ_n |t_n| ≤ √N norm
    for total, N in zip(sums, samples, strict=True):
        eps = rounding(N, terms.dtype)
        if norm < math.inf and torch.equal(hardshrink(total, eps * math.sqrt(N) * norm), total):
            continue  # none but 0 is small enough
        least = over_samples(terms[:, :N].abs()).mul_(eps)
        total.masked_fill_((total.abs() <= least) & (least < math.inf), 0.0)


def per_variable(a: Tensor, M: Tensor) -> Tensor:
    """a M, variable by variable: a [R, N, D, i] times M [D, i, j], or [R, 1, D, i, j], is [R, N, D, j]."""
    if M.ndim == 3:
        return torch.einsum("rndi,dij->rndj", a, M)
    return torch.einsum("rndi,rdij->rndj", a, M.squeeze(1))


class Relaxed:
    """y = σ(x/τ) or softmax(x/τ), with f(y) and ∇f(y), each computed once.

    It does not know the draw that keeps it: what refers to itself is freed late, and blocks are large.
    """

    def __init__(self, problem: Problem, noisy: Noisy, tau: float) -> None:
        self._problem, self._noisy, self.tau = problem, noisy, tau

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

    def vjp(self, g: Tensor) -> Tensor:
        """(dy/dx)ᵀ g = J(y) g/τ, like z."""
        return self._noisy.vjp(self.y, self.tau, g)
