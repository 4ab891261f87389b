"""Compile what the launchers of `launches.CASES` launch, without a GPU.

Run as a script in a process of its own (the interpreter's flag changes what a kernel is). Prints one JSON object a
line: case, kernel, target, registers and spilled bytes.
"""

from __future__ import annotations

import json
import sys

from launches import CASES

from foveate.kernels.compiling import compiled, recorded

TARGETS = {"sm_80": "cuda:80", "sm_90": "cuda:90", "gfx942": "hip:gfx942"}


def main(names: list[str], targets: list[str]) -> None:
    """Record every case, compile each launch for each target, print what came of it."""
    for name in names:
        with recorded() as launches:
            CASES[name]()
        for launch in launches:
            for target in targets:
                made = compiled(launch, TARGETS[target])
                found = {"kernel": made.kernel, "registers": made.registers, "spilled": made.spilled}
                print(json.dumps({"case": name, "target": target, **found}), flush=True)


if __name__ == "__main__":
    main(
        [name for name in CASES if name in sys.argv[1:]] or list(CASES),
        [target for target in TARGETS if target in sys.argv[1:]] or list(TARGETS),
    )
