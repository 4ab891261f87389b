"""One request through a model on the meta device, and the stages that its recording shows."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..common.errors import BadInput
from .class_token import has_class_token
from .families.inputs import square_layout
from .families.row import Media, Row
from .graph import Graph, Stage, TokenStream
from .layout import Layout
from .parameters import parameter_shares, total_parameters
from .prompt import KINDS as _KINDS
from .prompt import prompt
from .recording.cross_attention import hand_over
from .recording.experts import run_together
from .recording.recorder import Recorder, recording
from .recording.repeats import Instruments
from .recording.replay import Replayer
from .recording.resize import first_shape
from .recording.shapes import shapes_only, tensors_in
from .recording.stages import Assembler, Draft
from .workload import Workload

_TAPPED = ("image.encoder", "video.encoder")
_ROLES = {"encoder": "encoder", "projector": "projector", "decoder": "decoder", "head": "head"}


class Tracer:
    """Traces one model, which must be the tracer's own copy on the meta device."""

    def __init__(self, model: nn.Module, row: Row, workload: Workload) -> None:
        self.model, self.row, self.workload = model.eval(), row, workload
        run_together(model, "grouped_mm")
        self.instruments = Instruments(model)
        self.media: dict[str, Media] = {}

    def graph(self, name: str, model_type: str, fingerprint: str) -> Graph:
        """The graph of the workload."""
        with recording() as recorder:
            self.instruments.recorder = recorder
            try:
                media = self.media = {m: self._media(m, recorder) for m in self.workload.modalities}
                drafts = self._drafts(media, recorder)
            except BadInput:
                raise
            except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise BadInput(f"{model_type} cannot take the workload {self.workload}: {reason}") from error
            finally:
                self.instruments.recorder = None
        _hand_over(drafts, media)
        shares = parameter_shares(self.model, self.row, list(drafts), media)
        stages = tuple(self._stage(stage, draft, shares.get(stage, 0)) for stage, draft in drafts.items())
        media = {m: _with_layouts(m, found, drafts, self.workload) for m, found in media.items()}
        layouts = {m: found.layouts or (Layout(0),) for m, found in media.items()}
        one = {m: found[0].without_prefix() for m, found in layouts.items() if len(set(found)) == 1}
        return Graph(
            model=name,
            model_type=model_type,
            fingerprint=fingerprint,
            workload=self.workload,
            stages=stages,
            streams=_streams(stages, media, layouts),
            layouts=one,
            mixed={m: tuple(layout.without_prefix() for layout in f) for m, f in layouts.items() if m not in one},
            idle_parameters=total_parameters(self.model) - sum(stage.parameters for stage in stages),
        )

    def counted_flops(self) -> int:
        """What torch's flop counter counts in one whole forward of the request, every layer run."""
        from torch.utils.flop_counter import FlopCounterMode

        with shapes_only(), FlopCounterMode(display=False) as counter:
            media = {m: self.media[m] for m in self.workload.modalities}
            run_together(self.model, "batched_mm")
            self.model.requires_grad_(False)  # the counter's module tracker hooks gradients
            self._forward(media)
        return int(counter.get_total_flops())

    def _media(self, modality: str, recorder: Recorder) -> Media:
        """The arguments and layouts of one modality; layouts that no rule gives are read off a run of the encoder."""
        found = self.row.media(self.model, modality, self.workload)
        if found.layouts is None and self.row.placeholder(modality) is not None:
            counts = [
                count
                for alone in self.workload.alone(modality)
                for count in self._feature_counts(
                    modality, self.row.media(self.model, modality, alone).arguments, alone
                )
            ]
            found = replace(found, layouts=tuple(square_layout(count) for count in counts))
            recorder.fresh()
        return found

    def _feature_counts(self, modality: str, arguments: dict[str, Any], workload: Workload) -> list[int]:
        """Tokens that each medium makes, by the model's own `get_*_features`."""
        holders = [getattr(self.model, "model", None), self.model]
        function = next((f for h in holders if (f := getattr(h, f"get_{modality}_features", None))), None)
        if function is None:
            raise BadInput(f"{self.row.config.model_type} has no rule for how many tokens a medium of {modality} makes")
        taken = inspect.signature(function).parameters
        result = function(**{name: value for name, value in arguments.items() if name in taken})
        features = getattr(result, "pooler_output", None)
        features = getattr(result, "last_hidden_state", result) if features is None else features
        return _counts(features, _media_count(workload, modality))

    def _drafts(self, media: dict[str, Media], recorder: Recorder) -> dict[str, Draft]:
        """A draft of each stage, media stages from runs of their own where there are several modalities."""
        replayer = Replayer(self.instruments, recorder)
        drafts: dict[str, Draft] = {}
        runs = [((m,), {m: found}) for m, found in media.items()] if len(media) > 1 else []
        for modalities, carried in [*runs, (tuple(media), media)]:
            whole = len(carried) == len(media)
            roots: dict[str, list[str]] = {}
            for modality in modalities or ("image",):
                roots |= self.row.roots(self.model, modality)
            self._forward(carried)
            assembler = Assembler(recorder.fresh(), roots, replayer)
            for stage in roots:
                of_media = stage.partition(".")[0] in _KINDS
                if (whole and not of_media) or (of_media and len(modalities) == 1):
                    drafts[stage] = assembler.draft(stage)
        return {stage: drafts[stage] for stage in sorted(drafts, key=_order) if drafts[stage].layers}

    def _stage(self, name: str, draft: Draft, parameters: int) -> Stage:
        selected = self.row.selected(draft.depth) if name in _TAPPED else None
        return replace(_stage(name, draft, parameters, selected), class_token=self._class_token(name))

    def _class_token(self, stage: str) -> bool | None:
        """Whether a stage's encoder has a [CLS] token, None where it is no encoder of media."""
        modality, _, role = stage.rpartition(".")
        if role != "encoder" or modality not in _KINDS:
            return None
        names = self.row.roots(self.model, modality).get(stage, [])
        return any(has_class_token(self.model.get_submodule(name)) for name in names) if names else None

    def _forward(self, media: dict[str, Media]) -> Any:
        ids, kinds = self.prompt(media)
        arguments = self.row.text(ids, kinds, self.model)
        for found in media.values():
            arguments |= found.arguments | found.extra
        return self.model(**arguments, **self.row.settings(self.model))

    def prompt(self, media: dict[str, Media]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `prompt`."""
        return prompt(self.row, media, self.workload.text_tokens)


def _hand_over(drafts: dict[str, Draft], media: dict[str, Media]) -> None:
    """Cross-attention's keys and values go to the stage whose tokens they are of, where those are not in the prompt."""
    for modality in media:
        source = drafts.get(f"{modality}.projector") or drafts.get(f"{modality}.encoder")
        decoder = drafts.get("decoder")
        if source and decoder and decoder.sequences * decoder.tokens[0] < source.sequences * source.tokens_after:
            hand_over(decoder, source)


def _order(stage: str) -> tuple[int, str]:
    role = stage.rpartition(".")[2]
    modality = stage.partition(".")[0]
    media = {"image": 0, "video": 1, "audio": 2}.get(modality, 3)
    return (
        {"encoder": 10, "projector": 11}.get(role, 0) + 20 * media if "." in stage else 100 + (role == "head"),
        stage,
    )


def _counts(output: Any, media: int) -> list[int]:
    """Tokens of each medium in the output of `get_*_features`: a list of (n, C), or (media, n, C), or (n, C)."""
    if isinstance(output, (list, tuple)) and output and isinstance(output[0], torch.Tensor):
        if len(output) == media:
            return [math.prod(t.shape[:-1]) for t in output]
        return [sum(math.prod(t.shape[:-1]) for t in output) // media] * media
    tensor = next(tensors_in(output), None)
    if tensor is None:
        shape = first_shape(output)
        if shape is None:
            raise BadInput("the model's features hold no tensor")
        return [math.prod(shape[:-1]) // media] * media
    return [math.prod(tensor.shape[:-1]) // media] * media


def _media_count(workload: Workload, modality: str) -> int:
    counts = {"image": sum(i.count for i in workload.images), "video": len(workload.videos)}
    return counts.get(modality, len(workload.audio_seconds))


def _with_layouts(modality: str, media: Media, drafts: dict[str, Draft], workload: Workload) -> Media:
    """The media with the layout that the recording shows, where none was known beforehand."""
    source = drafts.get(f"{modality}.projector") or drafts.get(f"{modality}.encoder")
    if media.layouts is not None or source is None:
        return media
    count = _media_count(workload, modality)
    return replace(media, layouts=(square_layout(source.sequences * source.tokens_after // count),) * count)


def _stage(name: str, draft: Draft, parameters: int, selected: int | None) -> Stage:
    modality, _, role = name.rpartition(".")
    widths = draft.key_value_widths
    decoder = name == "decoder"
    return Stage(
        name=name,
        role=_ROLES[role],  # type: ignore[arg-type]
        modality=modality or None,
        layers=tuple(draft.layers),
        tokens=tuple(draft.tokens),
        sequences=draft.sequences,
        width=draft.width,
        parameters=parameters,
        mixing=draft.mixing if role != "head" else "pointwise",
        first=draft.first,
        depth=draft.depth if role in ("encoder", "decoder") else 0,
        key_value_width=round(sum(widths) / len(widths)) if decoder and widths else 0,
        selected=selected,
        leaving=None if decoder else draft.tokens_after,
        active_parameters=parameters - draft.inactive,
    )


def _streams(
    stages: tuple[Stage, ...], media: dict[str, Media], layouts: dict[str, tuple[Layout, ...]]
) -> tuple[TokenStream, ...]:
    """Encoder to projector to decoder for each modality, one stream for each layout, then decoder to head."""
    found: list[TokenStream] = []
    by_name = {stage.name: stage for stage in stages}
    decoder = by_name["decoder"]
    for modality, every in layouts.items():
        encoder, projector = by_name.get(f"{modality}.encoder"), by_name.get(f"{modality}.projector")
        if encoder is not None and projector is not None:
            inside = _inside(encoder, every[0])
            found.append(TokenStream(encoder.name, projector.name, encoder.sequences, encoder.width, inside))
        source = projector or encoder
        if source is None:
            continue
        for layout, count in Counter(every if media[modality].layouts else ()).items():
            found.append(TokenStream(source.name, "decoder", count, decoder.width, layout))
    if "head" in by_name:
        found.append(TokenStream("decoder", "head", 1, decoder.width, Layout(1)))
    return tuple(found)


def _inside(encoder: Stage, layout: Layout) -> Layout:
    """What flows from the encoder: its own tokens, those that never reach the decoder as a prefix."""
    tokens = encoder.tokens[-1]
    if layout.count <= tokens < layout.count + 8:
        return replace(layout, prefix=tokens - layout.count, separators=0)
    return square_layout(tokens)
