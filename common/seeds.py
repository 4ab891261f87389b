"""Deterministic sub-seeds: one seed in, an independent stream for every label out, on every machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_SEED_BYTES = 8


def sub_seed(seed: int, *labels: str | int) -> int:
    """Return a seed in [0, 2**63) that depends on `seed` and on every label, their order and their types.

    >>> sub_seed(0, "scene", 3) == sub_seed(0, "scene", 3)
    True
    >>> sub_seed(0, "scene", 3) == sub_seed(0, "scene", "3")
    False
    """
    # numpy integers print differently from Python's, so labels are brought to plain types first.
    plain = [label if isinstance(label, str) else int(label) for label in labels]
    text = ascii([int(seed), *plain]).encode("ascii")
    return int.from_bytes(hashlib.sha256(text).digest()[:_SEED_BYTES], "big") >> 1


def generator(seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a torch generator on `device`, seeded with `seed`; torch is imported at the first call."""
    import torch

    made = torch.Generator(device=device)
    made.manual_seed(seed)
    return made
