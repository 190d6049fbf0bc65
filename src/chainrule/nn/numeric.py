"""Layers for columns of numbers: a trained scale, piecewise-linear and periodic embeddings."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from chainrule.errors import SettingError, ShapeError
from chainrule.graph.node import Array, Node
from chainrule.graph.source import user_line
from chainrule.nn.arguments import between, features, new_parameter, operand_at, positive
from chainrule.nn.init import Normal, Uniform
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.bounds import clip
from chainrule.ops.einsum import einsum
from chainrule.ops.join import concat
from chainrule.ops.reduce import sum
from chainrule.ops.shape import expand_dims, reshape
from chainrule.ops.transcendental import cos
from chainrule.types import TensorType, show


def scale(x: Node, *, name: str | None = None, trainable: bool = True) -> Node:
    """Each feature times its trained factor, `name.scale`, (i,), which starts at 1.

    Before the first dense layer it lets the network amplify useful columns and attenuate others
    in a few steps. Source: D. Holzmüller, L. Grinsztajn and I. Steinwart, Better by default,
    NeurIPS 2024.

    Args:
        x: (N, i) or (N, ..., i).
        name, trainable: as in `dense`.
    """
    x, i = features("scale", x)
    scope = layer_scope(name, "scale")
    factors = new_parameter(scope, ".scale", TensorType((i,), x.dtype), "ones", trainable=trainable)
    return as_layer(scope, x * factors, (x,))


def piecewise(
    x: Node,
    knots: npt.ArrayLike,
    width: int = 8,
    *,
    name: str | None = None,
    trainable: bool = True,
) -> Node:
    """Each number and `width - 1` trained piecewise linear functions of it: (N, i * width).

    With quantiles as knots, a network resolves one column finely where it has many rows, as
    trees do. Piece t of a column is -1/2 before it, 1/2 behind it, and rises linearly in it; the
    functions are sums of the pieces with weights `name.w`, (i, pieces, width - 1), and `name.b`.

    Args:
        x: (N, i).
        knots: (i, pieces + 1), in the unit of x, ascending; they may be equal.
        width: outputs of a column, including the column itself, which comes last.
        name, trainable: as in `dense`.

    Source: Y. Gorishniy, I. Rubachev and A. Babenko, On embeddings for numerical features,
    NeurIPS 2022.

    Raises:
        ShapeError: `x` is not (N, i), or `knots` do not fit it.
        SettingError: `width` is below 2, or knots decrease or are not finite.
    """
    x, i = _columns("piecewise", x)
    starts, slopes = _pieces(np.asarray(knots, dtype=x.dtype), i, x)
    functions, pieces = positive("piecewise", "width", width, 2) - 1, starts.shape[1]
    scope, edge = layer_scope(name, "piecewise"), Uniform(-(pieces**-0.5), pieces**-0.5)
    types = (TensorType(shape, x.dtype) for shape in ((i, pieces, functions), (i, functions)))
    w, b = (
        new_parameter(scope, suffix, type, edge, trainable=trainable)
        for suffix, type in zip((".w", ".b"), types, strict=True)
    )
    passed = clip((expand_dims(x, 2) - starts) * slopes, 0, 1) - 0.5  # (N, i, pieces)
    functions_of_x = einsum("nip,ipf->nif", passed, w) + b
    flat = reshape(functions_of_x, (x.shape[0], i * functions))
    return as_layer(scope, concat([flat, x], axis=1), (x,))


def _pieces(knots: Array, i: int, x: Node) -> tuple[Array, Array]:
    """The starts and inverse lengths of pieces, (i, pieces); 0 for those of length 0."""
    if knots.ndim != 2 or len(knots) != i or knots.shape[1] < 2:
        raise ShapeError(
            "piecewise", "takes knots for each column", expected=f"({i}, pieces + 1)",
            got=show(knots.shape), at=operand_at(x),
        )  # fmt: skip
    lengths = np.diff(knots)
    if not (np.isfinite(knots).all() and (lengths >= 0).all()):
        raise SettingError(
            "piecewise", "knots must be finite and ascending", at="line " + user_line()
        )
    long = lengths >= np.finfo(knots.dtype).tiny
    return knots[:, :-1], np.divide(1, lengths, out=np.zeros_like(lengths), where=long)


def periodic(
    x: Node,
    width: int = 4,
    *,
    waves: int = 16,
    sigma: float = 0.1,
    name: str | None = None,
    trainable: bool = True,
) -> Node:
    """Each number and `width - 1` trained mixtures of cosines of it: (N, i) to (N, i * width).

    The cosines are `cos(2 pi (x f + p))`, with the frequencies `name.f` and phases `name.p`,
    (i, waves); the mixtures have weights `name.w`, (i, waves, width - 1), and `name.b`. Smooth
    functions of one column that bend often come easily, which a dense layer learns slowly.

    Args:
        x: (N, i), numbers of about unit scale.
        width: outputs of a column, including the column itself, which comes last.
        waves: the number of cosines of a column.
        sigma: the standard deviation of the initial frequencies.
        name, trainable: as in `dense`.

    Sources: Y. Gorishniy, I. Rubachev and A. Babenko, On embeddings for numerical features,
    NeurIPS 2022; for this form D. Holzmüller et al., Better by default, NeurIPS 2024.

    Raises:
        ShapeError: `x` is not (N, i). SettingError: `width` is below 2, or `waves` below 1.
    """
    x, i = _columns("periodic", x)
    mixtures = positive("periodic", "width", width, 2) - 1
    waves, sigma = positive("periodic", "waves", waves), between("periodic", "sigma", sigma, 0, 1e6)
    scope, edge = layer_scope(name, "periodic"), waves**-0.5

    def new(suffix: str, shape: tuple[int, ...], start: Normal | Uniform) -> Node:
        return new_parameter(scope, suffix, TensorType(shape, x.dtype), start, trainable=trainable)

    f, p = new(".f", (i, waves), Normal(sigma)), new(".p", (i, waves), Uniform(-0.5, 0.5))
    w = new(".w", (i, waves, mixtures), Uniform(-edge, edge))
    b = new(".b", (i, mixtures), Uniform(-edge, edge))
    c = cos(2 * math.pi * (expand_dims(x, 2) * f + p))  # (N, i, waves)
    mixed = sum(expand_dims(c, 3) * w, axis=2) + b  # (N, i, mixtures)
    flat = reshape(mixed, (x.shape[0], i * mixtures))
    return as_layer(scope, concat([flat, x], axis=1), (x,))


def _columns(layer: str, x: Node) -> tuple[Node, int]:
    """The operand (N, i), and i."""
    x, i = features(layer, x)
    if x.ndim != 2:
        raise ShapeError(
            layer, "needs (N, columns)", expected="(N, features)", got=x.type.sizes,
            at=operand_at(x),
        )  # fmt: skip
    return x, i
