"""`estbench.exact_gradient`: against sums over all states that are written out here, for every kind of f."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import estbench
from estbench import Bernoulli, Categorical, exact_gradient
from estbench.errors import UsageError
from estbench.objectives.quadratic import Quadratic
from tests.api.functions import LOGITS, ROWS, Energy, coupled, coupled_numpy, network, of_classes

F = Callable[[Tensor], Tensor]


def by_hand(f: F, logits: Any) -> Tensor:
    """Σ_z P(z) f(z) ∂ log P(z)/∂ logits by automatic differentiation of the sum, state by state."""
    phi = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    total = torch.zeros((), dtype=torch.float64)
    if phi.ndim == 1:
        p = torch.sigmoid(phi)
        for bits in itertools.product((0.0, 1.0), repeat=len(phi)):
            z = torch.tensor(bits, dtype=torch.float64)
            total = total + torch.where(z == 1, p, 1 - p).prod() * f(z.unsqueeze(0)).detach().squeeze()
    else:
        p, (D, K) = torch.softmax(phi, -1), phi.shape
        for classes in itertools.product(range(K), repeat=D):
            z = torch.nn.functional.one_hot(torch.tensor(classes), K).double()
            total = total + p[range(D), classes].prod() * f(z.unsqueeze(0)).detach().squeeze()
    (gradient,) = torch.autograd.grad(total, phi)
    return gradient


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Equal in every entry, and of one shape and type."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def distance(z: Tensor) -> Tensor:
    """Of one sample [D], a number."""
    return (z - 0.3).square().sum()


NET = network(3, dtype=torch.float64)
KINDS: dict[str, tuple[Any, F]] = {
    "function": (coupled, coupled),
    "lambda": (lambda z: z.prod(-1), lambda z: z.prod(-1)),
    "method": (Energy(2.0).of, Energy(2.0).of),
    "module": (NET, NET),
    "numpy": (coupled_numpy, coupled),
    "one sample": (torch.vmap(distance), lambda z: (z - 0.3).square().sum(-1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_enumerates_bernoulli(kind: str) -> None:
    """Any callable on samples [n, D]: the sum over all states."""
    f, plain = KINDS[kind]
    found = exact_gradient(f, Bernoulli(LOGITS))
    close(found, by_hand(plain, LOGITS))
    assert found.route == "enumeration"


@pytest.mark.parametrize("f", [of_classes, lambda z: torch.einsum("nak,nbk->n", z, z)])
def test_enumerates_categorical(f: F) -> None:
    """f of one-hot samples [n, D, K]."""
    close(exact_gradient(f, Categorical(ROWS)), by_hand(f, ROWS))


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [[0.1, 0.2]], [[0.3, -0.2], [0.1, 0.0], [1.0, 2.0]]])
@pytest.mark.parametrize("on", [None, "values"])
def test_values_of_categories(rows: list[list[float]], on: Any) -> None:
    """f of the ordinal values k/(K − 1), [n, D]: what takes no one-hot samples, or is constant on them."""
    K = len(rows[0])
    levels = torch.arange(K, dtype=torch.float64) / (K - 1)
    found = exact_gradient(lambda v: ((v - 0.45) ** 2).sum(-1), Categorical(rows), on=on)
    close(found, by_hand(lambda z: ((z @ levels - 0.45) ** 2).sum(-1), rows))


def test_a_function_of_either() -> None:
    """Where one variable makes it a function of one-hot samples as well as of values, the choice is the caller's."""
    f: F = lambda v: v[..., 0] ** 2  # noqa: E731 - as users write it
    one = ROWS[:1]
    with pytest.raises(UsageError, match=r"on='one-hot' or\s+on='values'"):
        exact_gradient(f, Categorical(one))
    close(exact_gradient(f, Categorical(one), on="values"), by_hand(lambda z: z[:, 0, 1] / 4 + z[:, 0, 2], one))
    close(exact_gradient(f, Categorical(one), on="one-hot"), by_hand(lambda z: z[:, 0, 0], one))


def test_flat_samples() -> None:
    """f of the flattened one-hot sample, [n, D K]."""
    net = network(6, dtype=torch.float64)
    found = exact_gradient(net, Categorical(ROWS), on="flat")
    close(found, by_hand(lambda z: net(z.flatten(1)), ROWS))


def test_objectives_of_the_catalogue() -> None:
    """An instance, its class and a selector; the closed form of E f is used."""
    expected = by_hand(lambda z: ((z - 0.3) ** 2).sum(-1), LOGITS)
    for f in (Quadratic(target=0.3), "quadratic[target=0.3]"):
        found = exact_gradient(f, Bernoulli(LOGITS))
        close(found, expected)
        assert found.route == "closed form"
    close(exact_gradient(Quadratic, Bernoulli(LOGITS)), exact_gradient("quadratic", Bernoulli(LOGITS)))


def test_links() -> None:
    """The gradient is with respect to the logits, whatever the link."""
    p = np.array([0.2, 0.7])
    found = exact_gradient(lambda z: z[:, 0] * (1 - z[:, 1]), Bernoulli(p, link="identity"))
    close(found, torch.tensor([1 - p[1], -p[0]]))


def test_a_float32_module_is_given_float32() -> None:
    """It is evaluated in its own type, and the sum over states is made in float64."""
    net = network(3)
    close(exact_gradient(net, Bernoulli(LOGITS)), by_hand(lambda z: net(z.float()).double(), LOGITS), 1e-7)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_like_the_logits() -> None:
    """The gradient has the type of the logits: float32 logits are kept, lists and whole numbers are float64."""
    single = torch.tensor(LOGITS, requires_grad=True)
    found = exact_gradient(coupled, Bernoulli(single))
    close(found, by_hand(coupled, LOGITS).float(), 1e-7)
    assert not found.requires_grad
    assert exact_gradient(coupled, Bernoulli(np.array(LOGITS, dtype=np.float32))).dtype == torch.float32
    assert exact_gradient(coupled, Bernoulli([1, 2])).dtype == torch.float64


def test_batches_of_logits() -> None:
    """Logits [B, D] are B problems."""
    both = exact_gradient(coupled, Bernoulli([LOGITS, LOGITS[::-1]]))
    close(both, torch.stack([by_hand(coupled, LOGITS), by_hand(coupled, LOGITS[::-1])]))


def test_logits_that_change_in_place() -> None:
    """A distribution follows its logits when they are stepped in place; arrays are copied."""
    logits = torch.tensor(LOGITS, dtype=torch.float64)
    distribution = Bernoulli(logits)
    exact_gradient(coupled, distribution)
    logits.add_(1.0)
    close(exact_gradient(coupled, distribution), by_hand(coupled, [x + 1 for x in LOGITS]))
    array = np.array(LOGITS)
    distribution = Bernoulli(array)
    array += 1
    close(exact_gradient(coupled, distribution), by_hand(coupled, LOGITS))


def test_a_tensor_like_any_other() -> None:
    """Copies and pickles have the route too."""
    found = exact_gradient(coupled, Bernoulli(LOGITS))
    assert copy.deepcopy(found).route == pickle.loads(pickle.dumps(found)).route == "enumeration"  # noqa: S301 - ours
    assert type(found) is Tensor


def _counting() -> F:
    calls = itertools.count(1)
    return lambda z: z.sum(-1) * next(calls)


IMPURE: dict[str, tuple[Any, str]] = {
    "dropout": (network(3, nn.Dropout(0.5)), "Dropout.*eval"),
    "batch norm": (network(3, nn.BatchNorm1d(5)), "BatchNorm1d.*eval"),
    "global generator": (lambda z: z.sum(-1) + torch.rand(len(z)), "random"),
    "numpy's generator": (lambda z: z.sum(-1) + np.random.rand(), "random"),
    "state": (_counting(), "state"),
    "other rows": (lambda z: (z - z.mean(0)).square().sum(-1), "other rows"),
    "in place": (lambda z: z.sub_(0.45).square().sum(-1), "in place"),
}


@pytest.mark.parametrize("kind", IMPURE)
def test_impure_functions_are_refused(kind: str) -> None:
    """What is random, keeps state or mixes samples is named, and the generators are as before."""
    f, words = IMPURE[kind]
    before = torch.get_rng_state()
    with pytest.raises(UsageError, match=words):
        exact_gradient(f, Bernoulli(LOGITS))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrapped", [False, True])
def test_training_mode(wrapped: bool) -> None:
    """A module in training mode is named, also where a function uses it; its statistics are as before."""
    norm = nn.BatchNorm1d(5)
    net = network(3, norm)
    f = (lambda z: net(z).squeeze(-1)) if wrapped else net
    with pytest.raises(UsageError, match=r"(net|Sequential) is in training mode, with 2 \(BatchNorm1d\)"):
        exact_gradient(f, Bernoulli(LOGITS))
    assert norm.num_batches_tracked == 0
    assert not norm.running_mean.any()  # type: ignore[union-attr] # it tracks them
    net.eval()
    close(exact_gradient(f, Bernoulli(LOGITS)), by_hand(lambda z: net(z.float()).double(), LOGITS), 1e-7)


def test_training_mode_that_does_nothing() -> None:
    """A network without such layers is a pure function in training mode too."""
    net = network(3).train()
    assert exact_gradient(net, Bernoulli(LOGITS)).route == "enumeration"


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "too many states": (coupled, lambda: Bernoulli([0.0] * 21), r"2\^21.*more than 1048576"),
    "one number for all": (lambda z: z.sum(), lambda: Bernoulli(LOGITS), r"shape \[\].*vmap"),
    "one number a variable": (lambda z: z, lambda: Bernoulli(LOGITS), r"shape \[4, 3\]"),
    "raises": (lambda z: z @ torch.ones(4).double(), lambda: Bernoulli(LOGITS), "mat1|size"),
    "not finite": (lambda z: z.sum(-1).log(), lambda: Bernoulli(LOGITS), "NaN or infinite"),
    "None": (lambda _: None, lambda: Bernoulli(LOGITS), "returned None, and must return one number for each sample"),
    "complex": (lambda z: z.sum(-1) * 1j, lambda: Bernoulli(LOGITS), "complex numbers"),
    "no function": (3, lambda: Bernoulli(LOGITS), "function of samples or an objective, got 3"),
    "unknown name": ("quadratik", lambda: Bernoulli(LOGITS), "Did you mean 'quadratic'"),
    "unknown option": ("quadratic[targt=1]", lambda: Bernoulli(LOGITS), "Did you mean 'target'"),
    "no distribution": (coupled, lambda: LOGITS, "Bernoulli"),
    "the class": (coupled, lambda: Bernoulli, "Bernoulli"),
    "NaN": (coupled, lambda: Bernoulli([0.0, float("nan")]), "finite"),
    "no axis": (coupled, lambda: Bernoulli(0.5), r"\[D\]"),
    "nothing": (coupled, lambda: Bernoulli([]), r"\[D\]"),
    "text": (coupled, lambda: Bernoulli("ab"), "numbers"),
    "ragged": (coupled, lambda: Categorical([[1.0, 2.0], [3.0]]), "numbers"),
    "a vector": (coupled, lambda: Categorical(LOGITS), r"\[\[…\]\]"),
    "one class": (coupled, lambda: Categorical([[1.0]]), "K ≥ 2"),
    "booleans": (coupled, lambda: Bernoulli([True, False]), "real numbers"),
    "one-hot Bernoulli": (coupled, lambda: Bernoulli(LOGITS), "one-hot"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str) -> None:
    """One error that says what was given and what is allowed."""
    f, distribution, words = REFUSED[kind]
    on: Any = "one-hot" if kind == "one-hot Bernoulli" else None
    with pytest.raises(UsageError, match=words):
        exact_gradient(f, distribution(), on=on)


def test_closed_forms_have_no_limit() -> None:
    """E f in closed form serves any number of variables."""
    found = exact_gradient("quadratic", Bernoulli([0.0] * 40))
    close(found, torch.full((40,), 0.1 / 4, dtype=torch.float64))


def test_importing_estbench_is_cheap() -> None:
    """`import estbench` imports neither torch, numpy nor pandas, and lists its names."""
    code = (
        "import sys, estbench\n"
        "assert not {'torch', 'numpy', 'pandas', 'pydantic'} & set(sys.modules)\n"
        "assert {'Bernoulli', 'exact_gradient', '__version__'} <= set(dir(estbench))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_unknown_names() -> None:
    """A name that there is not is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        estbench.nonsense  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize("name", estbench.__all__)
def test_no_module_is_named_like_a_function(name: str) -> None:
    """Importing a submodule would replace a function of its name."""
    value = getattr(estbench, name)
    assert callable(value) == (name != "testing")
