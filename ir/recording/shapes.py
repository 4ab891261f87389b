"""A run in which integers are real and everything learned is a shape: whole forwards without weights.

Token ids, grids, sizes and masks decide where a model's tokens go, so they are computed for good, on the CPU. What
comes from a weight lives on the meta device. An operation that mixes both is carried out on meta; where integers would
come out of it (the experts that a router picks, code-book entries), indices spread evenly stand in for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_META = torch.device("meta")
_REAL_FLOATS = 1 << 16
_REAL_INTEGERS = 1 << 26
_RANDOM = {"rand", "randn", "normal", "bernoulli", "uniform", "normal_", "uniform_"}


class RealData(TorchFunctionMode):
    """Inside it, tensors made of Python numbers keep them also where the meta device is asked for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make `torch.tensor(data, device="meta")` and its kin on the CPU."""
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and not isinstance(args[0], torch.Tensor):
            kwargs = {key: value for key, value in kwargs.items() if key != "device"}
        elif func is torch.Tensor.new_tensor and args[0].is_meta:
            func, args = torch.tensor, args[1:]
            kwargs = {"dtype": kwargs.get("dtype")}
        return func(*args, **kwargs)


class ShapeMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside it, tensors on the meta device and real integers mix freely."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one aten operation: for good where all is real, as a shape otherwise."""
        return run_op(func, args, kwargs or {})


def run_op(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One aten operation, as `ShapeMode` runs it."""
    tensors = list(tensors_in(args)) + list(tensors_in(kwargs))
    name = func._schema.name.removeprefix("aten::")
    if not any(t.is_meta for t in tensors):
        return _real(func, name, args, kwargs)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(func, args, kwargs)
    if name.endswith("_") and not tensors[0].is_meta and isinstance(args[0], torch.Tensor):
        return args[0]  # a real tensor keeps its values, whatever a shape writes into it
    return _spread_integers(func(*on_meta(args), **on_meta(kwargs)))


def tensors_in(tree: Any) -> Iterator[torch.Tensor]:
    """The tensors of a nest of tuples, lists and dictionaries."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from tensors_in(item)
    elif isinstance(tree, dict):
        for item in tree.values():
            yield from tensors_in(item)


def on_meta(tree: Any) -> Any:
    """The same nest with real tensors of one or more dimensions as shapes, and real indices kept."""
    return tree_map_only(torch.Tensor, _as_shape, tree)


def _as_shape(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.is_meta else torch.empty_like(tensor, device=_META)


def _real(func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on real tensors or on none: factories asked for meta give small and integer results for good."""
    if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta":
        if name in _RANDOM:
            return func(*args, **kwargs)
        if name == "_to_copy" and kwargs.get("dtype") in (None, args[0].dtype):
            return args[0]
        outline = func(*on_meta(args), **kwargs)
        if name.startswith("empty") and outline.dtype.is_floating_point:
            return outline
        integers = not outline.dtype.is_floating_point and not outline.dtype.is_complex
        if outline.numel() > (_REAL_INTEGERS if integers else _REAL_FLOATS):
            return outline
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if name == "histc" and not args[0].is_floating_point():
        return func(args[0].float(), *args[1:], **kwargs).to(args[0].dtype)
    return func(*args, **kwargs)


def _spread_integers(result: Any) -> Any:
    """Integers that came out of shapes, as real zeros: they can be looked up with and compared."""
    return tree_map_only(torch.Tensor, _real_zeros, result)


def _real_zeros(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_meta or tensor.dtype not in (torch.int64, torch.int32) or tensor.numel() > _REAL_INTEGERS:
        return tensor
    return torch.zeros(tensor.shape, dtype=tensor.dtype)


def _ranked(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """topk, sort and their kin: values are shapes; indices run evenly over the dimension that is ranked."""
    source = args[0]
    result = func(*on_meta(args), **on_meta(kwargs))
    dim = next((a for a in args[2:3] if isinstance(a, int)), kwargs.get("dim", -1))
    if func._schema.name in ("aten::sort", "aten::argsort", "aten::argmax", "aten::argmin"):
        dim = kwargs.get("dim", args[1] if len(args) > 1 and isinstance(args[1], int) else -1)
    size = source.shape[dim] if source.dim() and dim is not None else source.numel()
    return tree_map_only(torch.Tensor, lambda t: _even_indices(t, dim, size), result)


def _even_indices(tensor: torch.Tensor, dim: int | None, size: int) -> torch.Tensor:
    """Real indices in place of an integer shape: consecutive along `dim`, going on from row to row."""
    if tensor.dtype != torch.int64 or tensor.numel() > _REAL_INTEGERS:
        return tensor
    if dim is None or tensor.dim() == 0 or tensor.dim() <= abs(dim) - (dim < 0):
        return (torch.arange(tensor.numel()) % size).reshape(tensor.shape)
    moved = tensor.movedim(dim, -1).shape
    return (torch.arange(tensor.numel()) % size).reshape(moved).movedim(-1, dim)


def _index(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Indexing by real masks: their positions are known, so that the result's shape is."""
    indices: list[Any] = []
    mask = args[1][0]
    if len(args[1]) == 1 and mask.dtype == torch.bool and mask.shape == args[0].shape and not mask.is_meta:
        if func._schema.name == "aten::index":
            return args[0].new_empty(_true_count(mask))
        return args[0]
    for index in args[1]:
        if index is not None and index.dtype == torch.bool:
            known = torch.ones(index.shape, dtype=torch.bool) if index.is_meta else index
            indices += list(known.nonzero(as_tuple=True))
        else:
            indices.append(index)
    return _spread_integers(func(*on_meta((args[0], indices, *args[2:])), **on_meta(kwargs)))


def _true_count(mask: torch.Tensor) -> int:
    """True cells of a mask; a broadcast dimension is counted once and multiplied."""
    once = mask[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in mask.stride())]
    return int(once.sum()) * (mask.numel() // max(once.numel(), 1))


def _selected(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """masked_select by a real mask."""
    shape = torch.broadcast_shapes(args[0].shape, args[1].shape)  # type: ignore[no-untyped-call]
    count = int(args[1].broadcast_to(shape).sum())
    return args[0].new_empty(count)


def _scalar(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The value of a shape: zero, so that questions such as "is any of it infinite" get the answer no."""
    return False if args[0].dtype == torch.bool else 0 if not args[0].is_floating_point() else 0.0


def _grouped_matmul(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """(S, in) x (experts, in, out) with offsets: (S, out)."""
    return args[0].new_empty(args[0].shape[0], args[1].shape[-1], device=_META)


def _moved(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """A copy to a dtype or device; a shape that is asked for as integers becomes real ones."""
    kwargs = {key: value for key, value in kwargs.items() if key != "device"}
    return _spread_integers(func(*args, **kwargs))


def _copied(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """copy_ into either kind."""
    return func(args[0], _as_shape(args[1])) if args[0].is_meta else args[0]


def _nonzero(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Places that a shape's values would decide: all of them."""
    return torch.ones(args[0].shape, dtype=torch.bool).nonzero()


def _equal(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """torch.equal on shapes."""
    return args[0].shape == args[1].shape


_SPECIAL: dict[str, Callable[[Any, Any, dict[str, Any]], Any]] = {
    **dict.fromkeys(("topk", "sort", "argsort", "argmax", "argmin", "max", "min"), _ranked),
    **dict.fromkeys(("index", "index_put", "index_put_", "_unsafe_index", "_unsafe_index_put"), _index),
    "masked_select": _selected,
    "_local_scalar_dense": _scalar,
    "_grouped_mm": _grouped_matmul,
    "transformers::grouped_mm_fallback": _grouped_matmul,
    "_to_copy": _moved,
    "copy_": _copied,
    "equal": _equal,
    "nonzero": _nonzero,
}


@contextmanager
def shapes_only() -> Iterator[ShapeMode]:
    """A context of a `ShapeMode` without gradients, in which every attention path of torch is the plain one."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), RealData(), ShapeMode() as mode:  # type: ignore[no-untyped-call]
            yield mode
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
