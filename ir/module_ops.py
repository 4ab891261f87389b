"""From the modules of a transformer layer to its operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .op import Op, attention, elementwise, gemm, normalization
from .polynomial import BATCH, ROWS, as_polynomial

if TYPE_CHECKING:
    from torch import nn

# Kernels that eager transformers starts for one rotary embedding of q and k, and for one RMSNorm.
_ROTARY_LAUNCHES = 10
_RMS_LAUNCHES = 6
# The square, its mean and the two products each go through the whole row: reads and writes, in rows of one pass.
_RMS_PASSES = 3


def layer_ops(layer: nn.Module, *, causal: bool) -> tuple[Op, ...]:
    """The operations of one transformer layer, in order of its modules, residual additions last.

    Args:
        layer: a layer with one attention and one MLP, on any device, meta included.
        causal: whether its attention is causal, with rotary embeddings and a key-value cache.
    """
    per_head = _head_norms(layer)
    ops = [
        op
        for name, module in layer.named_modules()
        for op in module_ops(name, module, causal=causal, repeats=per_head.get(name, 1))
    ]
    width = _layer_width(layer)
    return (*ops, elementwise("residual.attention", width, reads=2), elementwise("residual.mlp", width, reads=2))


def module_ops(
    name: str, module: nn.Module, *, causal: bool = False, repeats: int = 1, prefix: int = 0
) -> Iterator[Op]:
    """The operations that a module adds itself, without those of its children.

    Args:
        name: dotted name of the module inside its layer. module: on any device, meta included.
        causal: whether attention in it is causal, with rotary embeddings and a key-value cache.
        repeats: how many rows of a norm's width one token has: the heads, for a norm over single heads.
        prefix: tokens of each sequence that no patch embedding makes, such as [CLS].
    """
    from torch import nn

    kind = type(module).__name__
    if isinstance(module, nn.Linear):
        yield gemm(name, module.in_features, module.out_features, bias=module.bias is not None)
    elif isinstance(module, nn.Conv2d):
        yield _convolution(name, module, prefix)
    elif "Norm" in kind and hasattr(module, "weight"):
        yield from _norm(name, module, repeats)
    elif kind.endswith("Attention") and hasattr(module, "head_dim"):
        yield from _attention(name, module, causal=causal)
    elif kind.endswith("MLP"):
        yield from _activation(name, module)


def _convolution(name: str, module: nn.Conv2d, prefix: int) -> Op:
    """A patch embedding: kernel and stride are equal, so it is a gemm over patches: all tokens but `prefix`."""
    patches = ROWS + -prefix * BATCH
    patch = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
    return Op(
        name,
        "convolution",
        flops=2 * patch * module.out_channels * patches,
        elements=(patch + module.out_channels) * patches,
        weights=sum(p.numel() for p in module.parameters()),
        inner=patch,
        outer=module.out_channels,
    )


def _head_norms(layer: nn.Module) -> dict[str, int]:
    """Names of the norms over single heads (Qwen3's q_norm and k_norm) with the number of heads each runs over."""
    found: dict[str, int] = {}
    for name, module in layer.named_modules():
        if type(module).__name__.endswith("Attention") and hasattr(module, "head_dim"):
            heads, key_value_heads, _ = attention_shape(module)
            found |= {f"{name}.q_norm": heads, f"{name}.k_norm": key_value_heads}
    return found


def _norm(name: str, module: nn.Module, repeats: int) -> Iterator[Op]:
    weights = sum(p.numel() for p in module.parameters())
    launches, passes = (_RMS_LAUNCHES, _RMS_PASSES) if "RMS" in type(module).__name__ else (1, 1)
    width = int(module.weight.shape[0])  # type: ignore[index]
    yield normalization(name, width * repeats, weights=weights, launches=launches, passes=passes)


def _attention(name: str, module: nn.Module, *, causal: bool) -> Iterator[Op]:
    heads, key_value_heads, head_dim = attention_shape(module)
    if causal:
        rotated = (heads + key_value_heads) * head_dim
        yield Op(
            f"{name}.rotary",
            "elementwise",
            flops=3 * rotated * ROWS,
            elements=8 * rotated * ROWS,
            launches=as_polynomial(_ROTARY_LAUNCHES),
        )
        cached = 2 * key_value_heads * head_dim
        yield Op(f"{name}.cache", "gather", elements=2 * cached * ROWS, launches=as_polynomial(2))
    yield attention(f"{name}.core", heads, head_dim, key_value_heads=key_value_heads, causal=causal)


def attention_shape(module: Any) -> tuple[int, int, int]:
    """(heads, key-value heads, head width) of an attention module."""
    heads = int(getattr(module, "num_heads", 0) or module.config.num_attention_heads)
    groups = int(getattr(module, "num_key_value_groups", 1))
    return heads, heads // groups, int(module.head_dim)


def _activation(name: str, module: nn.Module) -> Iterator[Op]:
    """The non-linearity of an MLP, and the product with the gate where it has one."""
    from torch import nn

    linears = [child for child in module.children() if isinstance(child, nn.Linear)]
    inner = max((child.out_features for child in linears), default=0)
    yield elementwise(f"{name}.activation", inner, flops=8)
    if hasattr(module, "gate_proj"):
        yield elementwise(f"{name}.gate", inner, reads=2)


def _layer_width(layer: nn.Module) -> int:
    """The residual width: what the layer's first norm normalises."""
    for module in layer.modules():
        if "Norm" in type(module).__name__ and hasattr(module, "weight"):
            return int(module.weight.shape[0])  # type: ignore[index]
    return 0
