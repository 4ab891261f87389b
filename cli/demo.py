"""`foveate demo`: the main job end to end on the embedded model, in about two minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.errors import BadInput, BudgetNotMet
from ..common.files import write_whole
from .bench import UNCOMPRESSED
from .calibrate import measured_profile, rates
from .demo_report import print_answers, print_closing, print_times
from .demo_scene import DemoScene, answers, answers_under, demo_scene, held_out_accuracy
from .inputs import processed, prompt_text
from .models import TESTBED, Loaded, load_model, traced
from .output import percent, say
from .plan import calibration_samples, named
from .progress import progress
from .trace import print_flow
from .validate import summary
from .verdicts import quantity

if TYPE_CHECKING:
    from ..cost_models import DeviceProfile
    from ..ir.budget import Budget
    from ..ir.plan import Plan

EXAMPLE = 'foveate demo --output my-demo --budget "ttft<=60%"'


@dataclass(frozen=True)
class Effort:
    """How much work the demo does.

    Attributes:
        seconds: of calibration. questions, trials: of the search. rounds: of timing. asked: held-out questions at the
            end.
    """

    seconds: float
    questions: int
    trials: int
    rounds: int
    asked: int


FULL = Effort(seconds=25.0, questions=32, trials=16, rounds=21, asked=96)
QUICK = Effort(seconds=6.0, questions=12, trials=6, rounds=9, asked=24)


def demo(
    *,
    output: Annotated[Path, typer.Option("--output", metavar="FOLDER", help="Where the results go.")] = Path(
        "foveate-demo"
    ),
    budget: Annotated[str, typer.Option("--budget", metavar="BUDGET", help="The TTFT to plan for.")] = "ttft<=60%",
    quick: Annotated[bool, typer.Option("--quick", help="Less calibration and search: rougher, much faster.")] = False,
) -> None:
    """Run the main job end to end on the embedded model.

    Trace, calibrate, plan for a budget, measure side by side, ask questions with and without the plan. Exits 1 where
    the budget is missed by more than the noise.
    """
    limit, effort = _ttft(budget), QUICK if quick else FULL
    make_folder(output)
    loaded, scene = load_model(TESTBED, accelerator=False), demo_scene()
    _heading("1. Where the tokens of one request go")
    print_flow(traced(TESTBED))
    _heading("2. What this machine can do")
    profile = _calibrated(effort, output)
    _heading(f"3. A plan for {limit}")
    plan = _planned(loaded, limit, profile, effort, output)
    _heading("4. Time to first token, measured side by side")
    outcome = _measured(loaded, plan, limit, scene, effort)
    _heading("5. Answers with and without the plan")
    _answered(loaded, plan, scene, effort, output)
    print_closing(output)
    if outcome == "broken":
        raise BudgetNotMet(f"the plan missed {limit} when measured here; try a looser budget, or a quieter machine.")


def make_folder(output: Path) -> None:
    """Make the output folder.

    Raises:
        BadInput: it is a file, or it cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the folder {output}: {error.strerror}; name another with --output.") from error


def _ttft(text: str) -> Budget:
    from ..ir.budget import Budget

    limit = Budget.parse(text)
    if limit.figure != "ttft":
        raise BadInput(f"the demo plans for a time to first token, not for {limit}; write one such as ttft<=60%.")
    return limit


def _heading(text: str) -> None:
    say()
    say(text, style="bold")


def _calibrated(effort: Effort, output: Path) -> DeviceProfile:
    profile = measured_profile(device="cpu", dtypes=["float32"], seconds=effort.seconds, seed=0)
    profile.save(output / "device.yaml")
    say(f"This machine: {rates(profile)}.")
    return profile


def _planned(loaded: Loaded, limit: Budget, profile: DeviceProfile, effort: Effort, output: Path) -> Plan:
    """Search on the calibration split; where nothing meets the budget the nearest plan is taken, and said so later."""
    from ..planner import plan as search

    samples, held_out = calibration_samples(TESTBED, loaded, count=effort.questions)
    with progress() as report:
        found = search(
            loaded.model,
            workload=traced(TESTBED).workload,
            budget=limit,
            device=profile,
            samples=samples,
            held_out=held_out,
            trials=effort.trials,
            progress=report,
            nearest=True,
        )
    found = named(found, loaded)
    found.save(output / "plan.yaml")
    say(f"Chosen: {summary(found)}.")
    if found.search is None:
        say(f"No plan meets {limit} by prediction; this is the nearest one.")
    if found.fidelity is not None:
        say(f"Fidelity {found.fidelity.value:.3f} ({found.fidelity.kind}, {found.fidelity.samples} samples).")
    return found


def _measured(loaded: Loaded, plan: Plan, limit: Budget, scene: DemoScene, effort: Effort) -> str:
    """Time the demo's own request with and without the plan, interleaved; returns `held`, `undecided` or `broken`."""
    from ..planner.gating.timing import Times, judge_timing
    from ..runtime import compare

    inputs = processed(loaded, [scene.image], prompt_text(loaded, scene.questions[0].text))
    figures = compare(loaded.model, inputs, {UNCOMPRESSED: None, "plan": plan}, rounds=effort.rounds)
    times = Times.of(figures["plan"]), Times.of(figures[UNCOMPRESSED])
    verdict = judge_timing(limit, *times, new_tokens=1)
    print_times(plan, figures[UNCOMPRESSED], figures["plan"])
    say(f"The budget {limit} is {verdict.verdict}: the limit here is {quantity(str(limit), verdict.limit_ms)}.")
    return verdict.verdict


def _answered(loaded: Loaded, plan: Plan, scene: DemoScene, effort: Effort, output: Path) -> None:
    """Ask with and without the plan, about the demo's scene and many others, and draw what the plan kept."""
    without = answers(loaded, scene)
    under, picture = answers_under(loaded, scene, plan)
    print_answers(scene, without, under)
    write_whole(output / "kept.png", picture)
    shares = [percent(share) for share in held_out_accuracy(loaded, plan, effort.asked)]
    say(f"Over {effort.asked} other held-out questions: {shares[0]} right without the plan, {shares[1]} with it.")
