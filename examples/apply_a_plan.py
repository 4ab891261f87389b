"""Apply a plan to a live model: answers, kept tokens and time, with the plan and without.

Run `python examples/apply_a_plan.py [plan.yaml]`; the plan is `examples/hand_written.yaml` unless you name one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import foveate
from foveate.testbed import load, samples

HAND_WRITTEN = Path(__file__).parent / "hand_written.yaml"


def main(plan: Path = HAND_WRITTEN) -> None:
    """Ask one question both ways and time the prefill."""
    model, processor = load("image")
    sample = samples("heldout", 1)[0]
    inputs = processor(images=sample.image, text=sample.prompt, return_tensors="pt")
    length = inputs["input_ids"].shape[1]

    with foveate.apply(model, plan) as handle:  # the model is restored at the end of the block
        output = model.generate(**inputs, max_new_tokens=5)
        for site, kept in handle.selections.items():
            print(f"{site}: tokens {kept[0, :8].tolist()} ... go on, {kept.shape[1]} in all")
    print(f"{sample.question.text}: {processor.decode(output[0, length:], skip_special_tokens=True)!r}")
    print(f"the truth: {sample.answer!r}")

    times = foveate.measure(model, inputs, plan=foveate.load(plan))
    if times.ratio is not None:
        share, low, high = times.ratio
        print(f"time to first token: {share:.2f} of the uncompressed model's ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
