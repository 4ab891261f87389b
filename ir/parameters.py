"""Which parameters belong to which stage: every one to exactly one, or to none that the workload uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from .families.row import Row


def parameter_shares(model: nn.Module, row: Row, stages: Collection[str], media: Collection[str]) -> dict[str, int]:
    """Parameter elements of each of `stages` for a workload with `media`.

    What is in no stage's modules belongs to the first projector, embedding tables to the decoder; towers of other
    modalities, and without media everything but decoder and head, are left out.
    """
    found: dict[str, str] = {}
    for modality in media or ("image",):
        for stage, modules in row.roots(model, modality).items():
            found |= {module: stage for module in modules if module not in found}
    prefixes = sorted(found.items(), key=lambda item: -len(item[0]))
    rest = next((stage for stage in stages if stage.endswith(".projector")), "decoder")
    idle = _idle_modules(model, row, media)
    shares: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        if name.startswith(idle):
            continue
        home = next((stage for module, stage in prefixes if name.startswith(f"{module}.") or not module), "")
        if not home and "embed_tokens" in name:
            home = "decoder"
        if home in stages:
            shares[home] += parameter.numel()
        elif media:
            shares[rest] += parameter.numel()
    return dict(shares)


def _idle_modules(model: nn.Module, row: Row, media: Collection[str]) -> tuple[str, ...]:
    """Name prefixes of what serves only modalities that the workload lacks."""
    used = {name for modality in media for name in _own_modules(model, row, modality)}
    others = [modality for modality in row.modalities(model) if modality not in media]
    return tuple(f"{name}." for modality in others for name in _own_modules(model, row, modality) if name not in used)


def _own_modules(model: nn.Module, row: Row, modality: str) -> list[str]:
    """Modules of the stages of one modality alone."""
    return [name for stage, names in row.roots(model, modality).items() if stage.startswith(modality) for name in names]


def total_parameters(model: nn.Module) -> int:
    """Parameter elements of a model, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())
