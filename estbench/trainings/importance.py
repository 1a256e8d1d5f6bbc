"""The importance-weighted bound of −log p by K samples of the discrete variables of a network.

−E log 1/K Σ_k p(x, z_k)/q(z_k | x), z_k ~ q(z | x): Burda, Grosse & Salakhutdinov (2016, 1509.00519), equation 8. With
K = 1 its expectation is the loss of a variational autoencoder, −ELBO; it falls with K, towards −log p.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from estbench.networks.base import Expect, Function, Variables
from estbench.streams import Streams, Uniforms
from estbench.trainings.loop import seeds_of

_SAMPLES = 2**16
"""Samples of all examples and seeds at which f is found at once."""


def importance_weighted(model: Any, x: Tensor, y: Tensor | None, samples: int, seed: int, data: str) -> Tensor:
    """The bound of each network with so many samples an example, the mean over examples x [n, pixels]: [S] in float64.

    One estimate is drawn for each example. The noise of a network depends on the seed of the run, on the name of the
    data, and on the number of the network alone. So all trainings see the same noise at all epochs, and their bounds
    are compared on it; and no network sees who is beside it.
    """
    S, n = seeds_of(model), len(x)
    streams = Streams(seed, f"importance-weighted bound, {data}", range(S))
    most = max(1, _SAMPLES // S)
    step = max(1, most // samples)
    sizes = [min(most, samples - done) for done in range(0, samples, most)]
    total = torch.zeros(S, dtype=torch.float64)
    with torch.no_grad():
        for i in range(0, n, step):
            some = x[i : i + step].expand(S, -1, -1)
            labels = None if y is None else y[i : i + step].expand(S, -1)
            bounds = [
                model.importance_weighted(some, labels, by_samples(size, some.shape[1], streams))
                - math.log(size / samples)
                for size in sizes
            ]
            total -= (-torch.stack(bounds).double()).logsumexp(0).sum(1)
    return total / n


def by_samples(samples: int, examples: int, streams: Uniforms) -> Expect:
    """−log 1/K Σ_k exp(−f(z_k)), [S, B], by K samples of the variables: `minus_log_mean` without its sum over states.

    Each of the examples has K joint samples in all. So variables of a first layer are drawn K times, and those of a
    layer that is drawn given each of these K samples once.
    """
    layers = itertools.count()

    def expect(f: Function, variables: Variables) -> Tensor:
        S, B = variables.batch_shape
        rows, D = examples * samples, variables.n_variables
        u = streams.uniform(f"layer {next(layers)}", rows, D, dtype=variables.logits.dtype)
        z = variables.inverse_cdf(u.view(S, B, rows // B, D))
        return math.log(rows // B) - (-f(z)).logsumexp(-1)

    return expect
