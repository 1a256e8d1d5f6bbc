"""The catalogue: names of estimators, objectives and distributions, looked up here and nowhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from torch import Tensor

from estbench import plugins
from estbench.distributions import DISTRIBUTIONS, Distribution
from estbench.errors import UsageError
from estbench.estimators.antithetic.ar import Ar
from estbench.estimators.antithetic.arm import Arm
from estbench.estimators.antithetic.arms import Arms
from estbench.estimators.antithetic.ars import Ars
from estbench.estimators.antithetic.arsm import Arsm
from estbench.estimators.antithetic.carms import Carms
from estbench.estimators.antithetic.disarm import Disarm
from estbench.estimators.antithetic.disarm_iw import DisarmIw
from estbench.estimators.antithetic.disarm_sb import DisarmSb
from estbench.estimators.antithetic.disarm_tree import DisarmTree
from estbench.estimators.base import Estimator, Facts
from estbench.estimators.control_variate.double_cv import DoubleCv
from estbench.estimators.control_variate.lax import Lax
from estbench.estimators.control_variate.rebar import Rebar
from estbench.estimators.control_variate.relax import Relax
from estbench.estimators.control_variate.rodeo import Rodeo
from estbench.estimators.perturbation.es import Es
from estbench.estimators.perturbation.imle import Imle
from estbench.estimators.perturbation.spsa import Spsa
from estbench.estimators.perturbation.stochastic_ad import StochasticAd
from estbench.estimators.rao_blackwell.enumerate import Enumerate
from estbench.estimators.rao_blackwell.leg import Leg
from estbench.estimators.rao_blackwell.measure_valued import MeasureValued
from estbench.estimators.rao_blackwell.stratified import Stratified
from estbench.estimators.rao_blackwell.sum_and_sample import SumAndSample
from estbench.estimators.rao_blackwell.unordered_set import UnorderedSet
from estbench.estimators.relaxation.gumbel import Gumbel
from estbench.estimators.relaxation.gumbel_rao import GumbelRao
from estbench.estimators.relaxation.gumbel_st import GumbelSt
from estbench.estimators.relaxation.hard_concrete import HardConcrete
from estbench.estimators.relaxation.igr import Igr
from estbench.estimators.score_function.muprop import Muprop
from estbench.estimators.score_function.nvil import Nvil
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.estimators.score_function.rloo import Rloo
from estbench.estimators.straight_through.bengio_sts import BengioSts
from estbench.estimators.straight_through.darn import Darn
from estbench.estimators.straight_through.gapped_st import GappedSt
from estbench.estimators.straight_through.mve import Mve
from estbench.estimators.straight_through.noise_additive import NoiseAdditive
from estbench.estimators.straight_through.noise_multiplicative import NoiseMultiplicative
from estbench.estimators.straight_through.random_scaling import RandomScaling
from estbench.estimators.straight_through.reinmax import Reinmax
from estbench.estimators.straight_through.ste import Ste
from estbench.estimators.straight_through.zgr import Zgr
from estbench.isolation import Isolated
from estbench.names import ALIASES, OBJECTIVE_ALIASES
from estbench.networks.base import Network
from estbench.networks.gates import Gates
from estbench.networks.sbn import Sbn
from estbench.networks.threshold import CoarseGradient
from estbench.networks.vae import Vae
from estbench.objectives.arsm_toy import ArsmToy
from estbench.objectives.base import Objective
from estbench.objectives.linear import Linear
from estbench.objectives.mlp import Mlp
from estbench.objectives.power import Power
from estbench.objectives.product import Product
from estbench.objectives.quadratic import Quadratic
from estbench.objectives.quadratic_form import QuadraticForm
from estbench.objectives.sine import Sine
from estbench.plan import EstimatorSpec, Given, Options
from estbench.plugins import What, is_plugin

T = TypeVar("T")

__all__ = [
    "ALIASES",
    "DISTRIBUTIONS",
    "ESTIMATORS",
    "NETWORKS",
    "OBJECTIVES",
    "OBJECTIVE_ALIASES",
    "build",
    "distribution",
    "distribution_class",
    "estimator",
    "estimator_class",
    "facts_of",
    "is_plugin",
    "isolated",
    "network_class",
    "new_estimator",
    "objective",
    "objective_class",
    "option_names",
    "options_of",
]

ESTIMATORS: dict[str, type[Estimator]] = {
    # score function
    "reinforce": Reinforce,
    "rloo": Rloo,
    "nvil": Nvil,
    "muprop": Muprop,
    # straight-through
    "ste": Ste,
    "reinmax": Reinmax,
    "darn": Darn,
    "zgr": Zgr,
    "mve": Mve,
    "gapped_st": GappedSt,
    "random_scaling": RandomScaling,
    "bengio_sts": BengioSts,
    "noise_additive": NoiseAdditive,
    "noise_multiplicative": NoiseMultiplicative,
    # relaxation
    "gumbel": Gumbel,
    "gumbel_st": GumbelSt,
    "gumbel_rao": GumbelRao,
    "igr": Igr,
    "hard_concrete": HardConcrete,
    # antithetic
    "arm": Arm,
    "disarm": Disarm,
    "arms": Arms,
    "ar": Ar,
    "ars": Ars,
    "arsm": Arsm,
    "disarm_sb": DisarmSb,
    "disarm_tree": DisarmTree,
    "disarm_iw": DisarmIw,
    "carms": Carms,
    # Rao-Blackwell
    "leg": Leg,
    "sum_and_sample": SumAndSample,
    "unordered_set": UnorderedSet,
    "stratified": Stratified,
    "measure_valued": MeasureValued,
    "enumerate": Enumerate,
    # control variate
    "rebar": Rebar,
    "relax": Relax,
    "lax": Lax,
    "double_cv": DoubleCv,
    "rodeo": Rodeo,
    # perturbation
    "spsa": Spsa,
    "es": Es,
    "stochastic_ad": StochasticAd,
    "imle": Imle,
}

OBJECTIVES: dict[str, type[Objective]] = {
    "quadratic": Quadratic,
    "power": Power,
    "linear": Linear,
    "quadratic_form": QuadraticForm,
    "sine": Sine,
    "product": Product,
    "mlp": Mlp,
    "arsm_toy": ArsmToy,
}

NetworkClass = type[Network]

NETWORKS: dict[str, NetworkClass] = {"vae": Vae, "sbn": Sbn, "gates": Gates, "coarse_gradient": CoarseGradient}

_OURS: frozenset[type[Any]] = frozenset({*ESTIMATORS.values(), *OBJECTIVES.values(), *NETWORKS.values()})


def estimator_class(name: str) -> type[Estimator]:
    """The class of a canonical estimator name, or of a plug-in (see `plugins`); UsageError otherwise."""
    return _find("estimator", name, ESTIMATORS)


def objective_class(name: str) -> type[Objective]:
    """The class of a canonical objective name, or of a plug-in (see `plugins`); UsageError otherwise."""
    return _find("objective", name, OBJECTIVES)


def network_class(name: str) -> NetworkClass:
    """The class of a canonical network name, or of a plug-in `package.module:Class`; UsageError otherwise."""
    return _find("network", name, NETWORKS)


def distribution_class(name: str) -> Any:
    """The class of a canonical distribution name, or of a plug-in (see `plugins`); UsageError otherwise."""
    return _find("distribution", name, DISTRIBUTIONS)


def options_of(kind: Any) -> dict[str, FieldInfo]:
    """The options of an estimator, an objective or a distribution, with their types and defaults.

    Fields that fitting fills in are not options. Of a distribution, all fields but `logits` are options.
    """
    if hasattr(kind, "__pydantic_fields__"):
        return {name: info for name, info in kind.__pydantic_fields__.items() if not info.exclude}
    hints = get_type_hints(kind, include_extras=True)
    fields = (field for field in dataclasses.fields(kind) if field.init and field.name != "logits")
    infos = {field.name: _field_info(hints[field.name], field) for field in fields}
    return {name: info for name, info in infos.items() if not info.exclude}


def _field_info(hint: Any, field: dataclasses.Field[Any]) -> FieldInfo:
    """A field of a standard dataclass as pydantic describes it."""
    if field.default is not dataclasses.MISSING:
        return FieldInfo.from_annotated_attribute(hint, field.default)
    info = FieldInfo.from_annotation(hint)
    if field.default_factory is not dataclasses.MISSING:
        info.default_factory = field.default_factory
    return info


def _find(what: What, name: str, known: Mapping[str, type[Any]]) -> type[Any]:
    if name in known:
        return known[name]
    if is_plugin(name):
        found: type[Any] = plugins.class_of(what, name)
        return found
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise UsageError(f"unknown {what} '{name}'.{hint} (estbench list {what}s)")


def build(kind: type[T], options: Mapping[str, Any]) -> T:
    """An estimator or objective with its options checked; pydantic's ValidationError says what is wrong with which."""
    with isolated(kind, options):
        return TypeAdapter(kind).validate_python(dict(options))


def estimator(spec: EstimatorSpec, fitted: Options = ()) -> Estimator:
    """The estimator of a spec, with the fields that fitting has found: the one way from a spec to an object.

    It is built once in each process, as long as its class is the same, and shared: some solve for constants once.
    pydantic's ValidationError if it does not take its options.
    """
    kind = _class_or_instance(spec)
    if isinstance(kind, type):
        return _shared(kind, spec.arguments, fitted)
    return _fitted(spec, fitted) if fitted else kind


def new_estimator(spec: EstimatorSpec, fitted: Options = ()) -> Estimator:
    """The estimator of a spec, built anew: no earlier use has changed it. An instance that was given is copied."""
    kind = _class_or_instance(spec)
    if isinstance(kind, type):
        return build(kind, dict(spec.arguments) | dict(fitted))
    return _replaced(kind, fitted) if dataclasses.is_dataclass(kind) else copy(kind)


def _class_or_instance(spec: EstimatorSpec) -> type[Estimator] | Estimator:
    found: type[Estimator] | Estimator = estimator_class(spec.name) if spec.given is None else spec.given.value
    return found


@lru_cache(maxsize=1024)
def _fitted(spec: EstimatorSpec, fitted: Options) -> Estimator:
    assert spec.given is not None
    return _replaced(spec.given.value, fitted)


def _replaced(estimator: Any, fields: Options) -> Estimator:
    with isolated(type(estimator), {}):
        made: Estimator = dataclasses.replace(estimator, **dict(fields))
        return made


def objective(name: str, options: Options, given: Given | None = None) -> Objective:
    """The objective of that name with these options, or the one that was given."""
    if given is not None:
        return cast(Objective, given.value)
    return build(objective_class(name), dict(options))


def distribution(name: str, options: Options, logits: Tensor, given: Given | None = None) -> Distribution:
    """The distribution of that name with these options, or the one that was given, at some logits."""
    if given is not None:
        made: Distribution = given.value.with_logits(logits)
    else:
        made = distribution_class(name)(logits, **dict(options))
    return made


@lru_cache(maxsize=1024)
def _shared(kind: type[Estimator], options: Options, fitted: Options) -> Estimator:
    return build(kind, dict(options) | dict(fitted))


def facts_of(estimator: Estimator) -> Facts:
    """The facts of an estimator; those of a plug-in are asked for as any code of users is."""
    with isolated(type(estimator), {}):
        facts = estimator.facts
    if not isinstance(facts, Facts):  # a plug-in may return anything
        raise UsageError(f"its `facts` must be a Facts, and are '{type(facts).__name__}'")
    return facts


def isolated(kind: type[Any], options: Mapping[str, Any]) -> AbstractContextManager[object]:
    """The context in which a class is built and asked for its facts."""
    if kind in _OURS:
        return nullcontext()
    return Isolated("build", kind.__module__, kind.__qualname__, sorted(options.items()))


def option_names(kind: type[Any]) -> list[str]:
    """The names of the options of an estimator, an objective or a distribution."""
    return list(options_of(kind))
