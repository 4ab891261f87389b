"""One side of the token flow as an SVG: width is tokens, height is time, both to one scale for both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from .content import Flow, StageFlow

_WIDTH, _CENTRE, _WIDEST = 360, 88, 160
_WORDS_AT = 190
_TALLEST, _SLOT, _GAP, _TOP = 300.0, 40.0, 26.0, 8.0
_THIN = 2.0


@dataclass(frozen=True)
class Scale:
    """Pixels for each token across and for each millisecond down, the same on both sides."""

    per_token: float
    per_ms: float

    @classmethod
    def of(cls, flows: Sequence[Flow]) -> Scale:
        """The scale at which the widest and the slowest of `flows` fill the picture."""
        widest = max((count for flow in flows for stage in flow.stages for count in stage.tokens), default=1)
        slowest = max((sum(stage.ms or 0.0 for stage in flow.stages) for flow in flows), default=0.0)
        return cls(_WIDEST / max(widest, 1), _TALLEST / slowest if slowest else 0.0)

    def height(self, stage: StageFlow) -> float:
        """How tall a stage is drawn; one whose time is unknown fills its slot."""
        return _SLOT if stage.ms is None else max(_THIN, stage.ms * self.per_ms)

    def half(self, tokens: int) -> float:
        """Half the width of `tokens` tokens."""
        return max(_THIN, tokens * self.per_token) / 2


def flow_svg(flow: Flow, scale: Scale) -> str:
    """The flow, top down: a shape for each stage, what runs between them, and words beside both."""
    parts: list[str] = []
    top, spent, before = _TOP, 0.0, None
    for stage in flow.stages:
        if before is not None:
            parts += _edge(before, stage, top, spent, scale)
            top += _GAP
        height = scale.height(stage)
        parts += [_shape(stage, top, height, scale), *_marks(stage, top, height), *_words(stage, top)]
        top, spent, before = top + max(_SLOT, height), spent + (stage.ms or 0.0), stage
    label = escape(f"Token flow {flow.title.lower()} compression", quote=True)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {top + _TOP:.0f}" role="img" aria-label="{label}" class="flow">'
        + "".join(parts)
        + "</svg>"
    )


def _role(stage: StageFlow) -> str:
    last = stage.name.rpartition(".")[2]
    return last if last in ("encoder", "projector", "decoder", "head") else "decoder"


def _shape(stage: StageFlow, top: float, height: float, scale: Scale) -> str:
    """A stage's outline: as wide at each layer as the layer has tokens."""
    runs = list(_runs(stage.tokens))
    levels = [(top + height * start / len(stage.tokens), scale.half(count)) for start, count in runs]
    ends = [*[y for y, _ in levels[1:]], top + height]
    right = [p for (y, half), end in zip(levels, ends, strict=True) for p in ((half, y), (half, end))]
    points = [(_CENTRE + x, y) for x, y in right] + [(_CENTRE - x, y) for x, y in reversed(right)]
    counts = ", ".join(f"layers from {start}: {count}" for start, count in runs) if len(runs) > 1 else str(runs[0][1])
    title = escape(f"{stage.name}: {counts} tokens")
    outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon class="stage {_role(stage)}" points="{outline}"><title>{title}</title></polygon>'


def _runs(tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first layer, tokens) of each run of layers with one count."""
    for layer, count in enumerate(tokens):
        if layer == 0 or count != tokens[layer - 1]:
            yield layer, count


def _edge(before: StageFlow, after: StageFlow, top: float, spent: float, scale: Scale) -> list[str]:
    """What flows from one stage to the next: a band, and beside it the tokens and the time that has passed."""
    wide, narrow = scale.half(before.tokens[-1]), scale.half(after.tokens[0])
    start = top - max(0.0, _SLOT - scale.height(before))
    points = ((-wide, start), (wide, start), (narrow, top + _GAP), (-narrow, top + _GAP))
    outline = " ".join(f"{_CENTRE + x:.1f},{y:.1f}" for x, y in points)
    time = "" if before.ms is None else f", {spent:.3g} ms so far"
    words = f"{_tokens(f'{after.tokens[0]:,}')}{time}"
    return [
        f'<polygon class="band" points="{outline}"/>',
        f'<text class="edge" x="{_WORDS_AT}" y="{top + _GAP / 2 + 4:.1f}">↓ {escape(words)}</text>',
    ]


def _marks(stage: StageFlow, top: float, height: float) -> Iterator[str]:
    """A dashed line and a letter for each placement in front of one of the stage's layers."""
    for layer, letter in stage.marks:
        y = top + height * layer / len(stage.tokens)
        yield f'<line class="mark" x1="4" x2="{2 * _CENTRE - 4}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<circle class="mark" cx="10" cy="{y:.1f}" r="8"/>'
        yield f'<text class="letter" x="10" y="{y + 3.5:.1f}">{escape(letter)}</text>'


def _words(stage: StageFlow, top: float) -> list[str]:
    first, last = stage.tokens[0], stage.tokens[-1]
    counts = f"{first:,}" if first == last else f"{first:,} to {last:,}"
    time = "" if stage.ms is None else f"{stage.ms:.3g} ms, "
    return [
        f'<text class="name" x="{_WORDS_AT}" y="{top + 15:.1f}">{escape(stage.name)}</text>',
        f'<text x="{_WORDS_AT}" y="{top + 31:.1f}">{escape(time + _tokens(counts))}</text>',
    ]


def _tokens(counts: str) -> str:
    return f"{counts} token" if counts == "1" else f"{counts} tokens"
