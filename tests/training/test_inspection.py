"""`check` finds what makes unbiased estimators biased, and lets pass what is right."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, one_hot
from torch.utils.checkpoint import checkpoint

from estbench.errors import UsageError
from estbench.training import check, expectation
from tests.training.steps import distribution_of, seeded

F = Callable[[Tensor], Tensor]
B, N, D = 6, 3, 5
Z = (torch.rand(B, N, D, generator=seeded()) < 0.5).float()
torch_linear = nn.Linear(D, 8)
X = torch.randn(B, 1, 8, generator=seeded(1))


def network(z: Tensor) -> Tensor:
    """As it should be, with data of the examples."""
    return torch.tanh(torch_linear(z) + X).sum(-1)


def normalised(z: Tensor) -> Tensor:
    """Batch normalisation in training mode over examples and samples."""
    h = torch_linear(z)
    return torch.relu(nn.BatchNorm1d(8)(h.flatten(0, 1))).view(h.shape).sum(-1)


def sample_normalised(z: Tensor) -> Tensor:
    """Normalised over the samples of each example."""
    h = torch_linear(z)
    return torch.relu(h - h.mean(1, keepdim=True)).sum(-1)


def neighbours(z: Tensor) -> Tensor:
    """Every example takes a little of the one before."""
    return network(z) + 0.01 * network(z.roll(1, 0))


def stateful() -> F:
    """It counts its calls."""
    calls: Iterator[int] = iter(range(10))
    return lambda z: network(z) + next(calls)


def in_place(z: Tensor) -> Tensor:
    """It works in its argument, as it was given, through numpy."""
    z.numpy()[:] *= 2
    return network(z)


def recurrent(z: Tensor) -> Tensor:
    """The samples of an example as a sequence: each changes with those before it."""
    value: Tensor = torch_linear(z.cumsum(1)).sum(-1)
    return value


def buffered() -> F:
    """It keeps the memory of its result, as a captured graph does."""
    buffers: dict[torch.Size, Tensor] = {}

    def f(z: Tensor) -> Tensor:
        value = network(z)
        return buffers.setdefault(value.shape, torch.empty_like(value)).copy_(value)

    return f


def put_back(z: Tensor) -> Tensor:
    """It works in its argument, and undoes it."""
    value = network(z.add_(1))
    z.sub_(1)
    return value


FAULTS: dict[str, tuple[F, str]] = {
    "batch norm": (normalised, "examples mix"),
    "over samples": (sample_normalised, "samples of an example, or examples, mix"),
    "neighbours": (neighbours, "examples mix"),
    "a sequence of samples": (recurrent, "samples of an example, or examples, mix"),
    "the samples in reverse": (lambda z: network(z.flip(1)), "samples of an example, or examples, mix"),
    "a sequence of examples": (lambda z: network(z.cumsum(0)), "examples mix"),
    "the last example": (lambda z: network(z[-1:].expand_as(z)), "or examples, mix"),
    "dropout": (lambda z: nn.functional.dropout(network(z)), "draws random numbers (dropout?)"),
    "state": (stateful(), "keeps state"),
    "a buffer": (buffered(), "overwrites what it returned before"),
    "in place": (lambda z: network(z.mul_(2)), "writes into its samples"),
    "in place and back": (put_back, "writes into its samples"),
    "numpy": (in_place, "writes into its samples"),
    "mean over samples": (lambda z: network(z).mean(1), "f must return [6, 3] for z of [6, 3, 5], got [6]"),
    "loss of the batch": (lambda z: network(z).mean(), "f must return [6, 3] for z of [6, 3, 5], got []"),
    "with an axis": (lambda z: network(z).unsqueeze(-1), "got [6, 3, 1]"),
    "numbers": (lambda z: network(z).tolist(), "returns a list, not a tensor"),  # type: ignore[dict-item,return-value]
    "classes": (lambda z: z.sum(-1).long(), "torch.int64"),
    "one N": (lambda z: z[:, :3] @ torch.ones(5), "f must return [6, 7] for z of [6, 7, 5], got [6, 3]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(fault: str) -> None:
    """Each kind of fault, in the words of its cause; and z is as it was."""
    f, said = FAULTS[fault]
    before = Z.clone()
    with pytest.raises(UsageError, match=re.escape(said)):
        check(f, Z)
    assert torch.equal(Z, before)


buffer = buffered()

WITHOUT_AXIS: dict[str, tuple[F, str]] = {
    "batch norm": (lambda z: torch.relu(nn.BatchNorm1d(8)(torch_linear(z))).sum(-1), "examples mix"),
    "the example before": (lambda z: network(z.unsqueeze(1)).squeeze(1) + z.roll(1, 0).sum(-1), "examples mix"),
    "dropout": (lambda z: nn.functional.dropout(z).sum(-1), "draws random numbers"),
    "in place": (lambda z: z.mul_(2).sum(-1), "writes into its samples"),
    "a buffer": (lambda z: buffer(z.unsqueeze(1)).squeeze(1), "overwrites what it returned before"),
    "with an axis": (lambda z: network(z.unsqueeze(1)), "f must return [6] for z of [6, 5], got [6, 1]"),
    "another width": (lambda z: z @ torch.ones(4), "f got z of [6, 5] and raised RuntimeError"),
}


@pytest.mark.parametrize("fault", WITHOUT_AXIS)
def test_faults_without_an_axis_of_samples(fault: str) -> None:
    """The same of one sample of each example; what is right passes, also of one-hot samples and without a batch."""
    f, said = WITHOUT_AXIS[fault]
    with pytest.raises(UsageError, match=re.escape(said)) as error:
        check(f, Z[:, 0], samples=None)
    assert "axis for the samples" not in str(error.value)
    check(lambda z: network(z.unsqueeze(1)).squeeze(1), Z[:, 0], samples=None)
    check(lambda z: z.flatten(-2).sum(-1), one_hot(Z[:, 0].long(), 2).float(), samples=None)
    check(lambda z: z.sum(-1), Z[0, 0], samples=None)


@pytest.mark.parametrize("work", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
def test_what_is_right_passes(work: torch.dtype, dtype: torch.dtype, scale: float) -> None:
    """Networks with data of the examples, layer normalisation, batch normalisation in evaluation mode; four calls."""
    norm, linear = nn.BatchNorm1d(8).eval().to(work), nn.Linear(D, 8, dtype=work)
    calls = []

    def f(z: Tensor) -> Tensor:
        calls.append(z)
        h = nn.functional.layer_norm(linear(z.to(work)) + X.to(work), (8,))
        value: Tensor = scale * norm(h.flatten(0, 1)).view(h.shape).square().sum(-1).to(dtype)
        return value

    check(f, Z)
    assert len(calls) == 4


def mean_of(work: torch.dtype, part: Callable[[Tensor], Tensor | float], *, autocast: bool = False) -> F:
    """A network that computes in this type, the mean of its outputs in float64; (1 + `part` of z) multiplies it."""
    linear = deepcopy(torch_linear).to(torch.float32 if autocast else work)

    def f(z: Tensor) -> Tensor:
        with torch.autocast("cpu", work, enabled=autocast):
            h = torch.tanh(linear(z.to(linear.weight.dtype)) + X.to(work))
        return h.double().mean(-1) * (1 + part(z))

    return f


@pytest.mark.parametrize(
    ("work", "autocast", "mixed"),
    [
        (torch.float64, False, 1e-9),
        (torch.float32, False, 1e-4),
        (torch.float16, False, 0.1),
        (torch.bfloat16, False, 0.2),
        (torch.float16, True, 0.1),
        (torch.bfloat16, True, 0.2),
    ],
)
def test_rounding_is_that_of_the_coarsest_type_in_which_f_computes(
    work: torch.dtype, autocast: bool, mixed: float
) -> None:
    """Whatever the types of z and of the values are: 8 units of it are not said to mix, and little more is."""

    def rounding(z: Tensor) -> float:  # products differ with the size of the batch
        return 8 * torch.finfo(work).eps * (z.shape[1] != N)

    for given in (Z, Z.double()):
        check(mean_of(work, lambda _: 0.0, autocast=autocast), given)
        check(mean_of(work, rounding, autocast=autocast), given)
        with pytest.raises(UsageError, match="examples mix"):
            check(mean_of(work, lambda z: mixed * z[:1, :1, 0].double(), autocast=autocast), given)


@pytest.mark.parametrize("work", [torch.float16, torch.bfloat16])
def test_batch_normalisation_is_found_in_half_precision(work: torch.dtype) -> None:
    """It changes values of f by tens of per cent, which 64 units of rounding of bfloat16 are too."""

    def f(z: Tensor) -> Tensor:
        with torch.autocast("cpu", work):
            return normalised(z)

    with pytest.raises(UsageError, match="examples mix"):
        check(f, Z)


def test_other_shapes() -> None:
    """One-hot samples, several batch axes, none, and a single example or sample."""
    hot = one_hot(torch.randint(3, (4, 2, 5), generator=seeded()), 3).float()  # [B, N, D, K]
    check(lambda z: (z @ torch.arange(3.0)).square().sum(-1), hot)
    with pytest.raises(UsageError, match="examples mix"):
        check(lambda z: (z.flatten(2) - z.flatten(2).mean(0)).square().sum(-1), hot)
    check(lambda z: z.sum(-1).square(), Z.view(2, 3, N, D))
    with pytest.raises(UsageError, match="examples mix"):
        check(lambda z: z.sum(-1) * z.mean((0, 1, 3)), Z.view(2, 3, N, D))
    check(lambda z: z.sum(-1), Z[0])
    check(lambda z: z.sum(-1), Z[:1, :1])
    check(lambda z: z.sum((-1, -2)), torch.ones(4, 2, 5, 1), event_dim=2)
    with pytest.raises(UsageError, match=r"\[\*batch, N, D\]"):
        check(lambda z: z.sum(-1), torch.ones(3))
    for wrong, said in ((Z.bool(), "torch.bool"), (Z.tolist(), "list"), (None, "NoneType")):
        with pytest.raises(UsageError, match=f"z must be a tensor of floating-point numbers, got {said}"):
            check(network, wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="f must be a function of samples, got Tensor"):
        check(Z, Z)  # type: ignore[arg-type]


def test_why_it_matters() -> None:
    """With normalisation over the batch, `disarm` is far from the gradient that enumeration finds; without, it is not.

    4000 repeats; the distance of an unbiased estimate is about .06 of ‖g‖, and that of the biased one above .2.
    """
    a = torch.randn(2, 2, generator=seeded(5), dtype=torch.float64)
    W = torch.randn(2, 3, generator=seeded(6), dtype=torch.float64)
    y = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)

    def f(z: Tensor, axis: int | None) -> Tensor:  # [copies, 2 examples, N, 2]
        h = z @ W
        h = h if axis is None else (h - h.mean(axis, keepdim=True)) / (h.std(axis, keepdim=True, correction=0) + 0.1)
        return (torch.tanh(h).sum(-1) - y) ** 2

    for axis, biased in ((None, False), (1, True)):
        logits, total = a.clone().requires_grad_(), torch.zeros((), dtype=torch.float64)
        for bits in product([0.0, 1.0], repeat=4):
            z = torch.tensor(bits, dtype=torch.float64).view(2, 2)
            P = (z * logsigmoid(logits) + (1 - z) * logsigmoid(-logits)).sum().exp()
            total = total + P * f(z.view(1, 2, 1, 2), axis).sum()
        (exact,) = torch.autograd.grad(total, logits)
        batch = a.expand(4000, 2, 2).clone().requires_grad_()
        value = expectation(lambda z: f(z, axis), distribution_of("bernoulli", batch), "disarm", generator=seeded())  # noqa: B023
        found = torch.autograd.grad(value.sum(), batch)[0].mean(0)
        assert (float((found - exact).norm() / exact.norm()) > 0.2) == biased


decoder = nn.Sequential(nn.Linear(D, 8), nn.Unflatten(1, (2, 2, 2)), nn.ConvTranspose2d(2, 1, 2, 2))  # [n, 1, 4, 4]


def convolved(z: Tensor) -> Tensor:
    """As it should be: the layers see one batch axis."""
    return decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2]).flatten(2).square().sum(-1)  # type: ignore[no-any-return]


def test_what_torch_raises_is_said_with_the_shape_and_what_to_do() -> None:
    """Layers for one batch axis, and data without the axis of samples, also where N is the size of the batch."""
    check(convolved, Z)
    with pytest.raises(UsageError) as found:
        check(lambda z: decoder(z).flatten(2).square().sum(-1), Z)
    assert str(found.value).startswith("f cannot be trained through as it is: f got z of [6, 3, 5] and raised ")
    assert "want z.flatten(0, 1), with .unflatten(0, z.shape[:2]) of their result" in str(found.value)
    assert isinstance(found.value.__cause__, RuntimeError)
    with pytest.raises(UsageError, match=r"f got z of \[6, 3, 5\] and raised RuntimeError: .*x\.unsqueeze\(1\)"):
        check(lambda z: (torch_linear(z) - X.squeeze(1)).square().sum(-1), Z)
    square = Z[:, :1].expand(B, B, D)
    with pytest.raises(UsageError, match=r"z of \[6, 13, 5\] and raised .* at N = 6 it did not, .*x\.unsqueeze\(1\)"):
        check(lambda z: (torch_linear(z) - X.squeeze(1)).square().sum(-1), square)
    with pytest.raises(UsageError, match=r"rloo needs samples of at least 2"):  # as it is
        check(lambda z: expectation(lambda y: y.sum(-1), distribution_of("bernoulli", z), "rloo"), Z)
    with pytest.raises(KeyError):
        check(lambda z: z * {}["a"], Z)  # type: ignore[index]


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_that_stop_the_gradient(reentrant: bool) -> None:
    """The decoder gets no gradient where samples require none, with only a warning of torch's: `check` names it."""

    def whole(z: Tensor) -> Tensor:
        h: Tensor = checkpoint(torch_linear, z, use_reentrant=reentrant)
        return torch.tanh(h + X).sum(-1)

    def below(z: Tensor) -> Tensor:  # what it is given requires a gradient
        h: Tensor = checkpoint(torch.tanh, torch_linear(z) + X, use_reentrant=reentrant)
        return h.sum(-1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(below, Z)
        if reentrant:
            with pytest.raises(UsageError, match="say use_reentrant=False"):
                check(whole, Z)
        else:
            check(whole, Z)


def test_other_warnings_of_f_are_seen() -> None:
    """What f warns of otherwise goes on to the user."""

    def warning(z: Tensor) -> Tensor:
        warnings.warn("mine", stacklevel=1)
        return network(z)

    with pytest.warns(UserWarning, match="mine"):
        check(warning, Z)
