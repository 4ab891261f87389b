"""`foveate calibrate`: measure this machine into a device profile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import program, say
from .progress import timed

if TYPE_CHECKING:
    from ..cost_models import CostModel, DeviceProfile, Measurement

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
    runs: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUNS", help="Correct the profile by times of your own (JSON Lines)."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME|FILE", help="Correct this one with --from instead of measuring."),
    ] = None,
) -> None:
    """Measure this machine into a device profile, or correct a profile by times that you measured.

    A calibration that was interrupted goes on where it was when the same command is given again.
    """
    from ..cost_models import load_profile
    from .measured_runs import read_runs

    require_folder(output)
    require_runs(runs, profile)
    own = None if runs is None else read_runs(runs)
    dtypes, journal = dtype or ["float32"], output.with_name(f"{output.name}.partial.json")
    found = (
        measured_profile(device=device, dtypes=dtypes, seconds=seconds, seed=seed, journal=journal)
        if profile is None
        else load_profile(profile)
    )
    if own is not None:
        found = corrected_profile(found, own, dtype=dtypes[0])
    found.save(output)
    low, high = found.error
    say(f"Wrote {output}: {rates(found)}; predictions hold within {low - 1:+.0%} and {high - 1:+.0%}.")
    say(f'Try next: {program()} plan testbed --device {output} --budget "ttft<=60%" -o plan.yaml')


def measured_profile(
    *, device: str, dtypes: Sequence[str], seconds: float, seed: int, journal: Path | None = None
) -> DeviceProfile:
    """A profile of this machine, with the sweep's progress shown; `journal` is where an interrupted one goes on."""
    from ..cost_models import calibrate as sweep

    with timed(f"Calibrating for about {seconds:.0f} s", seconds) as report:
        return sweep(device=device, dtype=dtypes, seconds=seconds, seed=seed, journal=journal, progress=report)


def corrected_profile(profile: DeviceProfile, measured: Sequence[Measurement], *, dtype: str) -> DeviceProfile:
    """`profile` corrected by what was `measured`, at `dtype`; says what the correction did to it."""
    from ..cost_models import CostModel, correct

    model = CostModel(profile, dtype=dtype)
    fitted = correct(model, measured)
    before, after = (median_error(one, measured) for one in (model.uncorrected, fitted))
    errors = f"median error of TTFT {before:.0%} without the correction, {after:.0%} with it"
    say(f"{len(measured)} runs of your own: {errors}.")
    return fitted.profile


def median_error(model: CostModel, measured: Sequence[Measurement]) -> float:
    """Median of |predicted / measured - 1| of the time to first token."""
    from statistics import median

    return median(abs(model.predict(one.graph).ttft_ms / one.ttft_ms - 1.0) for one in measured)


def require_runs(runs: Path | None, profile: str | None) -> None:
    """Refuse a profile to correct without times to correct it by, and times that are missing, before minutes are spent.

    Raises:
        BadInput: `profile` without `runs`, or no such file.
    """
    from ..common.errors import BadInput

    if profile is not None and runs is None:
        raise BadInput("--profile says which profile to correct; add --from RUNS, or leave it out to measure.")
    if runs is not None and not runs.is_file():
        raise BadInput(f"{runs}: no such file; give a JSON Lines file of your own times.")


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
