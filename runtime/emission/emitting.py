"""Emitting: a plan's module, its manifest and, where asked for, its binaries, in a folder written whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ...common.errors import BadInput
from ...ir.graph import Graph
from ...ir.plan import Plan, load
from ...kernels.tuning import DEFAULT, table
from .chains import Signal
from .compiling import compile_module
from .folder import whole_folder
from .manifest import MANIFEST, MODULE, Manifest, SignalRecord, SiteRecord, hashed, plan_fingerprint
from .module import module_text
from .specs import EmittedSite, emitted_sites

DTYPES = ("float32", "bfloat16", "float16")


def emit(
    plan: Plan | str | os.PathLike[str],
    graph: Graph,
    *,
    folder: str | os.PathLike[str],
    dtype: str = "bfloat16",
    targets: Sequence[str] = (),
    device: str = DEFAULT,
) -> Manifest:
    """Write the kernels of `plan` on `graph` into `folder`.

    The module imports only torch and triton, beside the standard library. The same plan, graph, versions and options
    give the same bytes. Binaries are compiled for one medium a call, each target in a process of its own.

    Args:
        graph: the model under the request whose shapes are compiled in.
        folder: is replaced where an earlier emission stands there.
        dtype: of the hidden states at the sites, one of DTYPES.
        targets: such as `cuda:90` or `hip:gfx942`.
        device: whose tuning table to take, as torch calls it.

    Raises:
        BadInput: the plan does not fit the graph, was made for another model, or an option is not known.
    """
    found = load(plan)
    if dtype not in DTYPES:
        raise BadInput(f"{dtype!r} is no dtype that kernels are emitted for; choose one of {', '.join(DTYPES)}.")
    if found.model is not None and found.model.fingerprint != graph.fingerprint:
        raise BadInput(f"the plan was made for {found.model.name}, and {graph.model} is configured otherwise; name it.")
    for target in targets:
        _check_target(target)
    sites = emitted_sites(graph, found)
    with whole_folder(Path(folder), marker=MANIFEST) as part:
        made = _written(part, found, graph, sites, dtype=dtype, targets=tuple(dict.fromkeys(targets)), device=device)
    return made


def _written(
    part: Path,
    plan: Plan,
    graph: Graph,
    sites: Sequence[EmittedSite],
    *,
    dtype: str,
    targets: Sequence[str],
    device: str,
) -> Manifest:
    """Write module, binaries and manifest into `part`."""
    import torch
    import triton

    own = version("foveate")
    tuning = table(device)
    text = module_text(sites, dtype=dtype, table=tuning, version=own)
    (part / MODULE).write_text(text, encoding="utf-8")
    records = [_record(site, dtype) for site in sites]
    kernels = {target: compile_module(part, records, target=target, dtype=dtype) for target in targets}
    names = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
    manifest = Manifest(
        emitted_by=f"foveate {own}",
        torch=torch.__version__,
        triton=triton.__version__,
        plan=plan_fingerprint(plan),
        model=graph.fingerprint,
        dtype=dtype,
        tuning=f"{tuning.device} ({tuning.provenance})",
        sites=records,
        targets=kernels,
        files={name: hashed((part / name).read_bytes()) for name in names},
    )
    (part / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _record(site: EmittedSite, dtype: str) -> SiteRecord:
    chain = site.chain
    signals = () if chain is None else chain.signals
    return SiteRecord(
        number=site.number,
        method=site.placement.method,
        site=site.placement.site,
        modality=site.modality,
        way="library" if chain is None else "emitted",
        reason=site.reason,
        tokens_in=site.before.count,
        tokens_out=site.after.count,
        grid=site.before.grid,
        prefix=site.before.prefix if site.in_encoder else None,
        width=site.width,
        launches=None if chain is None else {"select": chain.select_launches, "compact": chain.launches},
        merges=chain is not None and chain.merges,
        groups=chain is not None and chain.group is not None,
        combines=chain is not None and chain.combine is not None,
        signals=[_signal_record(signal, site, dtype) for signal in signals],
    )


def _signal_record(signal: Signal, site: EmittedSite, dtype: str) -> SignalRecord:
    of_text, kind = signal.kind.startswith("text_"), signal.kind.removeprefix("text_")
    behind = {"row": [], "keys": list(site.heads), "states": [site.width]}[kind]
    shape = [site.texts if of_text else site.before.count, *behind]
    return SignalRecord(name=signal.name, shape=shape, dtype="float32" if signal.kind == "row" else dtype)


def _check_target(name: str) -> None:
    from ...kernels.compiling import target

    target(name)
