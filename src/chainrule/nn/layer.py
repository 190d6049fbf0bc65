"""The layers without their operand, for use in a sequence: `cr.layer.dense(64, "relu")`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from chainrule.errors import ChainruleError
from chainrule.graph.node import Node
from chainrule.nn import (
    augmentation,
    bags,
    compose,
    convolution,
    encodings,
    experts,
    interactions,
    layers,
    masks,
    normalise,
    numeric,
    pooling,
    recurrent,
    resize,
    transformer,
)
from chainrule.nn.attention import multi_head_attention as _attention
from chainrule.system.calls import refuse_misfit

P = ParamSpec("P")


@dataclass(frozen=True)
class Layer:
    """A layer without its operand; each call builds it anew, with new parameters."""

    function: Callable[..., Node]
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def __call__(self, x: Node) -> Node:
        """The node of the layer on `x`."""
        try:
            return self.function(x, *self.arguments, **self.options)
        except ChainruleError as error:
            error.of_call(self.function.__name__, x, *self.options.values())
            raise

    def __repr__(self) -> str:
        inside = [repr(a) for a in self.arguments]
        inside += [f"{key}={value!r}" for key, value in self.options.items()]
        return f"{self.function.__name__}({', '.join(inside)})"


def _waiting(function: Callable[Concatenate[Node, P], Node]) -> Callable[P, Layer]:
    def wait(*arguments: P.args, **options: P.kwargs) -> Layer:
        refuse_misfit(function, (None, *arguments), options)
        return Layer(function, arguments, options)

    wait.__name__ = function.__name__
    wait.__doc__ = function.__doc__
    return wait


dense = _waiting(layers.dense)
augment = _waiting(augmentation.augment)
dropout = _waiting(layers.dropout)
embedding = _waiting(layers.embedding)
flatten = _waiting(layers.flatten)
noise = _waiting(layers.noise)
embedding_bag = _waiting(bags.embedding_bag)
batch_norm = _waiting(normalise.batch_norm)
layer_norm = _waiting(normalise.layer_norm)
rms_norm = _waiting(normalise.rms_norm)
group_norm = _waiting(normalise.group_norm)
instance_norm = _waiting(normalise.instance_norm)
local_response_norm = _waiting(normalise.local_response_norm)
conv = _waiting(convolution.conv)
conv_transpose = _waiting(convolution.conv_transpose)
depthwise_conv = _waiting(convolution.depthwise_conv)
separable_conv = _waiting(convolution.separable_conv)
adaptive_pool = _waiting(pooling.adaptive_pool)
average_pool = _waiting(pooling.average_pool)
global_pool = _waiting(pooling.global_pool)
max_pool = _waiting(pooling.max_pool)
pixel_shuffle = _waiting(resize.pixel_shuffle)
pixel_unshuffle = _waiting(resize.pixel_unshuffle)
upsample = _waiting(resize.upsample)
piecewise = _waiting(numeric.piecewise)
periodic = _waiting(numeric.periodic)
residual = _waiting(compose.residual)
mlp = _waiting(compose.mlp)
multi_head_attention = _waiting(_attention)
positions = _waiting(encodings.positions)
rotary = _waiting(encodings.rotary)
sequence_pool = _waiting(masks.sequence_pool)
geglu = _waiting(transformer.geglu)
swiglu = _waiting(transformer.swiglu)
transformer_encoder = _waiting(transformer.transformer_encoder)
rnn = _waiting(recurrent.rnn)
lstm = _waiting(recurrent.lstm)
gru = _waiting(recurrent.gru)
mixture_of_experts = _waiting(experts.mixture_of_experts)
field_embedding = _waiting(interactions.field_embedding)
pair_interactions = _waiting(interactions.pair_interactions)
factorisation = _waiting(interactions.factorisation)
deep_factorisation = _waiting(interactions.deep_factorisation)
