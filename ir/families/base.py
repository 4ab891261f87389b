"""What a family of models does in its own way: one row of the adapter table, never a copied forward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...common.registry import Registry, modules_of
from ..graph import Mixing
from ..layout import Layout

if TYPE_CHECKING:
    from torch import nn


class Family(ABC):
    """How to find the parts of a model and read the shapes of its media; `model_types` are transformers' names."""

    model_types: ClassVar[tuple[str, ...]]
    modalities: ClassVar[tuple[str, ...]]
    projector_mixing: ClassVar[Mixing] = "pointwise"

    @abstractmethod
    def refusal(self, config: Any) -> str | None:
        """Why this configuration is not supported, as the end of a sentence, or None where it is."""

    @abstractmethod
    def encoder(self, model: nn.Module, modality: str) -> nn.Module:
        """The encoder of a modality."""

    @abstractmethod
    def projector(self, model: nn.Module, modality: str) -> nn.Module:
        """The projector between encoder and decoder."""

    @abstractmethod
    def selected_layer(self, config: Any, modality: str) -> int:
        """0-based encoder layer whose output the projector takes."""

    @abstractmethod
    def layout(self, config: Any, modality: str, size: tuple[int, int]) -> Layout:
        """The tokens of one medium of `size` (height, width in pixels) as they enter the decoder."""

    @abstractmethod
    def placeholder(self, config: Any, modality: str) -> int:
        """Token id that stands for one media token in `input_ids`."""

    @abstractmethod
    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Layout]]:
        """The layout of each medium of one forward call, per modality, from the shapes of its arguments alone.

        Empty where the call carries no media (a decoding step, a text-only turn).
        """

    @abstractmethod
    def encode(self, model: nn.Module, modality: str, arguments: Mapping[str, Any]) -> Any:
        """Run encoder and projector on the media of one call, as the model itself does."""

    def decoder(self, model: nn.Module) -> nn.Module:
        """The decoder: the module that holds `layers` and takes `inputs_embeds`."""
        return model.get_decoder()  # type: ignore[operator, no-any-return]

    def rotary(self, model: nn.Module) -> nn.Module:
        """The decoder's rotary embedding, called with (hidden_states, position_ids)."""
        return self.decoder(model).rotary_emb  # type: ignore[return-value]


FAMILIES: Registry[type[Family]] = Registry("model family", load=modules_of(__package__))


def family(cls: type[Family]) -> type[Family]:
    """Class decorator: enter a family under each of its model types."""
    for model_type in cls.model_types:
        FAMILIES.register(model_type, cls)
    return cls


def family_of(config: Any) -> Family:
    """The family of a configuration.

    Raises:
        BadInput: the model type is not in the table, or this configuration of it is refused, with the reason.
    """
    from ...common.errors import BadInput

    model_type = getattr(config, "model_type", None) or type(config).__name__
    if model_type not in FAMILIES:
        known = ", ".join(FAMILIES.names())
        raise BadInput(f"model type {model_type!r} is not supported yet; supported are {known}")
    found = FAMILIES.get(model_type)()
    reason = found.refusal(config)
    if reason is not None:
        raise BadInput(f"this {model_type} model is not supported: {reason}")
    return found
