"""A vision encoder that is at hand as an ONNX model only, read in as a stage: its work follows from its shapes.

The picture's size is fixed while it is read, so that every shape is known; dimensions that equal the count of tokens
are taken for it, and costs become polynomials in that count, as for a traced encoder.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..common.errors import BadInput
from .graph import Layer, Stage
from .onnx_files import load_onnx, onnx_library
from .op import Op, OpKind
from .polynomial import BATCH, CONTEXT, TOKENS, ZERO, Polynomial, as_polynomial

Shape = tuple[int, ...]

_LAYER = re.compile(r"(?:^|[./])(?:layers?|blocks?|resblocks|h)[./_](\d+)(?:[./]|$)")
_REDUCING = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ArgMax", "TopK", "GlobalAveragePool", "MaxPool")
_NORMALIZING = ("LayerNormalization", "Softmax", "RMSNormalization", "InstanceNormalization", "GroupNormalization")
_MOVING = ("Gather", "GatherElements", "GatherND", "Concat", "Slice", "Split", "Transpose", "Expand", "Pad", "Tile")
_FREE = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Shape", "Constant", "ConstantOfShape", "Cast")
_CONTRACTING = ("MatMul", "Gemm", "Conv")


@dataclass(frozen=True)
class _Shapes:
    """Shapes of all values, which of them are constants, and the number of tokens."""

    known: Mapping[str, Shape]
    constants: Mapping[str, Shape]
    tokens: int

    def __getitem__(self, name: str) -> Shape:
        if name not in self.known:
            raise BadInput(f"the shape of {name!r} in this ONNX model cannot be inferred; simplify the model first")
        return self.known[name]

    def count(self, shape: Sequence[int]) -> Polynomial:
        """Elements of a value that depends on the picture, as a polynomial; a leading dimension of 1 is the batch."""
        found = BATCH
        seen = 0
        for size in shape:
            if size == self.tokens:
                found, seen = found * (CONTEXT if seen else TOKENS), seen + 1
            else:
                found = found * size
        return found


def encoder_stage(
    source: str | os.PathLike[str] | Any,
    *,
    modality: str = "image",
    height: int | None = None,
    width: int | None = None,
) -> Stage:
    """The encoder in an ONNX model as a stage for a graph.

    Args:
        source: path of the model, or a `ModelProto`. Its first input takes pixels (B, 3, H, W), its first output of
            three dimensions is (B, N, D), the tokens.
        modality: whose encoder it is. height, width: pixels, where the model leaves them open.

    Raises:
        BadInput: onnx is missing, the file cannot be read, or its shapes cannot be known.
    """
    onnx = onnx_library()
    model = _copied(onnx, source)
    model = _with_shapes(onnx, model, height, width)
    shapes, channels = _shapes(onnx, model)
    layers = tuple(_layers(onnx, model, shapes))
    numbered = [place for place, (number, _) in enumerate(layers) if number is not None]
    if not layers:
        raise BadInput("this ONNX model computes nothing from its input; give one of an encoder")
    return Stage(
        name=f"{modality}.encoder",
        role="encoder",
        modality=modality,
        layers=tuple(layer for _, layer in layers),
        tokens=(shapes.tokens,) * len(layers),
        sequences=1,
        width=channels,
        parameters=sum(math.prod(shapes.constants[name]) for name in _parameters(onnx, model)),
        mixing="sequence",
        first=numbered[0] if numbered else 0,
        depth=len(numbered) or len(layers),
    )


def _copied(onnx: Any, source: Any) -> Any:
    """The model in a file, or a copy of one in memory, which is changed while it is read."""
    if isinstance(source, (str, os.PathLike)):
        return load_onnx(source)
    copy = onnx.ModelProto()
    copy.CopyFrom(source)
    return copy


def _with_shapes(onnx: Any, model: Any, height: int | None, width: int | None) -> Any:
    """The model for a batch of one picture of a fixed size, functions inlined, every shape inferred."""
    constants = {tensor.name for tensor in model.graph.initializer}
    pixels = next((value for value in model.graph.input if value.name not in constants), None)
    dimensions = [] if pixels is None else list(pixels.type.tensor_type.shape.dim)
    if len(dimensions) != 4:
        raise BadInput("the first input of this ONNX model is no picture (B, 3, H, W); give a vision encoder")
    for dimension, size in zip(dimensions, (1, None, height, width), strict=True):
        if dimension.dim_value == 0 or size == 1:
            if size is None:
                raise BadInput("this ONNX model leaves the picture's size open; give height and width")
            dimension.dim_value = size
    del model.graph.value_info[:]
    for value in model.graph.output:  # inferred anew: a symbolic batch would stand in their way
        for dimension in value.type.tensor_type.shape.dim:
            dimension.Clear()
    inlined = import_module("onnx.inliner").inline_local_functions(model)
    return onnx.shape_inference.infer_shapes(inlined, data_prop=True)


def _shapes(onnx: Any, model: Any) -> tuple[_Shapes, int]:
    """All shapes, and the channels of a token."""
    graph = model.graph
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    known = dict(constants)
    for value in (*graph.value_info, *graph.input, *graph.output):
        sizes = tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
        if all(sizes):
            known[value.name] = sizes
    for node in graph.node:
        if node.op_type == "Constant":
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            constants[node.output[0]] = known[node.output[0]] = () if value is None else tuple(value.dims)
        elif all(name in constants for name in node.input if name):
            constants |= {name: known.get(name, ()) for name in node.output}
    tokens = next((known[out.name] for out in graph.output if len(known.get(out.name, ())) == 3), None)
    if tokens is None:
        raise BadInput("no output of this ONNX model is (B, N, D) of known size; give an encoder that ends in tokens")
    return _Shapes(known, constants, tokens[1]), tokens[2]


def _parameters(onnx: Any, model: Any) -> set[str]:
    """Initializers in a floating type that some node reads; single numbers are constants of the arithmetic."""
    floating = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
    read = {name for node in model.graph.node for name in node.input}
    held = (tensor for tensor in model.graph.initializer if tensor.data_type in floating and tensor.name in read)
    return {tensor.name for tensor in held if math.prod(tensor.dims) > 1}


def _layers(onnx: Any, model: Any, shapes: _Shapes) -> Iterator[tuple[int | None, Layer]]:
    """(number, layer) in order; what comes before the first numbered layer and after the last has none."""
    weights = _parameters(onnx, model)
    numbers = [_number(node, weights) for node in model.graph.node]
    last = max((place for place, number in enumerate(numbers) if number is not None), default=-1)
    current: int | None = None
    ops: list[Op] = []
    for place, (node, number) in enumerate(zip(model.graph.node, numbers, strict=True)):
        entered = number if number is not None else current if place <= last else None
        if entered != current:
            if ops:
                yield current, Layer(_layer_name(current, after=False), tuple(ops))
            current, ops = entered, []
        op = _op(onnx, node, shapes, weights)
        if op is not None:
            ops.append(op)
    if ops:
        yield current, Layer(_layer_name(current, after=last >= 0), tuple(ops))


def _layer_name(number: int | None, *, after: bool) -> str:
    return f"layers.{number}" if number is not None else "after" if after else "embeddings"


def _number(node: Any, weights: set[str]) -> int | None:
    """The layer that a node belongs to, by the names of its weights or its own."""
    for name in (*(name for name in node.input if name in weights), node.name):
        found = _LAYER.search(name)
        if found:
            return int(found.group(1))
    return None


def _op(onnx: Any, node: Any, shapes: _Shapes, weights: set[str]) -> Op | None:
    """What a node costs; None where it moves nothing or does not depend on the picture."""
    if node.op_type in _FREE or all(name in shapes.constants for name in node.input if name):
        return None
    output = shapes[node.output[0]]
    read = [name for name in node.input if name]
    held = sum(math.prod(shapes.constants[name]) for name in read if name in weights)
    arriving = [shapes.count(shapes[name]) for name in read if name not in shapes.constants]
    elements = sum(arriving, shapes.count(output))
    name = node.name or node.op_type
    if node.op_type not in _CONTRACTING:
        kind = _kind(node.op_type)
        flops = ZERO if kind == "gather" else shapes.count(output) * (5 if kind == "normalization" else 1)
        return Op(name, kind, flops=flops, elements=elements, weights=held)
    inner = _inner(onnx, node, shapes)
    attending = node.op_type == "MatMul" and len(arriving) == 2
    kind = "attention" if attending else "convolution" if node.op_type == "Conv" else "gemm"
    contracted = CONTEXT if attending and inner == shapes.tokens else as_polynomial(inner)
    outer = output[1] if kind == "convolution" or (attending and len(output) == 4) else output[-1]
    return Op(
        name,
        kind,
        flops=2 * shapes.count(output) * contracted,
        elements=elements,
        weights=held,
        inner=inner,
        outer=outer,
    )


def _kind(op_type: str) -> OpKind:
    if op_type in _NORMALIZING:
        return "normalization"
    if op_type in _REDUCING:
        return "reduction"
    return "gather" if op_type in _MOVING else "elementwise"


def _inner(onnx: Any, node: Any, shapes: _Shapes) -> int:
    """Multiply-adds behind each output element."""
    if node.op_type == "Conv":
        return math.prod(shapes[node.input[1]][1:])
    left = shapes[node.input[0]]
    transposed = any(a.name == "transA" and a.i for a in node.attribute) and node.op_type == "Gemm"
    return left[-2] if transposed else left[-1]
