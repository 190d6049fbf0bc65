"""Writes frozen.npz: attention layers of PyTorch, in float64, with their gradients.

Run by hand, where PyTorch is installed: `python tests/golden/attention/frozen.py`. The tests read
the file alone. Weights are stored as Chainrule has them, (inputs, outputs), under its names.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

torch: Any = import_module("torch")
functional: Any = torch.nn.functional
R = np.random.default_rng(15)
N, L, S, E, H, F = 3, 5, 6, 8, 2, 12
Arrays = dict[str, Any]


def tensor(*shape: int) -> Any:
    """Normal numbers that gradients flow to."""
    return torch.tensor(R.normal(size=shape), dtype=torch.float64, requires_grad=True)


def store(case: str, y: Any, given: Arrays, wrt: Arrays, out: Arrays) -> None:
    """Put operands, result, and the gradients of sum(result * cotangent) into `out`.

    Args:
        case: the prefix of the names.
        y: the result.
        given: the data, by name.
        wrt: by name, (tensor, function of its values and of its gradient for the file).
        out: the arrays of the file.
    """
    cotangent = torch.tensor(R.normal(size=tuple(y.shape)), dtype=torch.float64)
    (y * cotangent).sum().backward()
    out |= {f"{case}/given/{name}": np.array(x) for name, x in given.items()}
    out[f"{case}/y"], out[f"{case}/cotangent"] = y.detach().numpy(), cotangent.numpy()
    for name, (x, form) in wrt.items():
        out[f"{case}/value/{name}"] = np.ascontiguousarray(form(x.detach().numpy()))
        out[f"{case}/gradient/{name}"] = np.ascontiguousarray(form(x.grad.numpy()))


def same(x: Any) -> Any:
    """The array itself."""
    return x


def part(first: int, last: int) -> Any:
    """Rows of a stacked weight or bias, transposed."""
    return lambda x: x[first:last].T


def products(out: Arrays) -> None:
    """scaled_dot_product_attention, with masks, biases, causal, and grouped heads."""
    mask = R.random((N, 1, L, S)) < 0.6
    mask[..., 0] = True
    settings: dict[str, tuple[tuple[int, ...], tuple[int, ...], Arrays, Arrays]] = {
        "plain": ((N, H, L, E), (N, H, S, E), {}, {}),
        "masked": ((N, H, L, E), (N, H, S, E), {"attn_mask": torch.tensor(mask)}, {"mask": mask}),
        "causal": ((N, H, L, E), (N, H, L, E), {"is_causal": True, "scale": 0.3}, {}),
        "grouped": ((N, 6, L, E), (N, 3, S, E), {"enable_gqa": True}, {}),
    }
    for case, (queries, keys, options, given) in settings.items():
        q, k, v = tensor(*queries), tensor(*keys), tensor(*keys[:-1], 7)
        y = functional.scaled_dot_product_attention(q, k, v, **options)
        store(case, y, given, {"q": (q, same), "k": (k, same), "v": (v, same)}, out)
    q, k, v, bias = tensor(N, H, L, E), tensor(N, H, S, E), tensor(N, H, S, E), tensor(H, L, S)
    y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    leaves = {"q": (q, same), "k": (k, same), "v": (v, same), "bias": (bias, same)}
    store("biased", y, {}, leaves, out)


def weights(layer: Any, prefix: str, width: int) -> Arrays:
    """The parameters of a MultiheadAttention by Chainrule's names."""
    found: Arrays = {}
    for k, name in enumerate(("query", "key", "value")):
        rows = k * width, (k + 1) * width
        found[f"{prefix}.{name}.b"] = (layer.in_proj_bias, part(*rows))
        if layer.in_proj_weight is None:
            one = getattr(layer, f"{name[0]}_proj_weight")
            found[f"{prefix}.{name}.w"] = (one, part(0, width))
        else:
            found[f"{prefix}.{name}.w"] = (layer.in_proj_weight, part(*rows))
    found[f"{prefix}.out.w"] = (layer.out_proj.weight, np.transpose)
    found[f"{prefix}.out.b"] = (layer.out_proj.bias, same)
    return found


def randomised(layer: Any) -> Any:
    """The layer in float64, with random biases too."""
    layer = layer.double()
    with torch.no_grad():
        for x in layer.parameters():
            x.copy_(torch.tensor(R.normal(size=tuple(x.shape)) * 0.5))
    return layer


def heads(out: Arrays) -> None:
    """MultiheadAttention, of a sequence to itself with padding, and to another one."""
    part_of = np.arange(L) < np.array([[5], [3], [1]])
    x = tensor(N, L, E)
    layer = randomised(torch.nn.MultiheadAttention(E, H, batch_first=True))
    y, _ = layer(x, x, x, key_padding_mask=torch.tensor(~part_of))
    store("self", y, {"mask": part_of}, {"x": (x, same), **weights(layer, "a", E)}, out)
    x, memory = tensor(N, L, E), tensor(N, S, 7)
    layer = randomised(torch.nn.MultiheadAttention(E, H, kdim=7, vdim=7, batch_first=True))
    y, _ = layer(x, memory, memory)
    leaves = {"x": (x, same), "memory": (memory, same), **weights(layer, "a", E)}
    store("cross", y, {}, leaves, out)


def blocks(out: Arrays) -> None:
    """TransformerEncoderLayer with both orders of its normalisations."""
    part_of = np.arange(L) < np.array([[5], [3], [1]])
    for case, first, activation in (("pre", True, "gelu"), ("post", False, "relu")):
        x = tensor(N, L, E)
        layer = randomised(
            torch.nn.TransformerEncoderLayer(
                E, H, F, 0.0, activation, batch_first=True, norm_first=first
            )
        )
        y = layer(x, src_key_padding_mask=torch.tensor(~part_of))
        last = "b" if not first else "b.norm2"
        leaves = {"x": (x, same), **weights(layer.self_attn, "b.attention", E)}
        for name, inner in (("b.norm1", layer.norm1), (last, layer.norm2)):
            leaves[f"{name}.scale"] = (inner.weight, same)
            leaves[f"{name}.shift"] = (inner.bias, same)
        for name, inner in (("b.hidden", layer.linear1), ("b.out", layer.linear2)):
            leaves[f"{name}.w"] = (inner.weight, np.transpose)
            leaves[f"{name}.b"] = (inner.bias, same)
        store(case, y, {"mask": part_of}, leaves, out)


if __name__ == "__main__":
    arrays: Arrays = {}
    products(arrays)
    heads(arrays)
    blocks(arrays)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)
