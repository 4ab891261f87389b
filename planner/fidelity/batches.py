"""Batches of calibration samples: equal shapes together, prompts padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .encoder_decoder import PROMPT
from .samples import CalibrationSample

if TYPE_CHECKING:
    import torch

_SEQUENCES = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Inputs with one entry for each token of the prompt; everything else is media, joined along its first axis.

Where an encoder-decoder takes media alone, a mask is the media's.
"""


@dataclass(frozen=True)
class Batch:
    """Samples that run together.

    Attributes:
        rows: their indices among all samples. inputs: model inputs, `input_ids` (B, L) and media, or media alone.
    """

    rows: tuple[int, ...]
    inputs: dict[str, torch.Tensor]

    def started(self, prompt: torch.Tensor) -> Batch:
        """The same, with the tokens (B, P) that an encoder-decoder's decoder starts from."""
        return Batch(self.rows, {**self.inputs, PROMPT: prompt})


def batches(samples: Sequence[CalibrationSample], *, size: int = 16, pad: int = 0) -> tuple[Batch, ...]:
    """All samples in batches of at most `size`; within a batch every medium has the same shape.

    Args:
        pad: token id that fills short prompts on the left, where the attention mask is 0; no media token.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(_media_shapes(sample), []).append(index)
    chunks = (rows[start : start + size] for rows in groups.values() for start in range(0, len(rows), size))
    return tuple(Batch(tuple(rows), collate([samples[i] for i in rows], pad=pad)) for rows in chunks)


def collate(samples: Sequence[CalibrationSample], *, pad: int = 0) -> dict[str, torch.Tensor]:
    """One set of model inputs for `samples`, whose media have equal shapes."""
    import torch

    length = max(_length(sample) for sample in samples)
    joined = {}
    for name in samples[0].inputs:
        parts = [sample.inputs[name] for sample in samples]
        if name in _sequences(samples[0]):
            fill = pad if name == "input_ids" else 0
            parts = [torch.nn.functional.pad(part, (length - part.shape[1], 0), value=fill) for part in parts]
        joined[name] = torch.cat(parts)
    return joined


def _media_shapes(sample: CalibrationSample) -> tuple[object, ...]:
    media = sorted(name for name in sample.inputs if name not in _sequences(sample))
    return tuple((name, tuple(sample.inputs[name].shape)) for name in media)


def _sequences(sample: CalibrationSample) -> tuple[str, ...]:
    return _SEQUENCES if "input_ids" in sample.inputs else ()


def _length(sample: CalibrationSample) -> int:
    """Tokens of the prompt."""
    return sample.inputs["input_ids"].shape[1] if "input_ids" in sample.inputs else 0
