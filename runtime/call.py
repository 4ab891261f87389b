"""One forward call under a plan: what each hook changes on the way through the decoder."""

from __future__ import annotations

from typing import Any

import torch

from . import ledger as ledgers
from .index_maps import gather_mask, gather_sequence, inverse_map
from .ledger import Ledger, Level
from .masks import causal_mask, with_validity
from .prefill import CallState
from .sites import LiveSite


class Call:
    """The arguments of one forward call, rewritten for the sequence that remains at each point.

    Positions: the layers get contiguous `position_ids`, since gapped ones look like packed sequences to transformers;
    only the rotary embedding sees the original ones.
    """

    def __init__(self, state: CallState, padding: Any, cache: Any, *, decoder_config: Any) -> None:
        self.state, self.cache, self.config = state, cache, decoder_config
        self.padding = padding
        self.precomputed: dict[str, Any] = {}
        self.prefill = bool(state.groups)
        self.finished = False
        self.rotary: torch.Tensor | None = None
        self.entering = state.ledger.entering()
        self._relative: torch.Tensor | None = None
        self._level: Level | None = None
        self._memo: dict[tuple[str, int], Any] = {}
        self._hidden: torch.Tensor | None = None
        self._no_past = state.ledger.logical == 0

    def decoding_arguments(self) -> dict[str, Any]:
        """What a call without media changes before any mask is built: the 2-d mask over the sequence that entered."""
        if 0 not in self.state.ledger.levels:
            return {}
        level = self._advance(0)
        mask = self.padding
        if isinstance(mask, torch.Tensor):
            mask = gather_mask(mask, level.columns)
        return {"attention_mask": with_validity(mask, level.valid)}

    def enter_decoder(self, sites: list[LiveSite], kwargs: dict[str, Any], *, forced: bool) -> dict[str, Any]:
        """The decoder's arguments, with the sequence compacted by the passes placed at its input."""
        state = self.state
        hidden, acted = state.run(sites, kwargs["inputs_embeds"], forced=forced)
        if not acted and 0 not in state.ledger.levels:
            return kwargs
        positions = kwargs.get("position_ids")
        if positions is None:
            positions = torch.arange(state.length, device=state.device)[None] + state.ledger.logical
        changed = dict(kwargs)
        if state.kept is not None:
            hidden = gather_sequence(hidden, state.kept)
            positions = gather_sequence(positions, state.kept, dim=-1)
        if self.prefill:
            level = self._advance(0)
            mask = _each(kwargs.get("attention_mask"), lambda m: gather_mask(m, level.columns, state.kept))
            changed["attention_mask"] = _each(mask, lambda m: with_validity(m, level.valid))
        state.entered = state.kept
        self.rotary = positions
        changed["inputs_embeds"] = hidden
        changed["position_ids"] = torch.arange(hidden.shape[1], device=state.device)[None] + self.entering
        return changed

    def enter_layer(
        self, number: int, sites: list[LiveSite], args: tuple[Any, ...], kwargs: dict[str, Any], *, forced: bool
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A layer's arguments, with the hidden states compacted by the passes placed at its input."""
        state = self.state
        hidden = args[0] if args else kwargs["hidden_states"]
        before = state.kept
        hidden, acted = state.run(sites, hidden, forced=forced)
        if not acted and number not in state.ledger.levels:
            return args, kwargs
        if acted:
            hidden = gather_sequence(hidden, state.places(before))
        self._level = self._advance(number)
        self._relative = None if state.kept is None else state.rows(state.kept)
        self._memo.clear()
        self._hidden = hidden
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    def layer_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Mask, rotary embedding and positions of a layer at or after a site that acted; None changes nothing."""
        if self._level is None:
            return None
        changed = dict(kwargs)
        for name, build in (
            ("attention_mask", self._mask),
            ("position_embeddings", self._embeddings),
            ("position_ids", self._contiguous),
        ):
            if name in kwargs:
                key = (name, id(kwargs[name]))
                if key not in self._memo:
                    self._memo[key] = (kwargs[name], build(kwargs[name]))
                changed[name] = self._memo[key][1]
        return args, changed

    def finish(self, returned_cache: Any) -> None:
        """Write the call into the ledger, which moves onto the cache that the call used or made."""
        state, ledger = self.state, self.state.ledger
        self.finished = True
        cache = self.cache if self.cache is not None else returned_cache
        if cache is None or not state.levels:
            return
        compressed = ledger.logical + state.length if self.prefill else ledger.compressed
        updated = Ledger(ledger.logical + state.length, state.levels, compressed=compressed)
        ledgers.attach(cache, updated)

    def positions(self) -> torch.Tensor:
        """(B, L') places in the original sequence of what the deepest layers saw in this call."""
        state = self.state
        kept = (
            torch.arange(state.length, device=state.device).expand(state.batch, -1)
            if state.kept is None
            else state.kept
        )
        return kept + state.ledger.logical

    def last_places(self) -> int | torch.Tensor:
        """Where each row's last prompt token stands among the tokens that remain: -1, or (B,) int64 places."""
        state = self.state
        last = last_tokens(self.padding, state.length)
        if state.kept is None:
            return last
        if isinstance(last, torch.Tensor):
            return inverse_map(state.kept, state.length).gather(1, last[:, None])[:, 0]
        return -1 if state.valid is None or state.pad_left else state.valid.sum(dim=1) - 1

    def _advance(self, layer: int) -> Level:
        level = self.state.level(layer, entering=self.entering)
        self.state.levels[layer] = level
        return level

    def _mask(self, mask: Any) -> Any:
        level = self._level
        if level is None or (mask is None and level.valid is None):
            return mask
        if mask is None and level.valid is not None and self._hidden is not None and self._no_past:
            return causal_mask(self.config, self._hidden, level.valid)
        return with_validity(gather_mask(mask, level.columns, self._relative), level.valid)

    def _embeddings(self, embeddings: Any) -> Any:
        relative = self._relative
        if relative is None:
            return embeddings
        return tuple(gather_sequence(part, relative, dim=-2) for part in embeddings)

    def _contiguous(self, positions: Any) -> Any:
        if self._level is None or self._hidden is None:
            return positions
        end = self._level.length
        return torch.arange(end - self._hidden.shape[1], end, device=self.state.device)[None]


def last_tokens(padding: Any, length: int) -> int | torch.Tensor:
    """Where each row's last prompt token stands in a call of `length` tokens: -1, or (B,) int64 under a 2-d mask."""
    if not isinstance(padding, torch.Tensor) or padding.ndim != 2:
        return -1
    new = padding[:, -length:].bool()
    return (new * torch.arange(1, new.shape[1] + 1, device=new.device)).argmax(dim=1)


def _each(mask: Any, change: Any) -> Any:
    """Apply to a mask, or to each mask of a dictionary by layer type."""
    return {name: change(m) for name, m in mask.items()} if isinstance(mask, dict) else change(mask)
