"""Placements at `MODALITY.input`: what is encoded is smaller, what the decoder sees keeps its places.

`get_image_features` and `get_video_features` run on the rewritten pixels. The features of what remains are put at their
representatives' places among all of the medium's, zeros elsewhere, so that the model scatters them as it always does;
the places of the rest leave at the decoder's input with every position kept.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from ...common.errors import BadInput
from ...ir.layout import Layout
from ...passes.input_pass import InputPass
from ..adapters import Adapter, Medium
from ..adapters.input_table import SOUNDS
from ..prefill import CallState
from ..sites import LiveSite
from .forms import InputForm, grid_of
from .run import InputRun, leave_out, place_features
from .sounds import SoundSite


class InputSites:
    """Runs the placements at the inputs of one model, at most one for each modality; each thread has its own runs."""

    def __init__(self, model: nn.Module, adapter: Adapter, sites: Mapping[str, LiveSite], *, forced: bool) -> None:
        self.model, self.adapter, self.sites, self.forced = model, adapter, sites, forced
        self.owner: Any = getattr(model, "base_model", model)
        self._runs: Any = WeakTensorKeyDictionary()
        self._local = threading.local()
        self._wrapped: list[str] = []
        config: Any = model.config
        sounds = SOUNDS.get(config.model_type) if "audio" in sites else None
        self.sound = SoundSite(model, adapter, sites["audio"], sounds, forced=forced) if sounds else None

    def hook(self) -> list[Any]:
        """Stand before the model's own feature functions, and let fixed position embeddings be interpolated."""
        if not self.sites:
            return []
        for modality in {"image", "video"} & set(self.adapter.modalities):
            name = f"get_{modality}_features"
            if hasattr(self.owner, name):
                setattr(self.owner, name, self._shortening(getattr(self.owner, name), modality))
                self._wrapped.append(name)
        embeddings = [module for module in self.owner.modules() if interpolates(module)]
        handles = [m.register_forward_pre_hook(self._interpolate, with_kwargs=True) for m in embeddings]
        return [self, *handles, *(() if self.sound is None else self.sound.hook())]

    def remove(self) -> None:
        """Give the model its own functions back."""
        for name in self._wrapped:
            self.owner.__dict__.pop(name, None)
        self._wrapped.clear()

    @property
    def chosen(self) -> dict[str, torch.Tensor]:
        """By site, (media, K) int64 indices of what the last encodings of this thread kept; -1 fills shorter rows."""
        runs = [*self._last().values(), *(() if self.sound is None or self.sound.run is None else [self._sounds()])]
        return {run.site: nn.utils.rnn.pad_sequence(list(run.kept), batch_first=True, padding_value=-1) for run in runs}

    def smaller(self, modality: str) -> Layout | None:
        """The layout of one row of the encoding in progress in this thread, None where its input is as it was given.

        Encoders that take media in rows take them in one size.
        """
        if modality == "audio":
            return None if self.sound is None else self.sound.smaller
        run: InputRun | None = getattr(self._local, "encoding", None)
        return None if run is None else run.layouts[0]

    def leave_out(self, state: CallState, precomputed: Mapping[str, Any]) -> None:
        """Drop from a call what was dropped before its media were encoded.

        Raises:
            BadInput: the media were encoded before the plan was applied.
        """
        present = {group.modality for group in state.groups}
        for modality in self.sites:
            if modality in present:
                run = self._taken(modality, precomputed.get(modality))
                if run is not None:
                    leave_out(state, modality, run)

    def _taken(self, modality: str, precomputed: Any) -> InputRun | None:
        if modality == "audio":
            return None if self.sound is None or self.sound.run is None else self._sounds()
        if precomputed is None:
            return self._last().get(modality)
        hidden = getattr(precomputed, "last_hidden_state", None)
        known = hidden is not None and hidden in self._runs
        if not known:
            raise BadInput(
                f"the {modality} encoder's outputs were computed before the plan was applied, and the plan changes "
                "the encoder's input; compute them again while the plan is applied"
            )
        run: InputRun | None = self._runs[hidden]
        return run

    def meet(self, media: Mapping[str, list[Medium]]) -> None:
        """Say what the call that begins carries; towers of sound cannot tell sounds from windows."""
        if self.sound is not None:
            self.sound.meet(media.get("audio"))

    def _sounds(self) -> InputRun:
        assert self.sound is not None
        run = self.sound.run
        assert run is not None
        return InputRun(self.sound.site.placement.site, run.media, run.layouts, run.kept)

    def _last(self) -> dict[str, InputRun]:
        runs: dict[str, InputRun] = self._local.__dict__.setdefault("runs", {})
        return runs

    def _shortening(self, features: Any, modality: str) -> Any:
        """`features`, the model's own function, behind this modality's pass."""
        signature = inspect.signature(features)
        site = self.sites.get(modality)

        @functools.wraps(features)
        def shortened(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._local, "inside", False):  # clips run through the function of pictures in some families
                return features(*args, **kwargs)
            with self._inside():
                if site is None:
                    return features(*args, **kwargs)
                bound = signature.bind_partial(*args, **kwargs).arguments
                return self._encode(site, modality, features, {**bound.pop("kwargs", {}), **bound})

        return shortened

    def _encode(self, site: LiveSite, modality: str, features: Any, arguments: dict[str, Any]) -> Any:
        """The model's output on the shortened input, with features for every place."""
        self._last().pop(modality, None)
        media = tuple(self.adapter.media(self.model.config, arguments)[modality])
        targets = [site.target(_bare(medium.layout)) for medium in media]
        run = None
        if self.forced or any(t.count != m.layout.count for m, t in zip(media, targets, strict=True)):
            form = self.adapter.input_form(self.model.config, modality)
            run, arguments = shortened_input(site, form, arguments, media)  # type: ignore[arg-type]
        with self._encoding(run):
            output = features(**arguments)
        if run is not None:
            place_features(output, run)
            self._last()[modality] = run
        if getattr(output, "last_hidden_state", None) is not None:
            self._runs[output.last_hidden_state] = run
        return output

    @contextmanager
    def _inside(self) -> Iterator[None]:
        self._local.inside = True
        try:
            yield
        finally:
            self._local.inside = False

    @contextmanager
    def _encoding(self, run: InputRun | None) -> Iterator[None]:
        """While `run` is encoded, whose media may be of other sizes than the encoder's own."""
        self._local.encoding = run
        self._local.resizing = run is not None and any(
            grid_of(medium.layout)[1:] != grid_of(layout)[1:]
            for medium, layout in zip(run.media, run.layouts, strict=True)
        )
        try:
            yield
        finally:
            self._local.resizing, self._local.encoding = False, None

    def _interpolate(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        if not getattr(self._local, "resizing", False):
            return None
        return args[:1], {**kwargs, "interpolate_pos_encoding": True}


def shortened_input(
    site: LiveSite, form: InputForm, arguments: Mapping[str, Any], media: tuple[Medium, ...]
) -> tuple[InputRun, dict[str, Any]]:
    """What the pass at an input keeps of each medium, and the arguments of the shortened encoding."""
    method = site.method
    assert isinstance(method, InputPass)
    layouts = [_bare(medium.layout) for medium in media]
    grids = [grid_of(layout) for layout in layouts]
    targets = [site.target(layout) for layout in layouts]
    if method.change == "size":
        device = next(value.device for value in arguments.values() if isinstance(value, torch.Tensor))
        values = [torch.empty(layout.count, 0, device=device) for layout in layouts]
        kept = _indices(site, layouts, values)
        changed = form.resized(arguments, grids, [grid_of(target) for target in targets])
    else:
        kept = _indices(site, layouts, form.values(arguments, grids))
        places = [grid[1] * grid[2] for grid in grids]
        frames = [index[::n] // n for index, n in zip(kept, places, strict=True)]
        changed = form.with_frames(arguments, grids, frames)
    return InputRun(site.placement.site, media, tuple(targets), tuple(kept)), changed


def _indices(site: LiveSite, layouts: list[Layout], values: list[torch.Tensor]) -> list[torch.Tensor]:
    """What the pass keeps of each medium; media of one layout are compressed together."""
    kept: dict[int, torch.Tensor] = {}
    for layout in dict.fromkeys(layouts):
        members = [number for number, other in enumerate(layouts) if other == layout]
        index = site.run(layout, torch.stack([values[number] for number in members]), {}).index
        kept.update(zip(members, index, strict=True))
    return [kept[number] for number in range(len(layouts))]


def _bare(layout: Layout) -> Layout:
    return Layout(layout.count, layout.grid)


def interpolates(module: nn.Module) -> bool:
    """Whether a module adds position embeddings that it interpolates on request."""
    named = type(module).__name__.endswith("Embeddings")
    return named and "interpolate_pos_encoding" in inspect.signature(module.forward).parameters
