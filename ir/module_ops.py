"""The operation of a single module, from its own widths: what calibration sweeps describe their cases with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .op import Op, gemm, normalization
from .polynomial import ROWS

if TYPE_CHECKING:
    from torch import nn

# Kernels that eager transformers starts for one RMSNorm.
_RMS_LAUNCHES = 6
# The square, its mean and the two products each go through the whole row: reads and writes, in rows of one pass.
_RMS_PASSES = 3


def module_ops(name: str, module: nn.Module) -> Iterator[Op]:
    """The operations that a linear map, a patch embedding or a norm adds itself, as a recording would group them.

    Args:
        name: what to call the operation. module: on any device, meta included.
    """
    from torch import nn

    if isinstance(module, nn.Linear):
        yield gemm(name, module.in_features, module.out_features, bias=module.bias is not None)
    elif isinstance(module, nn.Conv2d):
        yield _convolution(name, module)
    elif "Norm" in type(module).__name__ and hasattr(module, "weight"):
        yield _norm(name, module)


def _convolution(name: str, module: nn.Conv2d) -> Op:
    """A patch embedding: kernel and stride are equal, so it is a matrix product over patches."""
    patch = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
    return Op(
        name,
        "convolution",
        flops=2 * patch * module.out_channels * ROWS,
        elements=(patch + module.out_channels) * ROWS,
        weights=sum(p.numel() for p in module.parameters()),
        inner=patch,
        outer=module.out_channels,
    )


def _norm(name: str, module: nn.Module) -> Op:
    weights = sum(p.numel() for p in module.parameters())
    launches, passes = (_RMS_LAUNCHES, _RMS_PASSES) if "RMS" in type(module).__name__ else (1, 1)
    width = int(module.weight.shape[0])  # type: ignore[index]
    return normalization(name, width, weights=weights, launches=launches, passes=passes)
