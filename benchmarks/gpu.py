"""Every Triton kernel and every emitted plan on this GPU, in one command.

Kernels: against their torch references (the same results), torch.compile, and the bytes that they must move over the
bandwidth measured. Models: time to the first token of LLaVA-1.5-7B and Qwen2.5-VL-7B shapes (bfloat16, random weights)
plain, with a plan on eager passes, on the library's kernels, on emitted kernels, and native. Without a GPU all of it
runs at toy size in Triton's interpreter, which shows that the script works and no more.
"""

from __future__ import annotations

import sys
from typing import Any

from _interpreted import DEVICE, INTERPRETED  # before anything imports Triton

# isort: split
import numpy as np
import torch
from _gpu_models import Prefills, prefills
from _gpu_pairs import Pair, Sizes, equal, pairs
from _table import Goal, arguments, finish, show

from foveate.common.timing import interleave, ratio_interval

DTYPE = torch.float32 if INTERPRETED else torch.bfloat16
SIZES = (
    (Sizes(19, 5, 16, 4, 2, 16),)
    if INTERPRETED
    else (Sizes(576, 64, 4096, 32, 32, 128), Sizes(2880, 320, 3584, 28, 4, 128))
)
FASTER, OF_BANDWIDTH, OF_PREFILL, OVER_NATIVE = 3.0, 0.7, 0.01, 1.02


def main() -> int:
    """Run both halves."""
    options = arguments(__doc__ or "")
    rounds = 2 if options.quick or INTERPRETED else 21
    width = bandwidth()
    goals: list[Goal] = []
    kernels = [figures_of(one, sizes, width, rounds) for sizes in SIZES for one in pairs_at(sizes)]
    goals += [goal for figures in kernels for goal in kernel_goals(figures)]
    show_kernels(kernels, width)
    models = list(prefills(toy=INTERPRETED, rounds=rounds))
    goals += [goal for found in models for goal in model_goals(found)]
    show_models(models)
    figures = {"bandwidth": width, "kernels": kernels, "models": [model_figures(found) for found in models]}
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick or INTERPRETED)


def pairs_at(sizes: Sizes) -> list[Pair]:
    """The kernels at one size, on this device."""
    return list(pairs(sizes, device=DEVICE, dtype=DTYPE))


def bandwidth() -> float:
    """Bytes a second that a copy of 1 GiB reads and writes (of 1 MiB without a GPU)."""
    source = torch.ones(2 ** (20 if INTERPRETED else 30), dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    taken = interleave({"copy": lambda: target.copy_(source)}, rounds=11, synchronize=_synchronize())
    return 2 * source.numel() / float(np.median(taken["copy"]))


def figures_of(one: Pair, sizes: Sizes, width: float, rounds: int) -> dict[str, Any]:
    """Agreement and times of one kernel; the kernel's own time, for bandwidth, is without the call's overhead."""
    ways = one.ways(backend="eager" if INTERPRETED else "inductor")
    agree = equal(ways["triton"](), ways["torch"]())
    taken = interleave(ways, rounds=rounds, warmup=2, synchronize=_synchronize())
    middle = {name: float(np.median(samples)) for name, samples in taken.items()}
    alone = middle["triton"] if INTERPRETED else _on_device(ways["triton"])
    return {
        "name": f"{one.name}, N = {sizes.tokens}",
        "milliseconds": {name: 1e3 * seconds for name, seconds in middle.items()},
        "gain": list(ratio_interval(taken["torch"], taken["triton"])),
        "of_bandwidth": None if one.moved is None else one.moved / alone / width,
        "equal": agree,
    }


def kernel_goals(figures: dict[str, Any]) -> list[Goal]:
    """Equal anywhere; fast only where times mean something."""
    name, agree = figures["name"], figures["equal"]
    goals = [Goal(f"equals its reference: {name}", str(agree), "True", agree)]
    gain, share = figures["gain"][0], figures["of_bandwidth"]
    goals.append(Goal(f"times as fast as eager: {name}", f"{gain:.2f}", f">= {FASTER}", _judged(gain >= FASTER)))
    if share is not None:
        met = _judged(share >= OF_BANDWIDTH)
        goals.append(Goal(f"of the bandwidth: {name}", f"{share:.2f}", f">= {OF_BANDWIDTH}", met))
    return goals


def model_goals(found: Prefills) -> list[Goal]:
    """Compression's share of the prefill, and the distance from native."""
    over = found.over("emitted", "native")
    return [
        Goal(f"choice of plain prefill: {found.model}", f"{found.share:.4f}", f"< {OF_PREFILL}",
             _judged(found.share < OF_PREFILL)),
        Goal(f"emitted over native: {found.model}", f"{over:.3f}", f"<= {OVER_NATIVE}", _judged(over <= OVER_NATIVE)),
    ]  # fmt: skip


def show_kernels(kernels: list[dict[str, Any]], width: float) -> None:
    """The table of kernels."""
    rows = []
    for found in kernels:
        taken, share = found["milliseconds"], found["of_bandwidth"]
        times = [f"{taken[way]:.3f}" if way in taken else "-" for way in ("triton", "torch", "compiled")]
        rows.append([found["name"], *times, f"{found['gain'][0]:.2f}", _percent(share), found["equal"]])
    columns = ["kernel", "Triton ms", "torch ms", "torch.compile ms", "times as fast", "of bandwidth", "equal"]
    show(f"Kernels on {_where()}, {DTYPE}, {width / 1e9:.0f} GB/s", columns, rows)


def show_models(models: list[Prefills]) -> None:
    """The table of prefills."""
    ways = list(models[0].seconds)
    rows = [
        [found.model, *(f"{1e3 * float(np.median(found.seconds[way])):.2f}" for way in ways), _percent(found.share)]
        for found in models
    ]
    show(f"TTFT in ms on {_where()}, bfloat16", ["model", *ways, "choice of plain"], rows)


def model_figures(found: Prefills) -> dict[str, Any]:
    """What goes into the JSON file."""
    seconds = {name: samples.tolist() for name, samples in found.seconds.items()}
    return {"model": found.model, "seconds": seconds, "choice": found.choice.tolist()}


def _on_device(run: Any) -> float:
    """Seconds of a launch on the device, the caches flushed before each."""
    from triton.testing import do_bench

    return float(do_bench(run, return_mode="median")) * 1e-3


def _judged(met: bool) -> bool | None:
    """Goals about time have no verdict in the interpreter."""
    return None if INTERPRETED else met


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _where() -> str:
    return "Triton's interpreter (times mean nothing)" if INTERPRETED else torch.cuda.get_device_name()


def _synchronize() -> Any:
    return None if INTERPRETED else torch.cuda.synchronize


if __name__ == "__main__":
    sys.exit(main())
