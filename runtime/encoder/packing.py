"""Packed encoders: patches of all media in one sequence, attended segment by segment, merged in groups to tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...common.errors import BadInput
from ..reading.attention_call import AttentionCall


@dataclass(frozen=True)
class Packing:
    """How a packed encoder's patches belong to tokens and media.

    Attributes:
        tokens: tokens of each medium after the merger. group: patches that are merged to one token, consecutive.
        order: (sum of tokens,) places in the encoder's order of the tokens in the media's order, where windows changed
            it; None is the same order.
    """

    tokens: tuple[int, ...]
    group: tuple[int, ...]
    order: torch.Tensor | None = None

    def by_medium(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """What was read of one run, segment by segment, as one row of tokens for each medium.

        Args:
            parts: (1, patches of the segment, ...) each, in the encoder's order.

        Returns:
            (media, largest count of tokens, ...), means over each token's patches; shorter rows stand at the end.

        Raises:
            BadInput: the layer did not see every patch, as when something was dropped before it.
        """
        patches = torch.cat(parts, dim=1)[0]
        expected = sum(tokens * group for tokens, group in zip(self.tokens, self.group, strict=True))
        if patches.shape[0] != expected:
            raise BadInput(
                f"the encoder's layer saw {patches.shape[0]} patches where its media have {expected}; a pass that "
                "reads the encoder's attention cannot follow one that drops inside it"
            )
        tokens = self._means(patches)
        tokens = tokens if self.order is None else tokens[self.order]
        width = max(self.tokens)
        rows = tokens.new_zeros(len(self.tokens), width, *tokens.shape[1:])
        for row, part in zip(rows, torch.split(tokens, list(self.tokens)), strict=True):
            row[width - part.shape[0] :] = part
        return rows

    def _means(self, patches: torch.Tensor) -> torch.Tensor:
        """(tokens, ...) means over groups of patches."""
        spans = torch.split(patches, [tokens * group for tokens, group in zip(self.tokens, self.group, strict=True)])
        grouped = (s.view(-1, group, *s.shape[1:]).mean(dim=1) for s, group in zip(spans, self.group, strict=True))
        return torch.cat(list(grouped))


def segments(call: AttentionCall, ends: torch.Tensor | None) -> list[AttentionCall]:
    """The calls that a packed call stands for: queries see only keys between the same two of `ends` (cu_seqlens)."""
    if ends is None or ends.numel() <= 2:
        return [call]
    lengths = (ends[1:] - ends[:-1]).tolist()
    pairs = zip(torch.split(call.query, lengths, dim=2), torch.split(call.key, lengths, dim=2), strict=True)
    return [AttentionCall(query, key, None, call.scale, call.causal) for query, key in pairs]
