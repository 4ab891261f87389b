"""What a pass inside an encoder is counted and priced by: units of its stream, in the width of the encoder."""

from __future__ import annotations

import math
from dataclasses import replace

from ...ir.encoder_sites import TILED
from ...ir.graph import Graph
from ...ir.layout import Layout
from ...ir.placing import patches_per_unit
from ...passes import Pass


def encoder_width(graph: Graph, modality: str) -> int:
    """Channels of one unit: the encoder's width times the tokens that become one token of the decoder."""
    return graph.stage(f"{modality}.encoder").width * patches_per_unit(graph, modality)


def encoder_count(graph: Graph, modality: str, method: Pass, before: Layout, keep: float) -> Layout:
    """What remains of a medium of `before`; of a picture that is encoded in tiles each tile keeps its share."""
    tiles = tiles_of(graph, modality)
    if tiles == 1 or before.count % tiles:
        return method.count(before, keep)
    tile = before.count // tiles
    side = math.isqrt(tile)
    kept = method.count(Layout(tile, (1, side, side) if side * side == tile else None), keep)
    return replace(before, count=tiles * kept.count, grid=before.grid if kept.count == tile else None)


def tiles_of(graph: Graph, modality: str) -> int:
    """Tiles in which the encoder takes one medium, 1 where it takes it whole."""
    if graph.model_type not in TILED:
        return 1
    return max(1, graph.stage(f"{modality}.encoder").sequences // max(1, graph.media(modality)))
