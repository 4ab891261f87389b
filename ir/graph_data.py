"""Graphs as plain data and back, without loss: what `foveate trace --format graph` prints."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..common.errors import BadInput
from .graph import Graph, Layer, Placed, Stage, TokenStream
from .layout import Layout
from .op import Op
from .placement import Placement
from .polynomial import Band, Cost, Polynomial
from .workload import Workload

VERSION = 1


def to_data(graph: Graph) -> dict[str, Any]:
    """The graph as dictionaries, lists, strings and whole numbers; equal layers' operations are stored once.

    Example:
        >>> from foveate.ir.polynomial import ROWS
        >>> cost_to_data(3 * ROWS)
        [[1, 1, 0, 3]]
    """
    bodies: dict[tuple[Op, ...], int] = {}
    stages = [_stage_to_data(stage, bodies) for stage in graph.stages]
    return {
        "foveate_graph": VERSION,
        "model": graph.model,
        "model_type": graph.model_type,
        "fingerprint": graph.fingerprint,
        "workload": str(graph.workload),
        "stages": stages,
        "bodies": [[_op_to_data(op) for op in ops] for ops in bodies],
        "streams": [{**_plain(s), "layout": _layout_to_data(s.layout)} for s in graph.streams],
        "layouts": {modality: _layout_to_data(layout) for modality, layout in graph.layouts.items()},
        "mixed": {modality: [_layout_to_data(one) for one in found] for modality, found in graph.mixed.items()},
        "placed": [_placed_to_data(item) for item in graph.placed],
        "idle_parameters": graph.idle_parameters,
    }


def from_data(data: dict[str, Any]) -> Graph:
    """The graph that `to_data` wrote.

    Raises:
        BadInput: the data is not of a graph, or of another version.
    """
    if not isinstance(data, dict) or data.get("foveate_graph") != VERSION:
        raise BadInput(f"this is not a traced graph of version {VERSION}; write one with foveate trace --format graph")
    try:
        bodies = [tuple(_op_from_data(op) for op in ops) for ops in data["bodies"]]
        return Graph(
            model=data["model"],
            model_type=data["model_type"],
            fingerprint=data["fingerprint"],
            workload=Workload.parse(data["workload"]),
            stages=tuple(_stage_from_data(stage, bodies) for stage in data["stages"]),
            streams=tuple(TokenStream(**{**s, "layout": _layout_from_data(s["layout"])}) for s in data["streams"]),
            layouts={modality: _layout_from_data(layout) for modality, layout in data["layouts"].items()},
            mixed={
                modality: tuple(_layout_from_data(one) for one in found)
                for modality, found in data.get("mixed", {}).items()
            },
            placed=tuple(_placed_from_data(item) for item in data["placed"]),
            idle_parameters=data["idle_parameters"],
        )
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise BadInput(f"this traced graph is damaged ({error}); trace the model again") from error


def cost_to_data(cost: Cost) -> Any:
    """A polynomial as rows of (batch, tokens, context powers, coefficient); a band by its scale and window."""
    if isinstance(cost, Band):
        return {"scale": cost.scale, "window": cost.window}
    return [[*powers, value] for powers, value in cost.terms.items()]


def cost_from_data(data: Any) -> Cost:
    """The cost that `cost_to_data` wrote."""
    if isinstance(data, dict):
        return Band(data["scale"], data["window"])
    return Polynomial({(batch, tokens, context): value for batch, tokens, context, value in data})


def _plain(item: Any) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _stage_to_data(stage: Stage, bodies: dict[tuple[Op, ...], int]) -> dict[str, Any]:
    layers = [[layer.name, bodies.setdefault(layer.ops, len(bodies))] for layer in stage.layers]
    return {**_plain(stage), "layers": layers, "tokens": list(stage.tokens)}


def _stage_from_data(data: dict[str, Any], bodies: list[tuple[Op, ...]]) -> Stage:
    layers = tuple(Layer(name, bodies[place]) for name, place in data["layers"])
    return Stage(**{**data, "layers": layers, "tokens": tuple(data["tokens"])})


def _op_to_data(op: Op) -> dict[str, Any]:
    costs = {name: cost_to_data(getattr(op, name)) for name in ("flops", "elements", "launches")}
    convention = None if op.convention is None else cost_to_data(op.convention)
    return {**_plain(op), **costs, "convention": convention}


def _op_from_data(data: dict[str, Any]) -> Op:
    costs = {name: cost_from_data(data[name]) for name in ("flops", "elements", "launches")}
    convention = None if data["convention"] is None else cost_from_data(data["convention"])
    return Op(**{**data, **costs, "convention": convention})


def _layout_to_data(layout: Layout) -> dict[str, Any]:
    return {**_plain(layout), "grid": None if layout.grid is None else list(layout.grid)}


def _layout_from_data(data: dict[str, Any]) -> Layout:
    return Layout(**{**data, "grid": None if data["grid"] is None else tuple(data["grid"])})


def _placed_to_data(item: Placed) -> dict[str, Any]:
    placement = {**_plain(item.placement), "params": dict(item.placement.params)}
    modality = item.placement.modality
    placement["modality"] = None if modality is None else list(modality)
    return {**_plain(item), "placement": placement, "ops": [_op_to_data(op) for op in item.ops]}


def _placed_from_data(data: dict[str, Any]) -> Placed:
    fields_of_placement = dict(data["placement"])
    modality = fields_of_placement["modality"]
    fields_of_placement["modality"] = None if modality is None else tuple(modality)
    ops = tuple(_op_from_data(op) for op in data["ops"])
    frames = tuple(data["frames"])
    return Placed(
        **{
            **data,
            "placement": Placement(**fields_of_placement),
            "ops": ops,
            "frames": frames,
            "evicted": tuple(data["evicted"]),
        }
    )
