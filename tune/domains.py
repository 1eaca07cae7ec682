"""Facts about the parameters of a search space: what a Ray Tune domain contains, and where a configuration lies in it.

A parameter is a constant, a Ray Tune domain, or a conditional: a `tune.choice` of dicts, one per branch, whose keys are
parameters that exist only in that branch. All functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

from ray.tune.search.sample import Categorical, Domain, Float, Integer, LogUniform, Normal, Quantized

from tune.files import printable

Parameters = Mapping[str, Any]

SLACK = 1e-9
"""Relative tolerance for rounding errors."""

NARROWEST = 1e-12
"""HyperOpt's TPE rounds smaller widths to zero, and divides by them."""


def is_conditional(parameter: Any) -> bool:
    """Whether it is a choice between dicts of further parameters."""
    return isinstance(parameter, Categorical) and any(isinstance(item, Mapping) for item in parameter.categories)


def check_domain(name: str, parameter: Any) -> None:
    """ValueError if the parameter is empty, or of a kind that HyperOpt cannot search."""
    if isinstance(parameter, Mapping):
        remedy = "use tune.choice" if "grid_search" in parameter else "use tune.choice([{...}, {...}])"
        raise ValueError(f"parameter {name} is a dict; {remedy} instead.")
    if isinstance(parameter, list | tuple):
        raise ValueError(f"parameter {name} is a list; use tune.choice([...]) to choose from it.")
    if not isinstance(parameter, Domain):
        if not isinstance(parameter, str | bool) and not is_number(parameter):
            raise ValueError(f"parameter {name} is {parameter!r}; use a number, a string, True or False.")
    elif isinstance(parameter, Categorical):
        if not parameter.categories:
            raise ValueError(f"parameter {name} is an empty choice; give it at least one value.")
        dicts = [isinstance(item, Mapping) for item in parameter.categories]
        if any(dicts) and not all(dicts):
            raise ValueError(f"parameter {name} mixes dicts and plain values; give every branch a dict.")
    elif not isinstance(parameter, Float | Integer):
        raise ValueError(f"parameter {name} is a {type(parameter).__name__}, which no searcher can model; "
                         "use tune.choice, uniform, loguniform, randint or their quantised forms.")  # fmt: skip
    elif isinstance(_continuous_sampler(parameter), Normal):
        raise ValueError(f"parameter {name} has no bounds; use tune.uniform or tune.loguniform.")
    else:
        _check_range(name, parameter)


def _check_range(name: str, parameter: Float | Integer) -> None:
    """ValueError if bounds or step are not numbers, contradict each other, or leave fewer than two values."""
    low, high, step = parameter.lower, parameter.upper, _step(parameter)
    if not all(is_number(number) for number in (low, high)):
        raise ValueError(f"parameter {name} is a range from {low!r} to {high!r}; both must be finite numbers.")
    if step is not None and not (is_number(step) and step >= NARROWEST):
        raise ValueError(f"parameter {name} has steps of {step!r}; the step must be a number of at least {NARROWEST}.")
    if isinstance(parameter, Integer):
        if any(number != int(number) for number in (low, high, step)):
            what = f"from {low} to {high}" + ("" if step == 1 else f" in steps of {step}")
            raise ValueError(f"parameter {name} is a range of whole numbers {what}; write whole numbers.")
        if low % step or _upper(parameter) % step:
            raise ValueError(
                f"parameter {name} has steps of {step}; its bounds {low} and {_upper(parameter)} "
                "must be multiples of that."  # HyperOpt would draw the nearest multiple, outside the range
            )
    if low == _upper(parameter):
        raise ValueError(f"parameter {name} holds {low} only; use the value itself.")
    if not low < _upper(parameter):
        raise ValueError(f"parameter {name} is empty: {low} is above {_upper(parameter)}.")
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=0 if is_log(parameter) else NARROWEST):
        raise ValueError(f"parameter {name} is too narrow a range, from {low} to {high}; use a single value.")


def is_number(value: Any) -> bool:
    """Whether it is a finite number in the range of a float, and not a bool."""
    try:
        return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    except OverflowError:
        return False


def leaves(parameters: Parameters) -> Iterator[tuple[str, Any]]:
    """All parameters with values of their own, including those of all branches."""
    for name, parameter in parameters.items():
        if is_conditional(parameter):
            for branch in parameter.categories:
                yield from leaves(branch)
        else:
            yield name, parameter


def size(parameters: Parameters) -> float:
    """An upper bound on the number of configurations: branches may overlap, and choices may repeat a value."""
    return math.prod(map(_values, parameters.values()))


def _values(parameter: Any) -> float:
    """The number of values of a parameter, or of points in the branches of a conditional."""
    if is_conditional(parameter):
        return sum(map(size, parameter.categories))
    if isinstance(parameter, Categorical):
        return len(parameter.categories)
    if not isinstance(parameter, Domain):
        return 1
    step = _step(parameter)
    return math.inf if step is None else round((_upper(parameter) - parameter.lower) / step) + 1


def extremes(parameter: Any) -> list[Any]:
    """The bounds of a range, or all categories."""
    if isinstance(parameter, Categorical):
        return list(parameter.categories)
    if isinstance(parameter, Domain):
        return [parameter.lower, _upper(parameter)]
    return [parameter]


def samples(parameter: Any) -> list[Any]:
    """Values to run checks on. For integers also the second one, as 0 may have a special meaning."""
    more = [parameter.lower + _step(parameter)] if isinstance(parameter, Integer) else []
    return [*extremes(parameter), *more]


def contains(parameter: Any, value: Any) -> bool:
    """Whether a constant or a plain domain holds `value`."""
    if isinstance(parameter, Categorical):
        return any(_same(value, item) for item in parameter.categories)
    if not isinstance(parameter, Domain):
        return _same(value, parameter)
    if not is_number(value):
        return False
    # 3 * 0.1 is slightly above 0.3. Each bound has its own tolerance, as those of a logarithmic range are far apart.
    lower, upper = parameter.lower, _upper(parameter)
    if not lower - SLACK * abs(lower) <= value <= upper + SLACK * abs(upper):
        return False
    step, slack = _step(parameter), SLACK * max(abs(lower), abs(upper))
    return step is None or bool(abs(value - round(value / step) * step) <= slack)


def locate(parameters: Parameters, point: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The choices that lead to `point` (a flat configuration): label -> value, or index for a choice.

    Labels are paths such as `schedule/1/gamma`. ValueError names the parameter that does not fit.
    """
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        label = prefix + name
        if is_conditional(parameter):
            found |= _locate_branch(label, parameter, point)
        elif name not in point:
            raise ValueError(f"{name} is missing")
        elif not contains(parameter, point[name]):
            raise ValueError(f"{name} is {point[name]!r}, outside {describe(parameter)}")
        elif isinstance(parameter, Categorical):
            found[label] = next(i for i, item in enumerate(parameter.categories) if _same(point[name], item))
        elif isinstance(parameter, Domain):
            found[label] = point[name]
    return found


def _locate_branch(label: str, parameter: Categorical, point: Mapping[str, Any]) -> dict[str, Any]:
    """The branch that contains `point`, and its choices there.

    If several do, the first that sets the most fields, as a branch with fewer leaves the others at their defaults.
    """
    reasons, fitting = [], []
    for index, branch in enumerate(parameter.categories):
        try:
            place = locate(branch, point, f"{label}/{index}/")
        except ValueError as error:
            reasons.append(str(error))
        else:
            fitting.append((len(at(branch, place, f"{label}/{index}/")), {label: index, **place}))
    if not fitting:
        raise ValueError(f"no branch of {label} fits: {'; '.join(reasons)}")
    return max(fitting, key=lambda item: item[0])[1]


def at(parameters: Mapping[str, Any], place: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The inverse of `locate`: flat values of the fields that the parameters set."""
    return walk(parameters, lambda label, _: place[label], prefix)


def walk(parameters: Mapping[str, Any], choose: Callable[[str, Domain], Any], prefix: str = "") -> dict[str, Any]:
    """Flat values of a point. `choose` gets `locate`'s label and returns a value, or the index of a choice."""
    flat: dict[str, Any] = {}
    for name, parameter in parameters.items():
        label = prefix + name
        if is_conditional(parameter):
            index = choose(label, parameter)
            flat |= walk(parameter.categories[index], choose, f"{label}/{index}/")
        elif isinstance(parameter, Categorical):
            flat[name] = parameter.categories[choose(label, parameter)]
        elif isinstance(parameter, Domain):
            flat[name] = choose(label, parameter)
        else:
            flat[name] = parameter
    return flat


def is_log(domain: Domain) -> bool:
    """Whether a range is searched on a logarithmic scale."""
    return isinstance(_continuous_sampler(domain), LogUniform)


def quantise(domain: Domain, value: Any) -> Any:
    """A value rounded to a step of the range, if it has steps, and kept within its bounds."""
    sampler = domain.get_sampler()
    if not isinstance(sampler, Quantized):
        return value
    return min(max(round(value / sampler.q) * sampler.q, domain.lower), _upper(domain))


def describe(parameter: Any) -> str:
    """In words: `log-uniform 0.001 to 0.3`."""
    if is_conditional(parameter):
        branches = (", ".join(f"{k}: {describe(v)}" for k, v in item.items()) for item in parameter.categories)
        return " | ".join(f"({branch})" for branch in branches)
    if isinstance(parameter, Categorical):
        return "one of " + ", ".join(map(_text, parameter.categories))
    if isinstance(parameter, Domain):
        log = "log-" if is_log(parameter) else ""
        kind = "integer" if isinstance(parameter, Integer) else "uniform"
        steps = f" in steps of {_step(parameter):g}" if isinstance(parameter.get_sampler(), Quantized) else ""
        return f"{log}{kind} {parameter.lower:g} to {_upper(parameter):g}{steps}"
    return _text(parameter)


def _text(value: Any) -> str:
    """A value as printable text on one line."""
    return printable(str(value))


def _same(value: Any, item: Any) -> bool:
    """Equality of plain values, where True is not 1. Arrays are not plain: they compare to an array."""
    plain = isinstance(value, str | Real) and isinstance(item, str | Real)
    return plain and bool(value == item) and isinstance(value, bool) == isinstance(item, bool)


def _upper(domain: Any) -> Any:
    """The largest value. Ray's integers exclude their upper bound, unless they have steps of more than 1."""
    return domain.upper - 1 if isinstance(domain, Integer) and _step(domain) == 1 else domain.upper


def _step(domain: Domain) -> Any:
    """The step of a range; None if it is continuous."""
    sampler = domain.get_sampler()
    if isinstance(sampler, Quantized):
        return sampler.q
    return 1 if isinstance(domain, Integer) else None


def _continuous_sampler(domain: Domain) -> Any:
    sampler = domain.get_sampler()
    return sampler.sampler if isinstance(sampler, Quantized) else sampler
