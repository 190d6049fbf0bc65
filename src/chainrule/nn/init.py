"""Initializers: the initial values of a layer's parameters.

Fan-in and fan-out are the numbers of inputs and outputs of a unit. For the matrix of a dense layer,
(i, o), they are i and o. With more axes the last two count as (i, o), and those before them as a
window whose size multiplies both. A vector of n numbers has n and n. A row of an embedding table
is looked up, not summed over, so rules by fan do not fit it: `embedding` starts from a normal
distribution that makes its rows about 1 long.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.errors import SettingError, ShapeError, did_you_mean
from chainrule.graph.node import Array, Initializer, Node
from chainrule.system.blas import one_thread
from chainrule.system.checks import as_integer
from chainrule.types import show

Shape = tuple[int, ...]
Draw: TypeAlias = Callable[[Shape, np.random.Generator], npt.ArrayLike]
InitSpec: TypeAlias = str | Initializer | Draw | npt.ArrayLike | None

INITIALIZERS: dict[str, type[Start]] = {}
"""All initializers by name, so that model files can be read back."""


def fans(shape: Shape) -> tuple[int, int]:
    """Fan-in and fan-out of a parameter of that shape, at least 1; see the head of this file."""
    if len(shape) < 2:
        return (max(math.prod(shape), 1),) * 2
    window = math.prod(shape[:-2])
    return max(window * shape[-2], 1), max(window * shape[-1], 1)


class Start:
    """The base of all initializers: a name, and fields that are finite numbers."""

    name: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        INITIALIZERS[cls.name] = cls

    def __post_init__(self) -> None:
        for key, value in asdict(self).items():  # type: ignore[call-overload]
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value):
                raise SettingError(f"init {self.name}", f"{key} is a finite number", got=value)

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        """The first value of a parameter of that shape, in float64."""
        raise NotImplementedError


def _normal(generator: np.random.Generator, shape: Shape, variance: float) -> Array:
    return generator.normal(0.0, math.sqrt(variance), shape)


def _uniform(generator: np.random.Generator, shape: Shape, variance: float) -> Array:
    bound = math.sqrt(3 * variance)
    return generator.uniform(-bound, bound, shape)


@dataclass(frozen=True)
class HeNormal(Start):
    """Normal, variance 2 / fan-in: for the relu family. Source: He et al. 2015."""

    name = "he_normal"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return _normal(generator, shape, 2 / fans(shape)[0])


@dataclass(frozen=True)
class HeUniform(Start):
    """Uniform, variance 2 / fan-in: for the relu family. Source: He et al. 2015."""

    name = "he_uniform"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return _uniform(generator, shape, 2 / fans(shape)[0])


@dataclass(frozen=True)
class GlorotNormal(Start):
    """Normal, variance 2 / (fan-in + fan-out): for tanh, sigmoid, linear. Source: Glorot 2010."""

    name = "glorot_normal"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return _normal(generator, shape, 2 / sum(fans(shape)))


@dataclass(frozen=True)
class GlorotUniform(Start):
    """Uniform, variance 2 / (fan-in + fan-out): for tanh, sigmoid, linear. Source: Glorot 2010."""

    name = "glorot_uniform"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return _uniform(generator, shape, 2 / sum(fans(shape)))


@dataclass(frozen=True)
class LeCunNormal(Start):
    """Normal, variance 1 / fan-in: for selu. Source: LeCun et al. 1998, Klambauer et al. 2017."""

    name = "lecun_normal"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return _normal(generator, shape, 1 / fans(shape)[0])


@dataclass(frozen=True)
class LeCunUniform(Start):
    """Uniform, variance 1 / fan-in. Source: LeCun et al. 1998."""

    name = "lecun_uniform"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return _uniform(generator, shape, 1 / fans(shape)[0])


@dataclass(frozen=True)
class Orthogonal(Start):
    """A random matrix with orthonormal columns (or rows, where they are fewer), times `gain`.

    More than two axes are taken as one matrix whose last axis is the second. Source: Saxe 2013.
    """

    gain: float = 1.0
    name = "orthogonal"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        if len(shape) < 2:
            raise ShapeError(
                "init orthogonal", "needs a matrix", expected="2 axes or more", got=show(shape)
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = generator.normal(size=(max(rows, columns), min(rows, columns)))
        with one_thread:
            q, r = np.linalg.qr(tall)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # makes the draw uniform
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


@dataclass(frozen=True)
class Constant(Start):
    """The same number for all elements."""

    value: float
    name = "constant"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return np.full(shape, float(self.value))


@dataclass(frozen=True)
class Zeros(Start):
    """Zeros: for biases."""

    name = "zeros"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class Ones(Start):
    """Ones: for scales."""

    name = "ones"

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return np.ones(shape)


@dataclass(frozen=True)
class Normal(Start):
    """Normal around `mean` with standard deviation `std`, for any shape."""

    std: float = 0.05
    mean: float = 0.0
    name = "normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.std < 0:
            raise SettingError("init normal", "std is not negative", got=self.std)

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return generator.normal(self.mean, self.std, shape)


@dataclass(frozen=True)
class Uniform(Start):
    """Uniform between `low` and `high`, for any shape."""

    low: float = -0.05
    high: float = 0.05
    name = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise SettingError("init uniform", "low is above high", got=f"{self.low}, {self.high}")

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        return generator.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class Grouped(Start):
    """Each of `groups` blocks along the last axis drawn as a parameter of its own, times `gain`.

    For the gates of a recurrent layer, whose matrices lie side by side; for the filters of a
    convolution in groups, which see a part of the channels each, and of a transposed one, whose
    results take less than a window of elements.
    """

    start: Start
    groups: int = 1
    gain: float = 1.0
    name = "grouped"

    def __post_init__(self) -> None:
        if not isinstance(self.start, _BY_FAN) or as_integer(self.groups) is None:
            raise SettingError("init grouped", "needs a rule by fan and a number of groups")
        if self.groups < 1 or not (isinstance(self.gain, float) and math.isfinite(self.gain)):
            raise SettingError("init grouped", "groups are 1 or more, and gain is finite")

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        if not shape or shape[-1] % self.groups:
            raise ShapeError(
                "init grouped", "the groups do not divide the last axis",
                expected=f"a multiple of {self.groups}", got=show(shape),
            )  # fmt: skip
        part = (*shape[:-1], shape[-1] // self.groups)
        drawn = [np.asarray(self.start(part, generator)) for _ in range(self.groups)]
        return self.gain * np.concatenate(drawn, axis=-1)


_BY_FAN = (
    HeNormal, HeUniform, GlorotNormal, GlorotUniform, LeCunNormal, LeCunUniform, Orthogonal,
)  # fmt: skip


def grouped(
    spec: InitSpec, activation: str | None, groups: int, *, gain: float = 1.0
) -> Array | Initializer:
    """The initializer that a setting describes, for filters in groups; see `Grouped`."""
    start = initializer(spec, activation)
    plain = groups == 1 and gain == 1.0
    return Grouped(start, groups, gain) if isinstance(start, _BY_FAN) and not plain else start


@dataclass(frozen=True)
class Custom:
    """A user's function of shape and generator; None for one that a file could not store."""

    draw: Draw | None = None
    name: ClassVar[str] = "custom"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the function's name in its module. Raises SettingError where it has none."""
        module = sys.modules.get(getattr(self.draw, "__module__", None) or "")
        if self.draw is None or getattr(module, self._called, None) is self.draw:
            return Custom, (self.draw,)
        raise SettingError(
            "init",
            "a function that is not at the top of a module cannot be pickled",
            got=repr(self.draw),
            fix="define it with def in a module, or pickle the Model, which has the values",
        )

    def __call__(self, shape: Shape, generator: np.random.Generator) -> Array:
        """The array that the function returns, checked: that shape, all values finite."""
        if self.draw is None:
            raise SettingError(
                "init",
                "an initializer is a user's function, which the model's file does not hold",
                fix="build the graph again from the Python code that made it",
            )
        array = np.asarray(self.draw(shape, generator))
        if array.shape != shape:
            raise ShapeError(
                f"init {self._called}", "wrong shape", expected=show(shape), got=show(array.shape)
            )
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise SettingError(f"init {self._called}", "not all of its values are finite numbers")
        return array

    @property
    def _called(self) -> str:
        return str(getattr(self.draw, "__name__", "custom"))


def _complete(rule: type[Start]) -> bool:
    """Whether a name alone describes an initializer: all of its numbers have a default."""
    return all(x.default is not MISSING for x in fields(rule))  # type: ignore[arg-type]


NAMED_INITIALIZERS = tuple(name for name, rule in INITIALIZERS.items() if _complete(rule))
"""The initializers that a name alone describes."""

RELU_FAMILY = ("relu", "leaky_relu", "elu", "gelu", "silu", "mish", "softplus")


def fitting(activation: str | None) -> Initializer:
    """The rule that keeps the variance of the signal through units with that activation."""
    if activation in RELU_FAMILY:
        return HeNormal()
    return LeCunNormal() if activation == "selu" else GlorotUniform()


def initializer(spec: InitSpec = None, activation: str | None = None) -> Array | Initializer:
    """The initializer that a setting describes.

    Args:
        spec: None: what fits the activation (He for relu and its kin, LeCun for selu, else
            Glorot); a name such as "he_normal"; an initializer such as `Orthogonal(0.5)`; a
            number, for every element; an array; or a function `(shape, generator) -> array`.
        activation: the name of the activation that follows.

    Raises:
        SettingError: no initializer has that name, or `spec` is none of the above.
    """
    if spec is None:
        return fitting(activation)
    if isinstance(spec, str):
        return _by_name(spec)()
    given: Any = spec
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return Constant(given)
    if callable(given) and not isinstance(given, type):
        return given if isinstance(given, Initializer) else Custom(given)
    return _array(given)


def _array(spec: Any) -> Array:
    try:
        unfit = isinstance(spec, (Node, bool))
        array = None if unfit else np.asarray(spec, dtype=np.float64)
    except (TypeError, ValueError):
        array = None
    if array is None or not np.isfinite(array).all():
        raise SettingError(
            "init",
            "not an initializer",
            expected="a name, an initializer, finite numbers, or a function of shape and generator",
            got=repr(spec),
        )
    return array


def _by_name(name: str) -> type[Start]:
    if name not in INITIALIZERS:
        usual = name.lower().replace("xavier", "glorot").replace("kaiming", "he")
        raise SettingError(
            "init", f"no initializer is named {name!r}", fix=did_you_mean(usual, INITIALIZERS)
        )
    rule = INITIALIZERS[name]
    if rule is Constant:
        raise SettingError("init", f"{name!r} needs its number", fix="give the number itself")
    if not _complete(rule):
        needed = ", ".join(f"{x.name}=..." for x in fields(rule) if x.default is MISSING)  # type: ignore[arg-type]
        fix = f"write cr.init.{rule.__name__}({needed})"
        raise SettingError("init", f"{name!r} needs its numbers", fix=fix)
    return rule


def to_dict(start: Initializer) -> dict[str, Any]:
    """An initializer as JSON: its name and its numbers."""
    numbers = asdict(start) if isinstance(start, Start) else {}  # type: ignore[call-overload]
    if isinstance(start, Grouped):
        numbers["start"] = to_dict(start.start)
    return {"name": start.name, **numbers}


def from_dict(data: Mapping[str, Any]) -> Initializer:
    """The initializer that `to_dict` wrote; a user's function comes back as a name only.

    Raises:
        SettingError: an unknown initializer, or its numbers are not valid.
    """
    name = data.get("name")
    if name == Custom.name:
        return Custom()
    if name == "orthogonal_gates":  # written before `Grouped` took its place
        return Grouped(Orthogonal(data.get("gain", 1.0)), data.get("gates", 0))
    if not isinstance(name, str) or name not in INITIALIZERS:
        raise SettingError("init", f"no initializer is named {name!r}", fix=", ".join(INITIALIZERS))
    numbers = {key: value for key, value in data.items() if key != "name"}
    if isinstance(start := numbers.get("start"), Mapping) and "start" not in start:
        numbers["start"] = from_dict(start)
    try:
        return INITIALIZERS[name](**numbers)
    except TypeError:
        raise SettingError("init", f"{name!r} does not take these numbers", got=numbers) from None
