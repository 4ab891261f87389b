"""Mixtures of experts, run as products over all experts at once."""

from __future__ import annotations

import functools
from typing import Any, Literal

from torch import nn

_STACKED = {"gate_up_proj", "down_proj"}
_LAYOUT = {
    "has_gate": True,
    "has_bias": False,
    "is_transposed": False,
    "has_post_expert_norm": False,
    "_is_expert_parallel": False,
}
"""What transformers' products ask of a module: how `_STACKED` weights (experts, out, in) are laid out."""


def run_together(model: nn.Module, products: Literal["grouped_mm", "batched_mm"]) -> None:
    """Let every mixture of experts in the tracer's own copy of a model multiply for all of its experts at once.

    The rows that are multiplied are the same, each token by the experts that its router picks; a loop over experts,
    which some models write out, takes a dozen operations for each. `batched_mm` is what torch's flop counter knows.
    """
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "_experts_implementation", None) is not None:
            config._experts_implementation = products
        if _loops(module):
            vars(module).update(_LAYOUT)
            module.forward = functools.partial(_forward, module, products)


def _loops(module: nn.Module) -> bool:
    """Whether a module's own forward loops over stacked experts, with no other way in transformers."""
    stacked = {name for name, parameter in module.named_parameters(recurse=False) if parameter.dim() == 3}
    return stacked == _STACKED and hasattr(module, "_apply_gate") and not hasattr(module, "is_concatenated")


def _forward(module: nn.Module, products: str, hidden_states: Any, top_k_index: Any, top_k_weights: Any) -> Any:
    """(tokens, width) to (tokens, width), by transformers' own products over the module's weights and gate."""
    from transformers.integrations import moe

    forward = moe.batched_mm_experts_forward if products == "batched_mm" else moe.grouped_mm_experts_forward
    return forward(module, hidden_states, top_k_index, top_k_weights)
