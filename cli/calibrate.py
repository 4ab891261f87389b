"""`foveate calibrate`: measure this machine into a device profile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import program, say
from .progress import timed

if TYPE_CHECKING:
    from ..cost_models import DeviceProfile

EXAMPLE = "foveate calibrate -o my-machine.yaml --seconds 60"


def calibrate(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The profile to write (YAML).", show_default=False)
    ],
    seconds: Annotated[float, typer.Option("--seconds", min=5, max=3600, help="How long to measure.")] = 60.0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype", help="float32, bfloat16 or float16; repeatable.  [default: float32]", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sizes that are tried.")] = 0,
) -> None:
    """Measure this machine into a device profile.

    A calibration that was interrupted goes on where it was when the same command is given again.
    """
    require_folder(output)
    dtypes, journal = dtype or ["float32"], output.with_name(f"{output.name}.partial.json")
    profile = measured_profile(device=device, dtypes=dtypes, seconds=seconds, seed=seed, journal=journal)
    profile.save(output)
    low, high = profile.error
    say(f"Wrote {output}: {rates(profile)}; predictions hold within {low - 1:+.0%} and {high - 1:+.0%}.")
    say(f'Try next: {program()} plan testbed --device {output} --budget "ttft<=60%" -o plan.yaml')


def measured_profile(
    *, device: str, dtypes: Sequence[str], seconds: float, seed: int, journal: Path | None = None
) -> DeviceProfile:
    """A profile of this machine, with the sweep's progress shown; `journal` is where an interrupted one goes on."""
    from ..cost_models import calibrate as sweep

    with timed(f"Calibrating for about {seconds:.0f} s", seconds) as report:
        return sweep(device=device, dtype=dtypes, seconds=seconds, seed=seed, journal=journal, progress=report)


def rates(profile: DeviceProfile) -> str:
    """The rates of a profile in words: `80 GFLOPS in float32, 20.1 GB/s`."""
    compute = ", ".join(f"{rate / 1e9:.0f} GFLOPS in {dtype}" for dtype, rate in profile.peak_flops.items())
    return f"{compute}, {profile.bandwidth_bytes_per_s / 1e9:.1f} GB/s"


def require_folder(output: Path) -> None:
    """Refuse an output file whose folder is missing before minutes are spent on what would go into it.

    Raises:
        BadInput: the folder does not exist, or `output` is a folder itself.
    """
    from ..common.errors import BadInput

    if output.is_dir():
        raise BadInput(f"cannot write {output}: it is a folder; name a file in it.")
    if not output.resolve().parent.is_dir():
        raise BadInput(f"cannot write {output}: the folder {output.parent} does not exist; create it first.")
