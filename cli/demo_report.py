"""What the demo prints: times before and after, and answers beside the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .demo_scene import DemoScene
from .output import milliseconds, percent, print_table, program, say

if TYPE_CHECKING:
    from ..ir.plan import Plan
    from ..runtime import Figures


def print_times(plan: Plan, plain: Figures, ours: Figures) -> None:
    """Print predicted and measured TTFT, without the plan and with it, and the ratio of the two."""
    from ..runtime import ratio

    before = plan.predicted.baseline_ttft_ms if plan.predicted else None
    after = plan.predicted.ttft_ms if plan.predicted else None
    share = ratio(ours, plain)
    rows = [_times("without the plan", before, plain), _times("with the plan", after, ours)]
    predicted = percent(after / before) if before and after else "-"
    rows.append(
        ["ratio", predicted, percent(share.median), f"{percent(share.low)} to {percent(share.high)}", str(ours.n)]
    )
    columns = ("TTFT", "predicted ms", "measured ms", "95 % interval", "n")
    print_table({name: "left" if name == "TTFT" else "right" for name in columns}, rows)


def print_closing(output: Path) -> None:
    """Say what was done and what to try next."""
    foveate = program()
    say()
    say(f"Done: traced, calibrated, planned, measured and asked. {output} holds")
    say("  plan.yaml    the plan with its evidence")
    say("  device.yaml  this machine's profile")
    say("  kept.png     the picture with the kept tokens drawn; the green box holds the first answer")
    say("Try next:")
    say(f"  {foveate} explain {output}/plan.yaml")
    say(f"  {foveate} plan testbed --budget 'ttft<=50%' --device {output}/device.yaml -o plan.yaml")
    say(f"  {foveate} bench testbed --plan {output}/plan.yaml")


def _times(name: str, predicted: float | None, found: Figures) -> list[str]:
    low, high = found.ttft_interval
    spread = f"{milliseconds(low)} to {milliseconds(high)}"
    return [name, milliseconds(predicted), milliseconds(found.ttft_ms), spread, str(found.n)]


def print_answers(scene: DemoScene, without: list[str], under: list[str]) -> None:
    """Print every question with its true answer and the two given, and how many of each are right."""
    truths = [question.answer for question in scene.questions]
    asked = [question.text for question in scene.questions]
    rows = [list(row) for row in zip(asked, truths, without, under, strict=True)]
    print_table(dict.fromkeys(("question", "truth", "without the plan", "with the plan"), "left"), rows)
    right = [sum(a == t for a, t in zip(given, truths, strict=True)) for given in (without, under)]
    say(f"Right: {right[0]} of {len(truths)} without the plan, {right[1]} of {len(truths)} with it.")
