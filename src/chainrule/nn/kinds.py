"""Recognises layers of images by the nodes that they make, whatever their names are."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.graph.node import Node, Operation


def image_kind(group: Sequence[Node]) -> str | None:
    """The kind of a layer of images with the size of its windows; None: it is something else."""
    found = {x.op.name: x for x in group if isinstance(x, Operation)}
    w = next((x for x in group if x.suffix == ".w"), None)
    if w is not None:
        return _convolution(found, w)
    seen = found.get("windows")
    if seen is not None:
        return _of_windows(found, seen)
    spread = found.get("var")
    if spread is None or not any(x.suffix == ".shift" for x in group):
        return None
    if "tracked" in found or spread.attributes["axis"] == (spread.operands[0].ndim - 1,):
        return None
    return "instance_norm" if spread.operands[0].shape[-1] == 1 else "group_norm"


def channels_first(group: Sequence[Node]) -> bool:
    """Whether a layer of images moves the channels of its operand to the end, and its own back."""
    return any(
        isinstance(x, Operation) and x.op.name == "transpose" and x.suffix == ".transpose"
        for x in group
    )


def _convolution(found: dict[str, Operation], w: Node) -> str | None:
    *size, i, _ = w.shape if w.ndim > 2 else (1, 1)
    pointwise = size and set(size) == {1} and found.keys() & {"einsum", "matmul"}
    if "overlap_add" in found:
        kind = "conv_transpose"
    elif "windows" in found:
        alone = i == 1 and found["windows"].shape[-1] != 1
        kind = "depthwise_conv" if alone else "conv"
    elif pointwise and not found.keys() & {"concat", "cos"}:
        kind = "conv"
    else:
        return None
    return f"{kind} {'x'.join(map(str, size))}"


def _of_windows(found: dict[str, Operation], seen: Operation) -> str | None:
    if "power_scalar" in found:
        return "local_response_norm"
    size = "x".join(map(str, seen.attributes["size"]))
    if "max" in found:
        return f"max_pool {size}"
    return f"average_pool {size}" if {"sum", "divide"} <= found.keys() else None
