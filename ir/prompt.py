"""The prompt of a traced request: runs of placeholders for its media, and text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .families.row import Media, Row

KINDS = {"image": 1, "video": 2, "audio": 3}
"""Token types of media; text is 0."""


def prompt(row: Row, media: dict[str, Media], text_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (1, L) and kinds (1, L), both int64: media first, a token of text between two runs, the rest of the text.

    L is the media's tokens and `text_tokens`, more only where the text is too short to stand between all runs.
    """
    taken = [row.placeholder(modality) for modality in media]
    text = next(i for i in range(5, 5 + len(taken) + 1) if i not in taken)
    ids: list[int] = []
    kinds: list[int] = []
    for modality, found in media.items():
        token, opening = row.placeholder(modality), row.opening(modality)
        runs = [length for layout in found.layouts or () for length in row.pieces(modality, layout)]
        for length in runs if token is not None else ():
            before = [opening or text] if ids or opening is not None else []
            after = [text] if row.closing(modality) else []
            ids += [*before, *[int(token or 0)] * length, *after]
            kinds += [*[0] * len(before), *[KINDS[modality]] * length, *[0] * len(after)]
    rest = max(text_tokens - kinds.count(0), 0 if ids else 1)
    return torch.tensor([ids + [text] * rest]), torch.tensor([kinds + [0] * rest])
