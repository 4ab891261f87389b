"""Parameters that a pass leaves to the model's encoder: settled, and written into the placement with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..common.errors import BadInput
from ..ir.graph import Graph
from ..ir.layout import Layout
from ..ir.placement import Placement
from ..passes import create


def suited(placement: Placement, has_class_token: Callable[[], bool]) -> Placement:
    """The placement with what its pass chooses by the encoder, and why as its note; itself where nothing is chosen."""
    params, reason = create(placement.method, placement.params).suited(has_class_token)
    return replace(placement, params={**placement.params, **params}, note=reason) if params else placement


def suited_to_graph(graph: Graph, placement: Placement) -> Placement:
    """The placement suited to the encoders of a traced graph; where a graph does not tell, [CLS] tokens are assumed.

    Raises:
        BadInput: the pass reads the attention of [CLS], and an encoder has none.
    """
    tokens = {modality: _class_token(graph, modality) for modality in placement.modalities(graph.layouts)}
    found = suited(placement, lambda: all(token is not False for token in tokens.values()))
    needs = create(found.method, found.params).needs(Layout(1))
    for modality, token in tokens.items():
        if token is False and any(need.query == "cls" for need in needs):
            raise BadInput(
                f"{found.label()} reads the attention of [CLS], and the {modality} encoder of {graph.model} has no "
                "[CLS] token"
            )
    return found


def _class_token(graph: Graph, modality: str) -> bool | None:
    return next((stage.class_token for stage in graph.stages if stage.name == f"{modality}.encoder"), None)
