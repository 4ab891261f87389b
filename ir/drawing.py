"""Graphs as DOT text and as a simple SVG: boxes for stages, arrows for token streams."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from .graph import Graph, Stage, TokenStream

if TYPE_CHECKING:
    import networkx as nx

_BOX_WIDTH, _BOX_HEIGHT, _GAP, _MARGIN = 190, 64, 120, 24
_FILLS = {"encoder": "#dcecf9", "projector": "#fdf0d3", "decoder": "#dff3e0", "head": "#eeeeee"}


def dot(graph: Graph) -> str:
    """The flow as DOT text for Graphviz, from its networkx graph."""
    flow = graph.networkx()
    lines = [f"digraph {_quoted(graph.model)} {{", "  rankdir=LR;", '  node [shape=box, style="rounded,filled"];']
    for name in flow.nodes:
        stage: Stage = flow.nodes[name]["stage"]
        label = "\\n".join(_words(stage, graph.workload.batch))
        lines.append(f"  {_quoted(name)} [label={_quoted(label, keep=True)}, fillcolor={_quoted(_FILLS[stage.role])}];")
    for source, target in flow.edges:
        words = _stream_words(flow.edges[source, target]["streams"])
        lines.append(f"  {_quoted(source)} -> {_quoted(target)} [label={_quoted(words)}];")
    return "\n".join([*lines, "}", ""])


def svg(graph: Graph) -> str:
    """The flow as an SVG picture: one column for each step of the flow, one row for each modality."""
    flow = graph.networkx()
    places = _places(flow)
    columns, rows = (max(p[i] for p in places.values()) + 1 for i in (0, 1))
    width = 2 * _MARGIN + columns * _BOX_WIDTH + (columns - 1) * _GAP
    height = 2 * _MARGIN + rows * _BOX_HEIGHT + (rows - 1) * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<defs><marker id="end" markerWidth="8" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z"/></marker></defs>',
    ]
    for source, target in flow.edges:
        parts.append(_arrow(places[source], places[target], _stream_words(flow.edges[source, target]["streams"])))
    for name in flow.nodes:
        parts.append(_box(places[name], flow.nodes[name]["stage"], graph.workload.batch))
    return "\n".join([*parts, "</svg>", ""])


def _places(flow: nx.DiGraph[str]) -> dict[str, tuple[int, int]]:
    """(column, row) of each stage: its distance from the first stages, and its modality's row."""
    columns: dict[str, int] = {}
    rows = {"": 0}
    for name in flow.nodes:
        columns[name] = max((columns[before] + 1 for before in flow.predecessors(name) if before in columns), default=0)
        rows.setdefault(name.rpartition(".")[0], len(rows) - 1)
    last = max(columns.values())
    found = {name: (column, rows[name.rpartition(".")[0]]) for name, column in columns.items()}
    ends = {"decoder": last - ("head" in columns), "head": last}
    return {name: (max(place[0], ends.get(name, 0)), place[1]) for name, place in found.items()}


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return _MARGIN + place[0] * (_BOX_WIDTH + _GAP), _MARGIN + place[1] * (_BOX_HEIGHT + _MARGIN)


def _box(place: tuple[int, int], stage: Stage, batch: int) -> str:
    x, y = _corner(place)
    words = _words(stage, batch)
    lines = "".join(
        f'<text x="{x + 10}" y="{y + 20 + 17 * i}"{" font-weight=" + chr(34) + "bold" + chr(34) if not i else ""}>'
        f"{escape(text)}</text>"
        for i, text in enumerate(words)
    )
    fill = _FILLS[stage.role]
    return (
        f'<rect x="{x}" y="{y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="8" fill="{fill}" stroke="#555"/>{lines}'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int], words: str) -> str:
    (x1, y1), (x2, y2) = _corner(start), _corner(end)
    x1, y1, y2 = x1 + _BOX_WIDTH, y1 + _BOX_HEIGHT // 2, y2 + _BOX_HEIGHT // 2
    line = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#333" marker-end="url(#end)"/>'
    middle = (x1 + x2) // 2
    return f'{line}<text x="{middle}" y="{(y1 + y2) // 2 - 6}" text-anchor="middle">{escape(words)}</text>'


def _words(stage: Stage, batch: int) -> list[str]:
    layers = f"{stage.depth} layers, " if stage.depth else ""
    work = f"{stage.flops(batch=batch) / 1e9:.3g} GFLOPs, {stage.parameters / 1e6:.3g} M params"
    return [stage.name, f"{layers}{stage.mixing}", work]


def _stream_words(streams: Sequence[TokenStream]) -> str:
    """`2 x 576 (1x24x24)`, joined by plus signs where media are laid out differently."""
    words = []
    for stream in streams:
        grid = "" if stream.layout.grid is None else " (" + "x".join(map(str, stream.layout.grid)) + ")"
        words.append(f"{stream.sequences} x {stream.layout.total}{grid}")
    return " + ".join(words)


def _quoted(text: str, *, keep: bool = False) -> str:
    escaped = text if keep else text.replace("\\", "\\\\")
    return '"' + escaped.replace('"', '\\"') + '"'
