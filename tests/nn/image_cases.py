"""Layers of images beside PyTorch's function of the same meaning: a table without either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ROWS = 2
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Peer:
    """A layer, named `l`, and what it is compared with.

    Attributes:
        name: of the row.
        shape: of one example, channels last.
        ours: `cr, x` to the layer.
        torch: `torch.nn.functional, x, **parameters` to the result, both with channels first.
        parameters: their shapes, by the suffix of their name.
        groups: of a transposed convolution, whose weights PyTorch keeps in another order.
    """

    name: str
    shape: Shape
    ours: Callable[[Any, Any], Any]
    torch: Callable[..., Any]
    parameters: dict[str, Shape] = field(default_factory=dict)
    groups: int = 0

    def numbers(self) -> dict[str, np.ndarray[Any, Any]]:
        """The operand and the parameters, in float64: the same in each run."""
        seed = [ord(letter) for letter in self.name]
        generator = np.random.default_rng(seed)
        shapes = {"x": (ROWS, *self.shape), **self.parameters}
        return {name: generator.normal(size=shape) for name, shape in shapes.items()}

    def direction(self, shape: Shape) -> np.ndarray[Any, Any]:
        """The gradient of a loss with respect to the result."""
        return np.random.default_rng([7, *map(ord, self.name)]).normal(size=shape)


def _conv(dims: int, **settings: Any) -> Callable[..., Any]:
    return lambda F, x, w, b=None: getattr(F, f"conv{dims}d")(x, w, b, **settings)


def _back(dims: int, **settings: Any) -> Callable[..., Any]:
    return lambda F, x, w, b=None: getattr(F, f"conv_transpose{dims}d")(x, w, b, **settings)


def _padded(dims: int, sides: Shape, **settings: Any) -> Callable[..., Any]:
    """PyTorch pads by sides with a function of its own; it takes the last axis first."""
    return lambda F, x, w, b=None: getattr(F, f"conv{dims}d")(F.pad(x, sides), w, b, **settings)


CASES = [
    # ---------------------------------------------------------------- convolutions
    Peer("conv 1-D", (9, 3), lambda cr, x: cr.conv(x, 4, 3, name="l", padding="valid"),
         _conv(1), {"w": (3, 3, 4), "b": (4,)}),
    Peer("conv 1-D, same, even size", (7, 2), lambda cr, x: cr.conv(x, 3, 4, name="l"),
         _conv(1, padding="same"), {"w": (4, 2, 3), "b": (3,)}),
    Peer("conv 1-D, length 1", (1, 2), lambda cr, x: cr.conv(x, 3, 3, name="l"),
         _conv(1, padding=1), {"w": (3, 2, 3), "b": (3,)}),
    Peer("conv 1-D, causal", (8, 2),
         lambda cr, x: cr.conv(x, 3, 3, name="l", dilation=2, padding=(4, 0)),
         _padded(1, (4, 0), dilation=2), {"w": (3, 2, 3), "b": (3,)}),
    Peer("conv 2-D, same", (6, 5, 3), lambda cr, x: cr.conv(x, 4, 3, name="l"),
         _conv(2, padding=1), {"w": (3, 3, 3, 4), "b": (4,)}),
    Peer("conv 2-D, stride", (7, 6, 2),
         lambda cr, x: cr.conv(x, 3, (3, 2), name="l", stride=(2, 3), padding=(1, 0)),
         _conv(2, stride=(2, 3), padding=(1, 0)), {"w": (3, 2, 2, 3), "b": (3,)}),
    Peer("conv 2-D, same with stride", (7, 6, 2),
         lambda cr, x: cr.conv(x, 3, 3, name="l", stride=2),
         _padded(2, (0, 1, 1, 1), stride=2), {"w": (3, 3, 2, 3), "b": (3,)}),
    Peer("conv 2-D, dilation", (7, 8, 2),
         lambda cr, x: cr.conv(x, 3, 3, name="l", dilation=(2, 3), padding="same"),
         _conv(2, dilation=(2, 3), padding=(2, 3)), {"w": (3, 3, 2, 3), "b": (3,)}),
    Peer("conv 2-D, padding by side", (5, 4, 2),
         lambda cr, x: cr.conv(x, 3, 3, name="l", padding=((2, 0), (1, 3)), bias=False),
         _padded(2, (1, 3, 2, 0)), {"w": (3, 3, 2, 3)}),
    Peer("conv 2-D, groups", (5, 6, 4), lambda cr, x: cr.conv(x, 6, 3, name="l", groups=2),
         _conv(2, padding=1, groups=2), {"w": (3, 3, 2, 6), "b": (6,)}),
    Peer("conv 2-D, groups = channels", (5, 6, 3),
         lambda cr, x: cr.conv(x, 3, 3, name="l", groups=3),
         _conv(2, padding=1, groups=3), {"w": (3, 3, 1, 3), "b": (3,)}),
    Peer("conv 2-D, 1x1", (4, 3, 5), lambda cr, x: cr.conv(x, 2, 1, name="l"),
         _conv(2), {"w": (1, 1, 5, 2), "b": (2,)}),
    Peer("conv 2-D, 1x1 with stride", (5, 4, 3), lambda cr, x: cr.conv(x, 2, 1, name="l", stride=2),
         _conv(2, stride=2), {"w": (1, 1, 3, 2), "b": (2,)}),
    Peer("conv 2-D, stride over size", (9, 8, 2),
         lambda cr, x: cr.conv(x, 3, 2, name="l", stride=3, padding="valid"),
         _conv(2, stride=3), {"w": (2, 2, 2, 3), "b": (3,)}),
    Peer("conv 2-D, size over image", (2, 3, 2),
         lambda cr, x: cr.conv(x, 3, 5, name="l", padding=2),
         _conv(2, padding=2), {"w": (5, 5, 2, 3), "b": (3,)}),
    Peer("conv 2-D, one pixel, one channel", (1, 1, 1), lambda cr, x: cr.conv(x, 1, 3, name="l"),
         _conv(2, padding=1), {"w": (3, 3, 1, 1), "b": (1,)}),
    Peer("conv 3-D", (4, 5, 3, 2),
         lambda cr, x: cr.conv(x, 3, (2, 3, 3), name="l", stride=(1, 2, 1), padding=(0, 1, 1)),
         _conv(3, stride=(1, 2, 1), padding=(0, 1, 1)), {"w": (2, 3, 3, 2, 3), "b": (3,)}),
    Peer("conv 3-D, groups", (3, 3, 4, 4),
         lambda cr, x: cr.conv(x, 4, 2, name="l", groups=2, padding="valid"),
         _conv(3, groups=2), {"w": (2, 2, 2, 2, 4), "b": (4,)}),
    Peer("depthwise 2-D, multiplier", (5, 4, 3),
         lambda cr, x: cr.depthwise_conv(x, 3, name="l", multiplier=2, stride=2, padding=1),
         _conv(2, padding=1, stride=2, groups=3), {"w": (3, 3, 1, 6), "b": (6,)}),
    Peer("depthwise 1-D", (6, 3), lambda cr, x: cr.depthwise_conv(x, 3, name="l", padding="valid"),
         _conv(1, groups=3), {"w": (3, 1, 3), "b": (3,)}),
    # ---------------------------------------------------------------- transposed convolutions
    Peer("transposed 1-D", (5, 3),
         lambda cr, x: cr.conv_transpose(x, 2, 3, name="l", stride=2, padding="valid"),
         _back(1, stride=2), {"w": (3, 3, 2), "b": (2,)}, 1),
    Peer("transposed 2-D, output padding", (4, 3, 3),
         lambda cr, x: cr.conv_transpose(x, 2, 3, name="l", stride=2, padding=1, output_padding=1),
         _back(2, stride=2, padding=1, output_padding=1), {"w": (3, 3, 3, 2), "b": (2,)}, 1),
    Peer("transposed 2-D, strides and output padding by axis", (4, 3, 2),
         lambda cr, x: cr.conv_transpose(x, 4, 3, name="l", stride=(1, 3), padding=1, groups=2,
                                         output_padding=(0, 2)),
         _back(2, stride=(1, 3), padding=1, groups=2, output_padding=(0, 2)),
         {"w": (3, 3, 1, 4), "b": (4,)}, 2),
    Peer("transposed 2-D, same", (3, 4, 2),
         lambda cr, x: cr.conv_transpose(x, 3, 4, name="l", stride=2),
         _back(2, stride=2, padding=1), {"w": (4, 4, 2, 3), "b": (3,)}, 1),
    Peer("transposed 2-D, dilation", (3, 4, 2),
         lambda cr, x: cr.conv_transpose(x, 3, 2, name="l", stride=(1, 2), dilation=2,
                                         padding=(1, 0)),
         _back(2, stride=(1, 2), dilation=2, padding=(1, 0)), {"w": (2, 2, 2, 3), "b": (3,)}, 1),
    Peer("transposed 2-D, groups", (3, 4, 4),
         lambda cr, x: cr.conv_transpose(x, 6, 3, name="l", stride=2, groups=2, padding="valid"),
         _back(2, stride=2, groups=2), {"w": (3, 3, 2, 6), "b": (6,)}, 2),
    Peer("transposed 2-D, stride over size", (3, 2, 2),
         lambda cr, x: cr.conv_transpose(x, 2, 2, name="l", stride=3, padding=0, output_padding=2),
         _back(2, stride=3, output_padding=2), {"w": (2, 2, 2, 2), "b": (2,)}, 1),
    Peer("transposed 3-D", (2, 3, 2, 2),
         lambda cr, x: cr.conv_transpose(x, 2, (2, 3, 2), name="l", stride=2, padding=(0, 1, 0)),
         _back(3, stride=2, padding=(0, 1, 0)), {"w": (2, 3, 2, 2, 2), "b": (2,)}, 1),
    # ---------------------------------------------------------------- pooling
    Peer("max 1-D", (9, 2), lambda cr, x: cr.max_pool(x, 3, stride=2),
         lambda F, x: F.max_pool1d(x, 3, stride=2)),
    Peer("max 2-D", (6, 7, 2), lambda cr, x: cr.max_pool(x, 2),
         lambda F, x: F.max_pool2d(x, 2)),
    Peer("max 2-D, padding, ceil", (6, 7, 2),
         lambda cr, x: cr.max_pool(x, 3, stride=(2, 3), padding=1, ceil=True),
         lambda F, x: F.max_pool2d(x, 3, stride=(2, 3), padding=1, ceil_mode=True)),
    Peer("max 2-D, ceil, size over image", (2, 3, 2),
         lambda cr, x: cr.max_pool(x, 3, stride=2, ceil=True),
         lambda F, x: F.max_pool2d(x, 3, stride=2, ceil_mode=True)),
    Peer("average 2-D, ceil, size over image", (2, 3, 2),
         lambda cr, x: cr.average_pool(x, (3, 4), stride=(2, 3), padding=(0, 1), ceil=True),
         lambda F, x: F.avg_pool2d(x, (3, 4), stride=(2, 3), padding=(0, 1), ceil_mode=True,
                                   count_include_pad=False)),
    Peer("max 2-D, ceil that begins outside", (5, 5, 1),
         lambda cr, x: cr.max_pool(x, 1, stride=3, ceil=True),
         lambda F, x: F.max_pool2d(x, 1, stride=3, ceil_mode=True)),
    Peer("max 2-D, dilation", (7, 6, 2), lambda cr, x: cr.max_pool(x, 2, stride=1, dilation=3),
         lambda F, x: F.max_pool2d(x, 2, stride=1, dilation=3)),
    Peer("max 3-D", (4, 3, 4, 2), lambda cr, x: cr.max_pool(x, (2, 3, 2)),
         lambda F, x: F.max_pool3d(x, (2, 3, 2))),
    Peer("average 1-D", (8, 2), lambda cr, x: cr.average_pool(x, 3),
         lambda F, x: F.avg_pool1d(x, 3)),
    Peer("average 2-D, without padding", (6, 5, 2),
         lambda cr, x: cr.average_pool(x, 3, stride=2, padding=1),
         lambda F, x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)),
    Peer("average 2-D, with padding", (6, 5, 2),
         lambda cr, x: cr.average_pool(x, 3, stride=2, padding=1, count_padding=True),
         lambda F, x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=True)),
    Peer("average 2-D, ceil", (6, 7, 2),
         lambda cr, x: cr.average_pool(x, 3, stride=2, padding=1, ceil=True, count_padding=True),
         lambda F, x: F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)),
    Peer("average 2-D, ceil without padding", (6, 7, 2),
         lambda cr, x: cr.average_pool(x, (2, 3), stride=(4, 2), ceil=True),
         lambda F, x: F.avg_pool2d(x, (2, 3), stride=(4, 2), ceil_mode=True,
                                   count_include_pad=False)),
    Peer("average 3-D", (4, 3, 4, 2), lambda cr, x: cr.average_pool(x, 2),
         lambda F, x: F.avg_pool3d(x, 2)),
    Peer("adaptive average 2-D", (7, 6, 2), lambda cr, x: cr.adaptive_pool(x, (3, 4)),
         lambda F, x: F.adaptive_avg_pool2d(x, (3, 4))),
    Peer("adaptive average 1-D, more than there are", (3, 2), lambda cr, x: cr.adaptive_pool(x, 5),
         lambda F, x: F.adaptive_avg_pool1d(x, 5)),
    Peer("adaptive max 2-D", (7, 6, 2), lambda cr, x: cr.adaptive_pool(x, (3, 2), "max"),
         lambda F, x: F.adaptive_max_pool2d(x, (3, 2))),
    Peer("adaptive max 3-D", (3, 5, 4, 2), lambda cr, x: cr.adaptive_pool(x, (2, 2, 3), "max"),
         lambda F, x: F.adaptive_max_pool3d(x, (2, 2, 3))),
    Peer("global average", (3, 4, 2), lambda cr, x: cr.global_pool(x),
         lambda F, x: x.mean((2, 3))),
    Peer("global max", (3, 4, 2), lambda cr, x: cr.global_pool(x, "max"),
         lambda F, x: x.amax((2, 3))),
    # ---------------------------------------------------------------- larger images
    Peer("nearest 2-D", (3, 4, 2), lambda cr, x: cr.upsample(x, (2, 3)),
         lambda F, x: F.interpolate(x, scale_factor=(2, 3))),
    Peer("nearest 2-D, size", (5, 4, 2), lambda cr, x: cr.upsample(x, size=(7, 3)),
         lambda F, x: F.interpolate(x, size=(7, 3))),
    Peer("linear 1-D", (5, 2), lambda cr, x: cr.upsample(x, 3, method="linear"),
         lambda F, x: F.interpolate(x, scale_factor=3, mode="linear")),
    Peer("bilinear", (3, 4, 2), lambda cr, x: cr.upsample(x, 2, method="linear"),
         lambda F, x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    Peer("bilinear, size", (5, 4, 2), lambda cr, x: cr.upsample(x, size=(7, 3), method="linear"),
         lambda F, x: F.interpolate(x, size=(7, 3), mode="bilinear")),
    Peer("bilinear, corners", (3, 4, 2),
         lambda cr, x: cr.upsample(x, size=(6, 1), method="linear", align_corners=True),
         lambda F, x: F.interpolate(x, size=(6, 1), mode="bilinear", align_corners=True)),
    Peer("bilinear, one pixel", (1, 1, 2), lambda cr, x: cr.upsample(x, 2, method="linear"),
         lambda F, x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    Peer("trilinear", (2, 3, 2, 2),
         lambda cr, x: cr.upsample(x, 2, method="linear", align_corners=True),
         lambda F, x: F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)),
    Peer("pixel shuffle", (2, 3, 8), lambda cr, x: cr.pixel_shuffle(x, 2),
         lambda F, x: F.pixel_shuffle(x, 2)),
    Peer("pixel unshuffle", (6, 3, 2), lambda cr, x: cr.pixel_unshuffle(x, 3),
         lambda F, x: F.pixel_unshuffle(x, 3)),
    # ---------------------------------------------------------------- norms
    Peer("instance norm", (4, 3, 2), lambda cr, x: cr.instance_norm(x, name="l"),
         lambda F, x, scale, shift: F.instance_norm(x, weight=scale, bias=shift),
         {"scale": (2,), "shift": (2,)}),
    Peer("group norm", (3, 2, 6), lambda cr, x: cr.group_norm(x, 3, name="l"),
         lambda F, x, scale, shift: F.group_norm(x, 3, scale, shift),
         {"scale": (6,), "shift": (6,)}),
    Peer("group norm of one group", (3, 4), lambda cr, x: cr.group_norm(x, 1, name="l"),
         lambda F, x, scale, shift: F.group_norm(x, 1, scale, shift),
         {"scale": (4,), "shift": (4,)}),
    Peer("local response norm", (3, 2, 6),
         lambda cr, x: cr.local_response_norm(x, 4, alpha=0.5, k=2.0),
         lambda F, x: F.local_response_norm(x, 4, alpha=0.5, k=2.0)),
    Peer("local response norm of few channels", (3, 2),
         lambda cr, x: cr.local_response_norm(x, 5, alpha=2.0, beta=0.5),
         lambda F, x: F.local_response_norm(x, 5, alpha=2.0, beta=0.5)),
]  # fmt: skip
