"""What the runtime must know of a family to run plans in its live models: where a call's media tokens stand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ...common.errors import BadInput
from ...common.registry import Registry, modules_of
from ...ir.encoder_sites import ENCODER_SITES, encoder_sites
from ...ir.input_changes import input_changes
from ...ir.layout import Layout
from ..layer_kinds import full_layers
from ..mixers import mixer_refusal
from .encoder_flow import EncoderFlow, dense

if TYPE_CHECKING:
    from torch import nn

    from ..call import Call
    from ..encoder.packing import Packing
    from ..inputs.forms import InputForm
    from .entrance import Entrance


_LEARNED_POSITIONS = ("opt",)


@dataclass(frozen=True)
class Medium:
    """One image, clip or sound of a call.

    Attributes:
        layout: how its tokens are arranged; `layout.total` placeholders stand for it in `input_ids`.
        separators: places among those placeholders of newline and separator tokens, which always stay.
    """

    layout: Layout
    separators: tuple[int, ...] = ()


class Removable(Protocol):
    """What a hook leaves behind: something that takes it off again."""

    def remove(self) -> None:
        """Take it off."""


class Adapter(ABC):
    """How the models of a family are called; most of it follows transformers' conventions.

    Attributes:
        model_types: transformers' names. modalities: what its forward takes.
        in_sequence: media tokens stand in the decoder's own sequence, so plans can act at its input and layers.
        cross_attention: the decoder reads media tokens by cross-attention, after a projector.
        embeds_inside: the decoder embeds media itself, so its input is first seen at its layer 0.
        packed: the encoder attends to all media in one sequence, segment by segment; `packing` says how.
    """

    model_types: ClassVar[tuple[str, ...]]
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    in_sequence: ClassVar[bool] = True
    cross_attention: ClassVar[bool] = False
    embeds_inside: ClassVar[bool] = False
    packed: ClassVar[bool] = False

    @abstractmethod
    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """The media of one forward call in order, per modality, from its arguments; empty where it carries none."""

    def refusal(self, config: Any) -> str | None:
        """Why plans cannot run in this configuration, as the end of a sentence, or None where they can."""
        return None

    def absolute_positions(self, config: Any) -> bool:
        """Whether the decoder adds position embeddings at its input instead of rotating queries and keys."""
        return config.get_text_config(decoder=True).model_type in _LEARNED_POSITIONS

    def entrance(self, model: nn.Module) -> Entrance:
        """Where one call of the model is first seen."""
        from .entrance import Entrance

        return Entrance(model)

    def placeholder(self, config: Any, modality: str) -> int:
        """The token id that stands for one media token in `input_ids`."""
        for name in (f"{modality}_token_id", f"{modality}_token_index"):
            if getattr(config, name, None) is not None:
                return int(getattr(config, name))
        raise BadInput(f"{config.model_type} names no {modality}_token_id in its configuration")

    def encode(self, model: nn.Module, modality: str, arguments: Mapping[str, Any]) -> Any:
        """Run encoder and projector on the media of one call, as the model itself does."""
        import inspect

        name = f"get_{modality}_features"
        base = getattr(model, "base_model", model)
        features: Any = getattr(base if hasattr(base, name) else model, name)
        taken = inspect.signature(features).parameters
        return features(**{name: value for name, value in arguments.items() if name in taken and value is not None})

    def decoder(self, model: nn.Module) -> nn.Module:
        """The decoder: the module that holds `layers` and takes `inputs_embeds`."""
        found: Any = model.get_decoder()  # type: ignore[operator]
        while not hasattr(found, "layers"):  # some families name their language model with its head
            found = found.model if hasattr(found, "model") else found.decoder
        return found  # type: ignore[no-any-return]

    def rotary(self, model: nn.Module) -> nn.Module | None:
        """The decoder's rotary embedding, called with (hidden_states, position_ids), where it has one."""
        return getattr(self.decoder(model), "rotary_emb", None)

    def encoder(self, model: nn.Module, modality: str) -> nn.Module:
        """The encoder of a modality, for passes that read its attention."""
        return model.get_encoder(modality=modality)  # type: ignore[operator, no-any-return]

    def encoder_layers(self, model: nn.Module, modality: str) -> Sequence[nn.Module]:
        """The encoder's layers, in order."""
        from torch import nn

        lists = [list(m) for m in self.encoder(model, modality).modules() if isinstance(m, nn.ModuleList)]
        return max(lists, key=len)

    def packing(self, encoder: nn.Module, arguments: Mapping[str, Any]) -> Packing | None:
        """How a packed encoder's patches belong to its media, by the arguments of its call; None where it is dense."""
        return None

    def encoder_layout(self, config: Any, modality: str) -> Layout:
        """How the tokens of one medium are arranged inside the encoder."""
        raise NotImplementedError(f"{config.model_type} has no sites inside its encoder")

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """How tokens run through the encoder, for placements inside it; by default dense, one token a patch."""
        config: Any = model.config
        return EncoderFlow(
            self.encoder(model, modality),
            self.encoder_layers(model, modality),
            dense(self.encoder_layout(config, modality)),
            last=self.selected_layer(config, modality),
            projector=self.projector(model, modality),
        )

    def projector(self, model: nn.Module, modality: str) -> nn.Module | None:
        """The module that maps the encoder's tokens one by one to the decoder's width, where it has one."""
        return getattr(getattr(model, "base_model", model), "multi_modal_projector", None)

    def input_form(self, config: Any, modality: str) -> InputForm | None:
        """How a modality's pixels are laid out, for passes before its encoder; None where it takes one form only."""
        from .input_table import form_of

        return form_of(config, modality)

    def input_changes(self, config: Any, modality: str) -> tuple[str, ...]:
        """What of a modality's input passes can change: "size", "frames", "sound"; nothing where it is empty."""
        return input_changes(config.model_type, modality)

    def sites(self, config: Any) -> list[str]:
        """The sites at which plans can be applied to a model of this configuration."""
        found = [f"{modality}.input" for modality in self.modalities if self.input_changes(config, modality)]
        for modality in self.modalities:
            if (config.model_type, modality) in ENCODER_SITES:
                last = self.selected_layer(config, modality)
                found += [str(site) for site in encoder_sites(config.model_type, modality, last)]
        if self.cross_attention:
            found += [f"{modality}.projector.output" for modality in self.modalities]
        if self.in_sequence:
            depth = config.get_text_config(decoder=True).num_hidden_layers
            found += [f"{modality}.projector.output" for modality in self.modalities]
            found += [f"decoder.layers.{k}" for k in range(1, depth)]
            found += ["decoder.cache"] if full_layers(config.get_text_config(decoder=True)) else []
        return found

    def selected_layer(self, config: Any, modality: str) -> int:
        """0-based encoder layer whose output the projector takes: `vision_feature_layer`, or the last one."""
        depth = self.encoder_depth(config, modality)
        index = getattr(config, "vision_feature_layer", -1)
        index = index if isinstance(index, int) else index[-1]
        return index - 1 if index >= 0 else depth + index

    def encoder_depth(self, config: Any, modality: str) -> int:
        """How many layers the encoder has."""
        return int(getattr(config.vision_config, "num_hidden_layers", 0) or config.vision_config.depth)

    def extra_hooks(self, model: nn.Module, call: Callable[[], Call | None]) -> list[Removable]:
        """Hooks for what this family feeds its decoder beside the sequence; `call` gives the call in progress."""
        return []


ADAPTERS: Registry[type[Adapter]] = Registry("model family", load=modules_of(__package__ or ""))


def adapter(cls: type[Adapter]) -> type[Adapter]:
    """Class decorator: enter an adapter under each of its model types."""
    for model_type in cls.model_types:
        ADAPTERS.register(model_type, cls)
    return cls


def live_part(model: Any) -> Any:
    """The part of a model, or of a configuration, that reads media and answers: an omni model's thinker, else all."""
    return getattr(model, "thinker", None) or getattr(model, "thinker_config", None) or model


def adapter_of(config: Any) -> Adapter:
    """The adapter of a configuration.

    Raises:
        BadInput: the model type is not in the table, or this configuration of it is refused, with the reason.
    """
    config = live_part(config)
    model_type = getattr(config, "model_type", None) or type(config).__name__
    mixer = mixer_refusal(config)
    if model_type not in ADAPTERS and mixer is None:
        raise BadInput(f"model type {model_type!r} is not supported yet; supported are {', '.join(ADAPTERS.names())}")
    reason = mixer if mixer is not None else ADAPTERS.get(model_type)().refusal(config)
    if reason is not None:
        raise BadInput(f"plans cannot run in this {model_type} model: {reason}")
    return ADAPTERS.get(model_type)()
