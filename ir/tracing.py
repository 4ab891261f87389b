"""Tracing: from a model or its configuration to the graph of its token flow, without running anything."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from .families import Family, family_of
from .fingerprint import fingerprint
from .graph import Graph, Layer, Stage, TokenStream
from .layout import Layout
from .module_ops import attention_shape, layer_ops, module_ops
from .op import Op, elementwise
from .polynomial import ROWS, as_polynomial
from .pooling_head import pooling_head_ops, pooling_heads
from .sources import built_on_meta, load_config
from .workload import Images, Workload

if TYPE_CHECKING:
    from torch import nn


def trace(model: Any, workload: Workload | str | None = None, *, name: str | None = None) -> Graph:
    """The token flow of `model` under `workload`: stages, layers, operations, streams and sites.

    Args:
        model: a live transformers model, a configuration object, a local checkpoint folder or the path of a
            config.json. From a configuration the model is built on the meta device: no weights, no network.
        workload: the request, or its short text form such as `image=1x336x336,text=64,new=128`; by default one
            picture and 32 text tokens.
        name: what to call the model in plans and tables.

    Raises:
        BadInput: no such file, a model that is not supported, or a workload that it cannot take.

    Example:
        >>> import foveate
        >>> from transformers import LlavaConfig
        >>> graph = foveate.trace(LlavaConfig(image_token_index=32000), "image=1x336x336,text=64,new=1")
        >>> graph.decoder.tokens_in
        640
    """
    source = load_config(model) if isinstance(model, (str, os.PathLike)) else model
    config = getattr(source, "config", source)
    if not hasattr(config, "to_dict"):
        raise BadInput(f"cannot trace a {type(model).__name__}; give a transformers model, configuration or folder")
    row = family_of(config)
    request = _workload(workload, row, config)
    live = source if hasattr(source, "modules") else built_on_meta(config)
    stages = [stage for modality in request.modalities for stage in _media_stages(row, live, config, modality, request)]
    layouts = {modality: _layout(row, config, modality, request) for modality in request.modalities}
    media = sum(layouts[m].total * _count(request, m) for m in layouts)
    stages += [_decoder(row, live, config, media + request.text_tokens), _head(live, config)]
    return Graph(
        model=name or _name(model, config),
        model_type=config.model_type,
        fingerprint=fingerprint(config),
        workload=request,
        stages=tuple(stages),
        streams=_streams(stages, layouts),
        layouts={modality: layout.without_prefix() for modality, layout in layouts.items()},
    )


def _workload(workload: Workload | str | None, row: Family, config: Any) -> Workload:
    if workload is None:
        side = config.vision_config.image_size if "image" in row.modalities else 224
        return Workload(images=(Images(1, side, side),))
    request = Workload.parse(workload) if isinstance(workload, str) else workload
    for modality in request.modalities:
        if modality not in row.modalities:
            taken = ", ".join(row.modalities)
            raise BadInput(f"the workload has {modality}, which {config.model_type} does not take (it takes {taken})")
    return request


def _name(model: Any, config: Any) -> str:
    if isinstance(model, (str, os.PathLike)):
        path = Path(model).absolute()
        return path.parent.name if path.name == "config.json" else path.name
    return Path(str(getattr(config, "_name_or_path", "") or "")).name or str(config.model_type)


def _count(request: Workload, modality: str) -> int:
    counts = {"image": sum(i.count for i in request.images), "video": len(request.videos)}
    return counts.get(modality, len(request.audio_seconds))


def _layout(row: Family, config: Any, modality: str, request: Workload) -> Layout:
    """The one layout that all media of a modality share; other sizes are for families of variable grids."""
    sizes = {(i.height, i.width) for i in request.images}
    layouts = {row.layout(config, modality, size) for size in sizes}
    if len(layouts) != 1:
        raise BadInput("the workload mixes image sizes that this model lays out differently; give one size")
    return layouts.pop()


def _media_stages(row: Family, model: nn.Module, config: Any, modality: str, request: Workload) -> list[Stage]:
    encoder, projector = row.encoder(model, modality), row.projector(model, modality)
    layout, count = _layout(row, config, modality, request), _count(request, modality)
    tokens = layout.count + _prefix_of(encoder)
    first = _stack("image.encoder", encoder, tokens, causal=False)
    first = replace(first, role="encoder", modality=modality, sequences=count, mixing="sequence")
    first = replace(first, selected=row.selected_layer(config, modality))
    ops = tuple(op for n, m in projector.named_modules() for op in module_ops(n, m))
    activation = elementwise("activation", config.text_config.hidden_size, flops=8)
    second = Stage(
        name=f"{modality}.projector",
        role="projector",
        modality=modality,
        layers=(Layer("projector", (*ops, activation)),),
        tokens=(layout.total,),
        sequences=count,
        width=config.text_config.hidden_size,
        parameters=_parameters(projector),
        mixing=row.projector_mixing,
    )
    return [first, second]


def _prefix_of(encoder: nn.Module) -> int:
    """Prefix tokens of a vision tower: a class embedding is one."""
    return sum(1 for name, _ in encoder.named_parameters() if name.endswith("class_embedding"))


def _decoder(row: Family, model: nn.Module, config: Any, tokens: int) -> Stage:
    stage = _stack("decoder", row.decoder(model), tokens, causal=True)
    return replace(stage, role="decoder", mixing="sequence")


def _stack(name: str, module: nn.Module, tokens: int, *, causal: bool) -> Stage:
    """A stage from a module that holds one list of layers: what is not in the list comes before or after it."""
    prefix, stack = _layer_list(module)
    layers = [Layer(f"layers.{i}", layer_ops(layer, causal=causal)) for i, layer in enumerate(stack)]
    heads = [m for m in stack[0].modules() if type(m).__name__.endswith("Attention") and hasattr(m, "head_dim")]
    _, key_value_heads, head_dim = attention_shape(heads[0])
    width = _width(module)
    poolers = pooling_heads(module)
    outside = [(n, m) for n, m in module.named_modules() if not n.startswith((prefix, *poolers))]
    extra = _prefix_of(module)
    before = [op for n, m in outside if not _is_final(n) for op in module_ops(n, m, prefix=extra)]
    after = [op for n, m in outside if _is_final(n) for op in module_ops(n, m)]
    after += [op for n, m in poolers.items() for op in pooling_head_ops(n, m)]
    # Looking up or adding the embeddings, and scattering media features into them, each moves one stream.
    before.append(Op("embed", "gather", elements=4 * width * ROWS, launches=as_polynomial(4)))
    return Stage(
        name=name,
        role="encoder",
        modality=None,
        layers=(Layer("embeddings", tuple(before)), *layers, Layer("norm", tuple(after))),
        tokens=(tokens,) * (len(layers) + 2),
        sequences=1,
        width=width,
        parameters=_parameters(module),
        mixing="sequence",
        first=1,
        depth=len(layers),
        key_value_width=2 * key_value_heads * head_dim if causal else 0,
    )


def _layer_list(module: nn.Module) -> tuple[str, Any]:
    """The longest ModuleList and its dotted name."""
    from torch import nn

    lists = [(name, m) for name, m in module.named_modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        raise BadInput(f"{type(module).__name__} holds no list of layers; it cannot be traced as a stack")
    return max(lists, key=lambda item: len(item[1]))


def _is_final(name: str) -> bool:
    return name.split(".")[-1] in ("norm", "post_layernorm", "final_layer_norm", "ln_f")


def _width(module: nn.Module) -> int:
    config: Any = module.config
    return int(getattr(config, "vision_config", config).hidden_size)


def _head(model: nn.Module, config: Any) -> Stage:
    """The language head on the one position whose logits are asked for."""
    head: Any = model.get_output_embeddings()  # type: ignore[operator]
    if head is None:
        raise BadInput(f"{type(model).__name__} has no language head; load the ForConditionalGeneration class")
    embeddings: Any = model.get_input_embeddings()  # type: ignore[operator]
    tied = bool(config.tie_word_embeddings) or head.weight is embeddings.weight
    ops = tuple(module_ops("lm_head", head))
    width, owned = int(head.weight.shape[1]), 0 if tied else _parameters(head)
    return Stage("head", "head", None, (Layer("lm_head", ops),), (1,), 1, width, owned, "pointwise")


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _streams(stages: list[Stage], layouts: dict[str, Layout]) -> tuple[TokenStream, ...]:
    streams = []
    for modality, layout in layouts.items():
        encoder = next(s for s in stages if s.name == f"{modality}.encoder")
        inside = replace(layout, prefix=encoder.tokens_in - layout.count)
        streams.append(TokenStream(encoder.name, f"{modality}.projector", encoder.sequences, encoder.width, inside))
        width = stages[-1].width
        streams.append(TokenStream(f"{modality}.projector", "decoder", encoder.sequences, width, layout))
    streams.append(TokenStream("decoder", "head", 1, stages[-1].width, Layout(1)))
    return tuple(streams)
