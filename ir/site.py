"""Sites: the places along the token flow where a pass may act."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from ..common.errors import BadInput

Modality = Literal["image", "video", "audio"]
MODALITIES: tuple[str, ...] = get_args(Modality)

_PATTERNS = (
    ("input", re.compile(rf"({'|'.join(MODALITIES)})\.input")),
    ("encoder.layer", re.compile(rf"({'|'.join(MODALITIES)})\.encoder\.layers\.(\d+)")),
    ("encoder.layer.mid", re.compile(rf"({'|'.join(MODALITIES)})\.encoder\.layers\.(\d+)\.mid")),
    ("encoder.output", re.compile(rf"({'|'.join(MODALITIES)})\.encoder\.output")),
    ("projector.output", re.compile(rf"({'|'.join(MODALITIES)})\.projector\.output")),
    ("decoder.layer", re.compile(r"decoder\.layers\.(\d+)")),
    ("decoder.cache", re.compile(r"decoder\.cache")),
)
KINDS: tuple[str, ...] = tuple(kind for kind, _ in _PATTERNS)

_HELP = (
    "a site is MODALITY.input, MODALITY.encoder.layers.K, MODALITY.encoder.layers.K.mid, MODALITY.encoder.output, "
    "MODALITY.projector.output, decoder.layers.K or decoder.cache, with MODALITY one of " + ", ".join(MODALITIES)
)


@dataclass(frozen=True)
class Site:
    """A parsed site; `str(site)` gives its text back.

    Example:
        >>> Site.parse("decoder.layers.2")
        Site(kind='decoder.layer', modality=None, layer=2)
        >>> str(Site.parse("image.encoder.layers.3.mid"))
        'image.encoder.layers.3.mid'
    """

    kind: str
    modality: str | None = None
    layer: int | None = None

    @classmethod
    def parse(cls, text: str) -> Site:
        """The site that `text` names.

        Raises:
            BadInput: the text is no site.
        """
        for kind, pattern in _PATTERNS:
            match = pattern.fullmatch(text)
            if match:
                modality = None if kind.startswith("decoder") else match.group(1)
                layer = int(match.groups()[-1]) if "layer" in kind else None
                return cls(kind, modality, layer)
        raise BadInput(f"unknown site {text!r}: {_HELP}")

    @property
    def depth(self) -> tuple[int, float]:
        """Order along the flow: (stage, place inside it); earlier sites compare smaller."""
        stage = {"input": 0, "encoder.layer": 1, "encoder.layer.mid": 1, "encoder.output": 2, "projector.output": 3}
        if self.kind.startswith("decoder"):
            return (5, 0.0) if self.kind == "decoder.cache" else (4, float(self.layer or 0))
        return stage[self.kind], (self.layer or 0) + (0.5 if self.kind.endswith("mid") else 0.0)

    def __str__(self) -> str:
        head = "" if self.modality is None else f"{self.modality}."
        body = {
            "encoder.layer": f"encoder.layers.{self.layer}",
            "encoder.layer.mid": f"encoder.layers.{self.layer}.mid",
            "decoder.layer": f"decoder.layers.{self.layer}",
        }.get(self.kind, self.kind)
        return head + body
