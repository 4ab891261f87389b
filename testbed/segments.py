"""Many questions behind one medium: the rows of segments that the decoder is trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

KEYS = ("ids", "segments", "positions", "targets", "weights")


@dataclass(frozen=True)
class Segment:
    """One question and its answer as token ids, the end token last; ``end_weight`` is what that one counts."""

    prompt: Sequence[int]
    answer: Sequence[int]
    end_weight: float


def pack(rows: Sequence[Sequence[Segment]], *, longest: int, first: int, pad: int) -> dict[str, Tensor]:
    """Lay the segments of each row behind one another, right-padded, at most ``longest`` tokens.

    Keys, all (B, T): ``ids``; ``segments`` (0 is padding); ``positions`` (every segment restarts at ``first``, after
    the medium); ``targets`` (the next token) and ``weights`` (0 where nothing is learnt).

    >>> pack([[Segment([7, 8], [9, 2], 0.5)]], longest=8, first=4, pad=0)["targets"].tolist()
    [[0, 9, 2]]
    """
    packed = [_row(row, longest, first, pad) for row in rows]
    width = max(len(row["ids"]) for row in packed)
    blank = dict(zip(KEYS, (pad, 0, first, pad, 0.0), strict=True))
    return {
        key: torch.tensor([row[key] + [value] * (width - len(row[key])) for row in packed])
        for key, value in blank.items()
    }


def _row(segments: Sequence[Segment], longest: int, first: int, pad: int) -> dict[str, list[float]]:
    row: dict[str, list[float]] = {key: [] for key in KEYS}
    for number, segment in enumerate(segments, start=1):
        length = len(segment.prompt) + len(segment.answer) - 1
        if len(row["ids"]) + length > longest:
            break
        row["ids"] += [*segment.prompt, *segment.answer[:-1]]
        row["segments"] += [number] * length
        row["positions"] += range(first, first + length)
        row["targets"] += [pad] * (len(segment.prompt) - 1) + list(segment.answer)
        row["weights"] += [0.0] * (len(segment.prompt) - 1) + [1.0] * (len(segment.answer) - 1) + [segment.end_weight]
    return row


def chosen_tokens(classes: Tensor, *, keep: int, rng: random.Random) -> Tensor:
    """Choose ``keep`` tokens a row of ``classes`` (B, N), labelled ones first, the rest at random.

    Returns:
        (B, keep) int64, ascending.
    """
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    order = (classes > 0).float() + torch.rand(classes.shape, generator=generator) * 0.999
    return order.topk(keep, dim=1).indices.sort(dim=1).values
