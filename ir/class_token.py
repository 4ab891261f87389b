"""Whether an encoder puts a [CLS] token before its patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_NAMES = ("class_embedding", "cls_token")


def has_class_token(encoder: nn.Module) -> bool:
    """Whether one of its parameters is the embedding of a [CLS] token."""
    return any(name.rpartition(".")[2] in _NAMES for name, _ in encoder.named_parameters())
