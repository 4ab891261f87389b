"""A graph as an ONNX model and back, without loss, for tools that draw, query or rewrite ONNX.

Stages and distinct layers are functions of the domain `ai.foveate`; a stage calls its layers one after the other, a
layer its operations, whose names say what limits them (`gemm`, `attention`, ...). What flows between stages passes a
`TokenStream`. Such a model describes, it does not run: no runtime implements the domain. What ONNX has no place for
stands in attributes and in the model's metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.errors import BadInput
from ..common.files import write_whole
from .graph import Graph
from .onnx_files import load_onnx, onnx_library

DOMAIN = "ai.foveate"
VERSION = 1
_OPSET, _IR_VERSION = 18, 10
_JSON = "_json"
_KEY = f"{DOMAIN}.graph"
_HELD = ("stages", "bodies", "streams")


def to_onnx(graph: Graph) -> Any:
    """The graph as a checked `onnx.ModelProto`; `from_onnx` gives an equal graph back.

    Raises:
        BadInput: onnx is not installed.
    """
    onnx = onnx_library()
    data = graph.to_data()
    bodies = [_body(onnx, f"layer_{number}", ops) for number, ops in enumerate(data["bodies"])]
    stages = [
        _stage(onnx, f"stage_{number}", stage, sources=len(_entering(data, stage["name"])))
        for number, stage in enumerate(data["stages"])
    ]
    model = onnx.helper.make_model(
        _flow(onnx, graph, data),
        functions=[*bodies, *stages],
        opset_imports=_opsets(onnx),
        producer_name="foveate",
        ir_version=_IR_VERSION,
    )
    rest = {name: value for name, value in data.items() if name not in _HELD}
    onnx.helper.set_model_props(model, {_KEY: json.dumps(rest)})
    onnx.checker.check_model(model, full_check=True)
    return model


def from_onnx(model: Any) -> Graph:
    """The graph that `to_onnx` wrote, from a `ModelProto` or the path of a file.

    Raises:
        BadInput: the file cannot be read, or its model is none that foveate wrote.
    """
    onnx = onnx_library()
    found = load_onnx(model) if isinstance(model, (str, os.PathLike)) else model
    entries = {entry.key: entry.value for entry in found.metadata_props}
    if _KEY not in entries:
        raise BadInput(f"this ONNX model holds no token flow: its metadata lacks {_KEY}; write one from a traced graph")
    functions = {function.name: function for function in found.functions}
    try:
        data = json.loads(entries[_KEY])
        data["bodies"] = [
            [_values(onnx, node.attribute) for node in functions[name].node] for name in _numbered(functions, "layer_")
        ]
        calls = [node for node in found.graph.node if node.op_type.startswith("stage_")]
        data["stages"] = [_stage_data(onnx, node, functions[node.op_type]) for node in calls]
        streams = sorted((node for node in found.graph.node if node.op_type == "TokenStream"), key=_stream_number)
        data["streams"] = [_values(onnx, node.attribute) for node in streams]
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise BadInput(f"the token flow in this ONNX model is damaged: {error!r}; write it anew") from error
    return Graph.from_data(data)


def save_onnx(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Write the graph to `path` as an ONNX model, whole or not at all; returns the path."""
    return write_whole(path, bytes(to_onnx(graph).SerializeToString()))


def _opsets(onnx: Any) -> list[Any]:
    return [onnx.helper.make_opsetid("", _OPSET), onnx.helper.make_opsetid(DOMAIN, VERSION)]


def _body(onnx: Any, name: str, ops: Sequence[Mapping[str, Any]]) -> Any:
    """A layer: its operations one after the other, as they are listed."""
    nodes = [
        _node(onnx, op["kind"], [f"x{number}"], [f"x{number + 1}"], name=op["name"], values=op)
        for number, op in enumerate(ops)
    ]
    nodes = nodes or [onnx.helper.make_node("Identity", ["x0"], ["x1"])]
    return onnx.helper.make_function(DOMAIN, name, ["x0"], [nodes[-1].output[0]], nodes, _opsets(onnx))


def _stage(onnx: Any, name: str, stage: Mapping[str, Any], *, sources: int) -> Any:
    """A stage: what enters it joined, then its layers."""
    entering = [f"in{number}" for number in range(max(1, sources))]
    nodes = [_node(onnx, "Join", entering, ["x0"], name="join", values={})]
    for number, (layer, body) in enumerate(stage["layers"]):
        nodes.append(_node(onnx, f"layer_{body}", [f"x{number}"], [f"x{number + 1}"], name=layer, values={}))
    declared = list(_encoded(stage))
    return onnx.helper.make_function(
        DOMAIN, name, entering, [nodes[-1].output[0]], nodes, _opsets(onnx), attributes=declared
    )


def _flow(onnx: Any, graph: Graph, data: Mapping[str, Any]) -> Any:
    """Stages in order of execution, each behind the streams that enter it."""
    nodes, inputs, outputs = [], [], []
    for number, (stage, flow) in enumerate(zip(graph.stages, data["stages"], strict=True)):
        entering = _entering(data, stage.name)
        for place in entering:
            stream = data["streams"][place]
            nodes.append(
                _node(onnx, "TokenStream", [f"{stream['source']}.out"], [f"stream_{place}"], name="", values=stream)
            )
        names = [f"stream_{place}" for place in entering] or [f"{stage.name}.in"]
        if not entering:
            inputs.append(_tensor(onnx, names[0], [f"batch_{number}", stage.tokens_in, None]))
        nodes.append(_node(onnx, f"stage_{number}", names, [f"{stage.name}.out"], name=stage.name, values=flow))
        if not any(stream["source"] == stage.name for stream in data["streams"]):
            outputs.append(_tensor(onnx, f"{stage.name}.out", [None, None, None]))
    return onnx.helper.make_graph(nodes, graph.model or "model", inputs, outputs)


def _entering(data: Mapping[str, Any], stage: str) -> list[int]:
    return [place for place, stream in enumerate(data["streams"]) if stream["target"] == stage]


def _tensor(onnx: Any, name: str, shape: Sequence[int | str | None]) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _node(
    onnx: Any, kind: str, inputs: Sequence[str], outputs: Sequence[str], *, name: str, values: Mapping[str, Any]
) -> Any:
    node = onnx.helper.make_node(kind, inputs, outputs, name=name, domain=DOMAIN)
    node.attribute.extend(onnx.helper.make_attribute(key, value) for key, value in _encoded(values).items())
    return node


def _encoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes: whole numbers and words as they are, everything else as JSON under a name that says so."""
    plain = {name: value for name, value in values.items() if _plain(value) and name != "layers"}
    rest = {name: value for name, value in values.items() if name not in plain and name != "layers"}
    return plain | {name + _JSON: json.dumps(value) for name, value in rest.items()}


def _plain(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return whole or (isinstance(value, str) and value != "")


def _values(onnx: Any, attributes: Any) -> dict[str, Any]:
    """What `_encoded` took."""
    found = {}
    for attribute in attributes:
        value = onnx.helper.get_attribute_value(attribute)
        value = value.decode("utf-8") if isinstance(value, bytes) else value
        encoded = attribute.name.endswith(_JSON)
        found[attribute.name.removesuffix(_JSON)] = json.loads(value) if encoded else value
    return found


def _stage_data(onnx: Any, call: Any, function: Any) -> dict[str, Any]:
    layers = [[node.name, int(node.op_type.removeprefix("layer_"))] for node in function.node if node.op_type != "Join"]
    return {**_values(onnx, call.attribute), "layers": layers}


def _stream_number(node: Any) -> int:
    return int(node.output[0].removeprefix("stream_"))


def _numbered(functions: Mapping[str, Any], prefix: str) -> list[str]:
    count = sum(name.startswith(prefix) for name in functions)
    return [f"{prefix}{number}" for number in range(count)]
