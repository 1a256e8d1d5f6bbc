"""Small networks on the digits, for tests: what they are made of, and a second way to their exact loss."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from estbench.networks.base import Kind, Network
from estbench.networks.data import Images
from estbench.networks.gates import Gates
from estbench.networks.sbn import Sbn
from estbench.networks.vae import Vae
from estbench.trainings.loop import initial

BERNOULLI = Kind("bernoulli", 4)
CATEGORICAL = Kind("categorical", 2, 3)

ONE_LAYER: list[tuple[Network, Kind]] = [
    (Vae(hidden=8), BERNOULLI),
    (Vae(hidden=8), CATEGORICAL),
    (Sbn(hidden=8), BERNOULLI),
    (Gates(units=3), BERNOULLI),
]
TWO_LAYERS: list[tuple[Network, Kind]] = [
    (Sbn(hidden=8, layers=2), Kind("bernoulli", 3)),
    (Sbn(hidden=8, layers=2), CATEGORICAL),
]


def made(network: Network, kind: Kind, seeds: int = 1) -> tuple[Any, Images]:
    """Untrained networks in float64, whose parameters are three times as large as usual, and the images."""
    images = network.images("digits")
    model = initial(network, images, kind, seeds, 3).double()
    for p in model.parameters():
        p.data *= 3
    return model, images


def batch(images: Images, n: int, seeds: int = 1) -> tuple[Tensor, Tensor | None]:
    """n examples x [S, n, pixels], the same for each seed, and their labels."""
    y = images.train_labels
    return images.train[:n].double().expand(seeds, -1, -1), None if y is None else y[:n].expand(seeds, -1)


def state_by_state(f: Any, variables: Any) -> Tensor:
    """E f(z) as a loop over joint states, with P(z) from probabilities of single variables: [S, B]."""
    logits = variables.logits
    one_hot = logits.ndim == 4
    p = torch.softmax(logits, -1) if one_hot else torch.stack((torch.sigmoid(-logits), torch.sigmoid(logits)), -1)
    D, K = p.shape[-2:]
    total = torch.zeros(logits.shape[:2], dtype=logits.dtype)
    for classes in itertools.product(range(K), repeat=D):
        z = torch.tensor(classes)
        sample = torch.nn.functional.one_hot(z, K) if one_hot else z
        value = f(sample.to(logits).expand(*logits.shape[:2], 1, *sample.shape)).squeeze(-1)
        total = total + torch.stack([p[..., d, k] for d, k in enumerate(classes)]).prod(0) * value
    return total
