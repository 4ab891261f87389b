"""Compiling an emitted module for a target, in a process of its own: Triton's interpreter flag breaks compiling.

Run as `python -m foveate.runtime.emission.compiling FOLDER TARGET`: writes the binaries under FOLDER and prints their
records as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ...common.errors import InternalError
from .manifest import MODULE, KernelRecord, SiteRecord, hashed

_BATCH = 1
"""Media of the calls that binaries are compiled for."""


def compile_module(folder: Path, sites: list[SiteRecord], *, target: str, dtype: str) -> list[KernelRecord]:
    """Compile every launch of the module in `folder` for `target`; the binaries stand in a folder of the target's name.

    Raises:
        InternalError: a kernel does not compile.
    """
    given = json.dumps({"sites": [site.model_dump(by_alias=True) for site in sites], "dtype": dtype})
    with tempfile.TemporaryDirectory() as scratch:
        environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        # A cache of its own, and no names of files and lines in the binaries: the same plan gives the same bytes.
        environment |= {"TRITON_CACHE_DIR": scratch, "TRITON_DISABLE_LINE_INFO": "1", "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-m", __name__, str(folder), target]
        ended = subprocess.run(command, env=environment, input=given, capture_output=True, text=True)
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise InternalError(f"the emitted module does not compile for {target}: {said}.")
    return [KernelRecord.model_validate(record) for record in json.loads(ended.stdout)]


def main(folder: Path, target: str, given: dict[str, Any]) -> list[KernelRecord]:
    """What the child does: call every function on meta tensors, compile what it launches, write the binaries."""
    from .loading import module_at

    module = module_at(folder / MODULE)
    module.runs_on_triton = lambda *_: True  # type: ignore[attr-defined]
    sites = [SiteRecord.model_validate(site) for site in given["sites"]]
    found = []
    for site in sites:
        for name in ("select", "compact") if site.way == "emitted" else ():
            found += _compiled(folder, target, module, site, f"{name}_{site.number}", given["dtype"])
    return found


def _compiled(
    folder: Path, target: str, module: Any, site: SiteRecord, function: str, dtype: str
) -> list[KernelRecord]:
    """Compile the launches of one function."""
    import torch

    from ...kernels.compiling import compiled, recorded

    shape = (_BATCH, site.tokens_in, site.width)
    features = torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
    signals = [
        torch.empty(_BATCH, *signal.shape, dtype=getattr(torch, signal.dtype), device="meta") for signal in site.signals
    ]
    with recorded() as launches:
        getattr(module, function)(features, *signals)
    records = []
    for launch in launches:
        made = compiled(launch, target)
        # Named by content: launches that two functions share are one file.
        mark = hashed(made.code).removeprefix("sha256:")[:12]
        file = Path(target.replace(":", "-")) / f"{made.kernel}-{mark}.{made.suffix}"
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(made.code)
        records.append(
            KernelRecord(
                function=function,
                kernel=made.kernel,
                file=file.as_posix(),
                grid=list(launch.grid),
                warps=launch.options.get("num_warps", 4),
                arguments={name: kind for name, kind in launch.signature.items() if kind != "constexpr"},
                constants=launch.constants,
                registers=made.registers,
                spilled=made.spilled,
                shared=made.shared,
            )
        )
    return records


if __name__ == "__main__":
    records = main(Path(sys.argv[1]), sys.argv[2], json.load(sys.stdin))
    json.dump([record.model_dump() for record in records], sys.stdout)
