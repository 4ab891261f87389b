"""From what was read in the model to the signals of one media group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...ir.signal import Need
from ...passes.primitives.merge import gather
from .attention_call import AttentionCall
from .readers import NormReader, PreviewReader, Prompt

if TYPE_CHECKING:
    from ..media import MediaGroup
    from ..prefill import CallState


def encoder_signal(need: Need, call: AttentionCall, query: Any) -> torch.Tensor:
    """What an encoder need reads of the tower's attention call: (media, encoder tokens, ...)."""
    if need.signal == "key":
        return call.keys()
    if need.signal == "attention_column":
        return call.column()
    return call.joint_row(query) if need.joint else call.row(query)


def of_group(read: torch.Tensor, group: MediaGroup) -> torch.Tensor:
    """The part of an encoder signal that belongs to the tokens that remain of a group, (M, n, ...)."""
    return gather(read[group.members][:, -group.seen :], group.encoded)


@dataclass(frozen=True)
class TextSlots:
    """Where the text of each sequence stands: `place` (B, T) in the call's sequence, and which slots are `present`."""

    place: torch.Tensor
    present: torch.Tensor

    @classmethod
    def of(cls, state: CallState, present: torch.Tensor | None) -> TextSlots:
        """What is neither padding nor between the first and the last token of a medium.

        T follows from shapes for one sequence; sequences of a batch may differ and must be counted.
        """
        batch, length = state.batch, state.length
        turns = torch.zeros(batch * length + 1, dtype=torch.int64, device=state.device)
        for _, positions in state.origins:
            turns = turns.index_add(0, positions[:, 0], torch.ones_like(positions[:, 0]))
            turns = turns.index_add(0, positions[:, -1] + 1, -torch.ones_like(positions[:, 0]))
        text = (turns.cumsum(0)[:-1] == 0).view(batch, length)
        text = text if present is None else text & present
        media = sum(positions.numel() for _, positions in state.origins)
        count = length - media if batch == 1 else int(text.sum(dim=1).amax())
        place = (~text).to(torch.uint8).argsort(dim=1, stable=True)[:, :count]
        return cls(place, text.gather(1, place))


@dataclass(frozen=True)
class GroupSignals:
    """Makes the decoder signals of one media group at one site.

    Attributes:
        state: the call. group: the media. places: (M, n) flat places of its tokens in `hidden` (B, P, D).
        prompt: what entered the decoder, where a need asks for that or for text.
    """

    state: CallState
    group: MediaGroup
    places: torch.Tensor
    hidden: torch.Tensor
    prompt: Prompt | None = None

    def signal(self, need: Need, tap: Any) -> torch.Tensor:
        """The signal of one need, read by its tap or reader."""
        if need.signal == "embedding":
            return self._embedding(need)
        if isinstance(tap, NormReader):
            return self._picked(need, tap.states(self.hidden), 0)
        read = tap.preview(self.hidden) if isinstance(tap, PreviewReader) else tap.row
        read = tap.take() if read is None else read
        past = int((read.shape[1] if isinstance(read, torch.Tensor) else read.key.shape[2]) - self.hidden.shape[1])
        if need.signal == "key":
            return self._picked(need, read.keys(), past)
        if need.of_text:
            return self._text_rows(read, past)
        row, place = self._own()
        if need.query == "media":
            return gather(read.mean_query_rows(row[:, 0], place.amax(dim=1)), place + past)
        if not isinstance(read, torch.Tensor):
            read = read.column() if need.signal == "attention_column" else read.row(tap.query)
        return read[row, place + past]

    def _picked(self, need: Need, values: torch.Tensor, past: int) -> torch.Tensor:
        """The entries of `values` (B, past + P, ...) of the group's tokens, or of its text."""
        row, place = self._own()
        if not need.of_text:
            return values[row, place + past]
        text, present = self._text()
        found = values[row[:, :1], self._now(text) + past]
        return found * present.reshape(*present.shape, *[1] * (found.ndim - 2)).to(found.dtype)

    def _text_rows(self, read: AttentionCall, past: int) -> torch.Tensor:
        """The text's attention to the group's tokens, (M, T, n)."""
        row, place = self._own()
        slots, present = self._slots().place, self._text()[1]
        offset = self.state.length * torch.arange(len(slots), device=slots.device)[:, None]
        rows = read.rows(self.state.physical(slots + offset) % self.hidden.shape[1])
        found = rows[row[:, :1]][:, 0].gather(2, (place + past)[:, None].expand(-1, slots.shape[1], -1))
        return found * present[..., None]

    def _embedding(self, need: Need) -> torch.Tensor:
        """What entered the decoder in the places of the whole medium, or of its text."""
        assert self.prompt is not None
        flat = self.prompt.embeds.reshape(-1, self.prompt.embeds.shape[-1])
        if not need.of_text:
            return flat[self._origin()]
        text, present = self._text()
        return flat[text] * present[..., None].to(flat.dtype)

    def _text(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat positions (M, T) in the call's sequence of each medium's text, and which of them hold any.

        That is what follows the medium in its sequence, or all text where nothing does.
        """
        slots, last = self._slots(), self._origin()[:, -1]
        row = last // self.state.length
        place, present = slots.place[row], slots.present[row]
        after = present & (place > (last % self.state.length)[:, None])
        return place + (row * self.state.length)[:, None], after.where(after.any(dim=1, keepdim=True), present)

    def _slots(self) -> TextSlots:
        if self.state.text is None:
            self.state.text = TextSlots.of(self.state, None if self.prompt is None else self.prompt.present)
        return self.state.text

    def _origin(self) -> torch.Tensor:
        """(M, N) flat positions in the call's sequence of all tokens of the group's media."""
        return next(positions for members, positions in self.state.origins if members is self.group.members)

    def _now(self, positions: torch.Tensor) -> torch.Tensor:
        """Places in the current sequence of flat positions in the call's."""
        return self.state.physical(positions) % self.hidden.shape[1]

    def _own(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sequence and place of each token of the group, (M, n) each."""
        width = self.hidden.shape[1]
        return self.places // width, self.places % width
