"""The text of an emitted module: kernels cut out of the library, then two functions for each placement."""

from __future__ import annotations

from collections.abc import Sequence

from ...kernels.tuning import TuningTable
from .bundle import Bundle, bundle
from .chains import Chain
from .specs import EmittedSite

_GIVEN = ("tuned",)
_HEADER = '''"""Kernels for one plan, emitted by foveate {version}: do not edit, emit again.

{contents}

`select_N` gives the (B, K) int64 sorted indices of what goes on; `compact_N` moves it: hidden states, and positions and
sizes where they are given. Both run Triton on a GPU (or in its interpreter) and torch elsewhere, with equal results.
Sizes of tokens and channels are compiled in; the number of media, B, is free.
"""

{imports}

DTYPE = torch.{dtype}
TUNED = {tuned}


def tuned(kernel: str, device: torch.device, *, size: int) -> dict[str, int]:
    """Tile sizes and warps of a kernel for rows of `size` tokens."""
    choice = next(choice for choice in TUNED[kernel] if size <= choice.get("up_to", size))
    return {{name: value for name, value in choice.items() if name != "up_to"}}


def runs_on_triton(*tensors: torch.Tensor) -> bool:
    """Whether Triton serves these tensors: on a GPU, or anywhere in its interpreter, where no gradient is asked for."""
    watched = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return not watched and (triton.knobs.runtime.interpret or all(tensor.is_cuda for tensor in tensors))


def require(features: torch.Tensor, tokens: int, width: int) -> None:
    """Refuse features of other shapes than the plan's."""
    if features.ndim != 3 or tuple(features.shape[1:]) != (tokens, width) or features.dtype != DTYPE:
        found = f"{{tuple(features.shape)}} {{features.dtype}}"
        raise ValueError(f"features are {{found}}; this module was emitted for (B, {{tokens}}, {{width}}) {{DTYPE}}")


@cache
def constant(index: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Indices that follow from shapes alone, moved to the device once."""
    return torch.tensor(index, dtype=torch.int64, device=device)[None]


def at_index(values: torch.Tensor | None, index: torch.Tensor) -> torch.Tensor | None:
    """Positions of the tokens at `index` (B, K): of (B, N) or (P, B, N)."""
    return None if values is None else values.gather(-1, index.expand(*values.shape[:-1], -1))
'''
_TABLES = '''@cache
def table(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Numbers that follow from shapes alone, moved to the device once: int64 where all are whole, else float32."""
    return torch.tensor(values, dtype=torch.float32 if isinstance(values[0], float) else torch.int64, device=device)'''
_IMPORTS = ("from functools import cache", "import torch", "import triton", "import triton.language as tl")
_FUTURE = "from __future__ import annotations"


def module_text(sites: Sequence[EmittedSite], *, dtype: str, table: TuningTable, version: str) -> str:
    """The Python source for the placements that have a chain; the same sites give the same text.

    Args:
        dtype: name of the features' torch dtype. table: tile sizes. version: of foveate.
    """
    chains = [site.chain for site in sites if site.chain is not None]
    parts = bundle([*_functions(chains), ("gathering", "Compacted")], given=_GIVEN)
    header = _HEADER.format(
        version=version,
        contents="\n".join(f"{site.number}: {_title(site)}." for site in sites),
        imports=_imports(parts),
        dtype=dtype,
        tuned=_tuned_text(table, parts),
    )
    functions = [function for site in sites if site.chain is not None for function in _site_functions(site, site.chain)]
    tables = [_TABLES] if any(chain.tables for chain in chains) else []
    return "\n\n\n".join([header.rstrip("\n"), *tables, *parts.definitions, *functions]) + "\n"


def _functions(chains: Sequence[Chain]) -> list[tuple[str, str]]:
    """What the chains call, both ways: the Triton launcher stands in a file of its own."""
    uses = dict.fromkeys(use for chain in chains for use in chain.uses)
    return [pair for file, name in uses for pair in ((f"{file}_triton", f"{name}_triton"), (file, f"{name}_torch"))]


def _imports(parts: Bundle) -> str:
    """All imports: the standard library's, then torch and triton; `from __future__` first."""
    found = sorted({*_IMPORTS, *parts.imports} - {_FUTURE})
    outside = [line for line in found if line.split()[1].split(".")[0] in ("torch", "triton")]
    return "\n".join([_FUTURE, "", *(line for line in found if line not in outside), "", *outside])


def _tuned_text(table: TuningTable, parts: Bundle) -> str:
    """The choices of the kernels that are in the module, as a literal."""
    text = "\n".join(parts.definitions)
    lines = [f"    {name!r}: {choices!r}," for name, choices in sorted(table.kernels.items()) if f'"{name}"' in text]
    return "\n".join(["{", *lines, "}"])


def _title(site: EmittedSite) -> str:
    counts = f"{site.after.count} of {site.before.count} tokens of {site.width} channels"
    where = "" if site.chain is not None else f"; not here, since {site.reason}"
    return f"{site.placement.method} at {site.placement.site} ({site.modality}), {counts}{where}"


def _site_functions(site: EmittedSite, chain: Chain) -> list[str]:
    """`select_N` and `compact_N`; before them `group_N` and `combine_N` where groups form by content."""
    names = [signal.name for signal in chain.signals]
    handed = "".join(f", {name}" for name in names)
    arguments = "".join(["features: torch.Tensor", *(f", {name}: torch.Tensor" for name in names)])
    extras = "positions: torch.Tensor | None = None"
    extras += "" if chain.merges else ", sizes: torch.Tensor | None = None"
    start = [f"    require(features, {site.before.count}, {site.width})"]
    if chain.constant is not None:
        start.append(f"    index = constant(INDEX_{site.number}, features.device).expand(features.shape[0], -1)")
    made = [] if chain.constant is None else [f"INDEX_{site.number} = {chain.constant!r}"]
    made += [f"{name.upper()}_{site.number} = {values!r}" for name, values in chain.tables]
    start += [f"    {name} = table({name.upper()}_{site.number}, features.device)" for name, _ in chain.tables]
    parts = ", ".join(chain.parts)
    grouped = [] if chain.group is None else [f"    {parts} = group_{site.number}(features{handed})"]
    taken = "".join(["features: torch.Tensor", *(f", {part}: torch.Tensor" for part in chain.parts)])
    tensors = f"tuple[{', '.join(['torch.Tensor'] * len(chain.parts))}]"
    for name, given, result, launches, lines, what in (
        ("group", arguments, tensors, chain.launches - 1, start, chain.group),
        ("combine", taken, "torch.Tensor", 1, [], chain.combine),
        ("select", arguments, "torch.Tensor", chain.select_launches, start, chain.select),
        ("compact", f"{arguments}, *, {extras}", "Compacted", chain.launches, [*start, *grouped], chain.compact),
    ):
        if what is not None:
            summary = f'    """{_title(site)}; launches on a GPU: {launches}."""'
            head = [f"def {name}_{site.number}({given}) -> {result}:", summary, *lines]
            body = (*(chain.steps if name == "group" else ()), f"return {what}")
            made.append("\n".join([*head, *_ways(body, "" if name == "combine" else handed, site.number)]))
    return made


def _ways(lines: tuple[str, ...], signals: str, number: int) -> list[str]:
    """The lines of a body, on Triton and in torch where they ask for a way."""
    triton, torch = ([line.format(way=way, number=number) for line in lines] for way in ("triton", "torch"))
    if triton == torch:
        return [f"    {line}" for line in torch]
    chosen = [f"    if runs_on_triton(features{signals}):", *(f"        {line}" for line in triton)]
    return [*chosen, *(f"    {line}" for line in torch)]
