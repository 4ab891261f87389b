"""Run an emitted module where torch and triton are all that can be imported; `python -I bare_run.py MODULE CASES ...`.

CASES is a torch file of `emitted_cases.record`. Prints which way ran; ends with an error where a result differs.
"""

from __future__ import annotations

import importlib.util
import sys

MISSING = ("foveate", "transformers", "pydantic", "yaml", "typer", "rich")


class _Missing:
    """A finder that knows no such package."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, _Missing())  # type: ignore[arg-type]

import torch  # noqa: E402
import triton  # noqa: E402


def main(module_file: str, cases_file: str) -> None:
    spec = importlib.util.spec_from_file_location("emitted", module_file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for number, case in enumerate(torch.load(cases_file)):
        features, signals = case["features"], case["signals"]
        bound = 1e-5 if features.dtype == torch.float32 else 2e-2
        assert torch.equal(getattr(module, f"select_{number}")(features, *signals), case["index"]), number
        found = getattr(module, f"compact_{number}")(features, *signals, positions=case["positions"])
        assert torch.equal(found.index, case["index"]), number
        assert torch.equal(found.positions, case["kept_positions"]), number
        assert found.hidden.dtype == features.dtype
        torch.testing.assert_close(found.hidden, case["hidden"], rtol=bound, atol=bound)
    print("triton" if triton.knobs.runtime.interpret else "torch", number + 1)


if __name__ == "__main__":
    for place in range(1, len(sys.argv), 2):
        main(*sys.argv[place : place + 2])
