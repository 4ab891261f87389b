"""Renumbering cached keys: turning them by a distance with the family's own rotary embedding."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...common.errors import BadInput

_FIXED = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose frequencies do not depend on the length of the sequence."""


@dataclass(frozen=True)
class Rotation:
    """Turns keys of one decoder by whole positions; `apply` is its family's `apply_rotary_pos_emb`."""

    rotary: Any
    apply: Any

    def turned(self, keys: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        """(B, G, P, D) `keys` as they would be `distance` (B, P) positions later, computed in float32."""
        wide = keys.float()
        cos, sin = self.rotary.forward(wide, distance)  # past the hooks, which would put the call's positions in
        scaling = getattr(self.rotary, "attention_scaling", 1.0)
        turned: torch.Tensor = self.apply(wide, wide, cos / scaling, sin / scaling)[1]
        return turned.to(keys.dtype)


def rotation_of(decoder: nn.Module, rotary: nn.Module | None, attention: nn.Module) -> Rotation:
    """How the keys of `decoder` are turned.

    Raises:
        BadInput: its positions are not one number for each token, or its frequencies change with the length.
    """
    config: Any = decoder.config
    apply = getattr(sys.modules[type(attention).__module__], "apply_rotary_pos_emb", None)
    reason = _refusal(config, rotary, apply)
    if reason is not None:
        raise BadInput(f"{type(decoder).__name__} {reason}; set the parameter reindex to false to keep positions")
    return Rotation(rotary, apply)


def _refusal(config: Any, rotary: nn.Module | None, apply: Any) -> str | None:
    """Why keys cannot be renumbered, as the end of a sentence."""
    if rotary is None or apply is None:
        return "does not turn queries and keys by a common rotary embedding, so its keys cannot be renumbered"
    parameters = getattr(config, "rope_parameters", None) or {}
    if "mrope_section" in parameters:
        return "has positions of several dimensions, for which renumbering is not defined"
    if any(name not in ("x", "position_ids") for name in inspect.signature(rotary.forward).parameters):
        return "has several rotary embeddings, and renumbering knows one"
    if parameters.get("rope_type", "default") not in _FIXED:
        return "has rotary frequencies that change with the length of the sequence, so keys cannot be renumbered"
    return None
