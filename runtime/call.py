"""One forward call under a plan: what each hook changes on the way through the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from . import ledger as ledgers
from .index_maps import gather_mask, gather_sequence, inverse_map
from .layer_kinds import windowed
from .ledger import Ledger, Level
from .masks import additive_dtype, index_mask, weighed, with_validity
from .prefill import CallState
from .sites import LiveSite
from .views import gathered, logical_masks, static_capacity, view

if TYPE_CHECKING:
    from .cache.run import CacheRun


class Call:
    """The arguments of one forward call, rewritten for the sequence that remains at each point.

    Positions: the layers get contiguous `position_ids`, since gapped ones look like packed sequences to transformers;
    only the rotary embedding sees the original ones. Masks: a 2-d mask is gathered at the decoder's input and the
    decoder builds its own from it; where the decoder has windows, or its masks were built before it, the masks of the
    uncompressed sequence are kept and gathered for each layer.

    Args:
        absolute: the decoder adds position embeddings at its input and takes the original `position_ids` itself.
    """

    def __init__(
        self, state: CallState, padding: Any, cache: Any, *, decoder_config: Any, absolute: bool = False
    ) -> None:
        self.state, self.cache, self.config = state, cache, decoder_config
        self.padding, self.absolute = padding, absolute
        self.dtype = torch.float32
        self.precomputed: dict[str, Any] = {}
        self.prefill = bool(state.groups)
        self.finished = False
        self.rotary: torch.Tensor | None = None
        self.entering = state.ledger.entering()
        self._relative: torch.Tensor | None = None
        self._level: Level | None = None
        self._memo: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._everything: torch.Tensor | None = None
        self._hidden: torch.Tensor | None = None
        self._logical: Any = None
        self._is_logical = False
        self.held = dict(state.ledger.held)
        self.cache_run: CacheRun | None = None

    def enter_decoder(self, sites: list[LiveSite], kwargs: dict[str, Any], *, forced: bool) -> dict[str, Any]:
        """The decoder's arguments, with the sequence compacted by the passes placed at its input."""
        state, embeddings = self.state, kwargs["inputs_embeds"]
        left = state.kept  # what remains of the media after their encoder
        hidden = embeddings if left is None else gather_sequence(embeddings, left)
        hidden, acted = state.run(sites, hidden, forced=forced)
        if acted:
            hidden = gather_sequence(hidden, state.places(left))
        # The decoder would size its masks by layer 0's cache, or by the room of a static one.
        always = bool(self.held) or static_capacity(self._cache_layer(0)) is not None
        self._read_masks(kwargs.get("attention_mask"), embeddings, always=always)
        active = acted or left is not None or 0 in state.ledger.levels or bool(self.held)
        if not state.groups:  # a decoding step grows every level here, where no graph can depend on the length
            for number in state.ledger.levels:
                self._advance(number)
        if not active and not self._is_logical:
            return kwargs
        level = self._advance(0) if active else state.level(0, entering=self.entering)
        changed = {**kwargs, "attention_mask": self._entering_mask(kwargs.get("attention_mask"), level, hidden)}
        if active:
            self._compact_positions(changed, hidden)
        state.entered = state.kept
        return changed

    def enter_embedding_decoder(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a decoder that embeds media itself: masks and positions of the uncompressed sequence.

        What the passes at its input drop leaves at layer 0. The cache goes on reporting logical lengths until then.
        """
        state, given = self.state, kwargs.get("inputs_embeds")
        shape = torch.empty(state.batch, state.length, 0, dtype=self.dtype, device=state.device)
        self._read_masks(kwargs.get("attention_mask"), shape if given is None else given, always=True)
        positions = kwargs.get("position_ids")
        if positions is None:
            positions = torch.arange(state.length, device=state.device)[None] + state.ledger.logical
        return {**kwargs, "attention_mask": self._logical, "position_ids": positions}

    def enter_layer(
        self, number: int, sites: list[LiveSite], args: tuple[Any, ...], kwargs: dict[str, Any], *, forced: bool
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A layer's arguments, with the hidden states compacted by the passes placed at its input."""
        state = self.state
        hidden = args[0] if args else kwargs["hidden_states"]
        before, acted = state.kept, False
        if state.groups:
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

    def layer_arguments(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Mask, rotary embedding and positions of a layer at or after a site that acted; None changes nothing."""
        if self._level is None:
            return None
        changed, kind = dict(kwargs), self._first_of_kind(number)
        for name in ("attention_mask", "position_embeddings", "position_ids"):
            if name in kwargs:
                known = self._memo.get((name, kind))
                if known is None or known[0] is not kwargs[name]:
                    known = self._memo[name, kind] = (kwargs[name], self._layer_argument(name, kwargs[name], number))
                changed[name] = known[1]
        return args, changed

    def level_of(self, number: int) -> Level | None:
        """The sequence as decoder layer `number` sees it in this call; None where nothing was dropped before it."""
        before = [layer for layer in self.state.levels if layer <= number]
        return self.state.levels[max(before)] if before else None

    def sequence(self, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, P) positions of all tokens that decoder layer `number` has run on, and (B, P) which are no filling."""
        level = self.level_of(number)
        if level is not None:
            return level.index, level.valid
        if self._everything is None:
            total = self.state.ledger.logical + self.state.length
            self._everything = torch.arange(total, device=self.state.device).expand(self.state.batch, -1)
        return self._everything, None

    def cached_length(self, number: int) -> int:
        """Keys that decoder layer `number` has once it ran on this call's tokens, where its cache does not slide."""
        total, entries = self.sequence(number)[0].shape[1], self.held.get(number)
        return total if entries is None else entries.count + total - entries.since

    def logical_mask(self, number: int) -> torch.Tensor | None:
        """The mask of decoder layer `number` over the uncompressed sequence; None is plain causal."""
        masks = self._logical
        mask: torch.Tensor | None = masks[self._kind(number)] if isinstance(masks, dict) else masks
        return mask

    def finish(self, returned_cache: Any) -> None:
        """Write the call into the ledger, which moves onto the cache that the call used or made."""
        state, ledger = self.state, self.state.ledger
        self.finished = True
        cache = self.cache if self.cache is not None else returned_cache
        if cache is None or not (state.levels or self.held):
            return
        evicted = self.cache_run is not None and self.cache_run.acted
        compressed = ledger.logical + state.length if self.prefill or evicted else ledger.compressed
        updated = Ledger(ledger.logical + state.length, state.levels, compressed=compressed, held=self.held)
        ledgers.attach(cache, updated)

    def positions(self) -> torch.Tensor:
        """(B, L') places in the original sequence of what the deepest layers saw in this call."""
        return self.state.remaining() + self.state.ledger.logical

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
        levels = self.state.levels
        if layer not in levels:
            levels[layer] = self.state.level(layer, entering=self.entering)
        return levels[layer]

    def _compact_positions(self, changed: dict[str, Any], hidden: torch.Tensor) -> None:
        """Hand the decoder what remains of its embeddings, and the positions that they had."""
        state, positions = self.state, changed.get("position_ids")
        if positions is None:
            positions = self._original_positions()
        if state.kept is not None:
            positions = gather_sequence(positions, state.kept, dim=-1)
        # Of four rows the first is the text's; the rotary embedding takes the other three.
        self.rotary = positions[1:] if positions.ndim == 3 and positions.shape[0] == 4 else positions
        contiguous = torch.arange(hidden.shape[1], device=state.device)[None] + self.entering
        changed["inputs_embeds"] = hidden
        changed["position_ids"] = positions if self.absolute else contiguous

    def _original_positions(self) -> torch.Tensor:
        """(1 or B, L) positions where the caller gave none: places, or what a decoder with embeddings counts."""
        state, padding = self.state, self.padding
        if self.absolute and isinstance(padding, torch.Tensor) and padding.ndim == 2:
            return (padding.cumsum(dim=1) * padding - 1).long()[:, state.ledger.logical :]
        return torch.arange(state.length, device=state.device)[None] + state.ledger.logical

    def _read_masks(self, mask: Any, embeddings: torch.Tensor, *, always: bool = False) -> None:
        """Keep the masks of the uncompressed sequence where the decoder cannot build its own from a 2-d mask."""
        prepared = isinstance(mask, dict) or (isinstance(mask, torch.Tensor) and mask.ndim == 4)
        self._is_logical = prepared or always or windowed(self.config)
        if prepared:
            self._logical = mask
        elif self._is_logical:
            self._logical = logical_masks(self.config, embeddings, mask, self.cache)

    def _entering_mask(self, mask: Any, level: Level, hidden: torch.Tensor) -> Any:
        """The mask, or the masks by layer type, with which the decoder runs."""
        kept = self.state.kept
        if not self._is_logical:
            return with_validity(gather_mask(mask, level.index, kept), level.valid)
        dtype = additive_dtype(self.config, hidden)
        queries = kept if kept is not None else self.state.remaining()
        queries = queries + self.state.ledger.logical

        def seen(mask: Any, number: int) -> Any:
            keys = view(level, queries.shape[1], self._cache_layer(number))
            return gathered(mask, keys, queries=queries, rows=kept, dtype=dtype)

        if isinstance(self._logical, dict):
            numbers = {kind: self._layer_of(kind) for kind in self._logical}
            return {kind: seen(mask, numbers[kind]) for kind, mask in self._logical.items()}
        return seen(self._logical, 0)

    def _layer_argument(self, name: str, value: Any, number: int) -> Any:
        build = {
            "attention_mask": self._mask,
            "position_embeddings": self._embeddings,
            "position_ids": self._contiguous,
        }
        return build[name](value, number)

    def _mask(self, mask: Any, number: int) -> Any:
        level, hidden = self._level, self._hidden
        if level is None or hidden is None:
            return mask
        made = self._open_mask(mask, number, level, hidden)
        if level.sizes is None:
            return made
        keys = view(level, hidden.shape[1], self._cache_layer(number))
        if made is None or made.ndim == 2:  # plain causal attention, which needs a mask of its own to be weighed
            made = index_mask(level.index[:, -hidden.shape[1] :], keys.columns, keys.valid, dtype=None)
        assert keys.sizes is not None
        return weighed(made, keys.sizes, dtype=hidden.dtype)

    def _open_mask(self, mask: Any, number: int, level: Level, hidden: torch.Tensor) -> Any:
        """The mask of a layer on which every token counts once."""
        queries, dtype = level.index[:, -hidden.shape[1] :], additive_dtype(self.config, hidden)
        if self._is_logical:
            keys = view(level, hidden.shape[1], self._cache_layer(number))
            logical = self.logical_mask(number)
            return gathered(logical, keys, queries=queries, rows=self.state.kept, dtype=dtype)
        if mask is None:
            flat = "flash" in str(self.config._attn_implementation)
            made = with_validity(None, level.valid) if flat else None
            return made if flat or level.valid is None else index_mask(queries, level.index, level.valid, dtype=dtype)
        return with_validity(gather_mask(mask, level.columns, self._relative), level.valid)

    def _embeddings(self, embeddings: Any, number: int) -> Any:
        relative = self._relative
        if relative is None or embeddings is None:
            return embeddings
        if isinstance(embeddings, torch.Tensor):
            return gather_sequence(embeddings, relative, dim=-2)
        return tuple(gather_sequence(part, relative, dim=-2) for part in embeddings)

    def _contiguous(self, positions: Any, number: int) -> Any:
        if self._level is None or self._hidden is None or positions is None:
            return positions
        end = self._level.length
        return torch.arange(end - self._hidden.shape[1], end, device=self.state.device)[None]

    def _kind(self, number: int) -> str | None:
        types = getattr(self.config, "layer_types", None)
        return None if types is None else str(types[number])

    def _layer_of(self, kind: str) -> int:
        """The first layer of a type; a decoder may prepare masks for types that none of its layers has."""
        types = list(self.config.layer_types)
        return types.index(kind) if kind in types else 0

    def _first_of_kind(self, number: int) -> int:
        kind = self._kind(number)
        return 0 if kind is None else self._layer_of(kind)

    def _cache_layer(self, number: int) -> Any:
        layers = getattr(self.cache, "layers", None) or []
        return layers[number] if number < len(layers) else None


def last_tokens(padding: Any, length: int) -> int | torch.Tensor:
    """Where each row's last prompt token stands in a call of `length` tokens: -1, or (B,) int64 under a 2-d mask."""
    if not isinstance(padding, torch.Tensor) or padding.ndim != 2:
        return -1
    new = padding[:, -length:].bool()
    return (new * torch.arange(1, new.shape[1] + 1, device=new.device)).argmax(dim=1)
