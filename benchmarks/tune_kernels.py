"""Tile sizes and warps of every Triton kernel for this GPU, written as a table into kernels/tuning/.

From the default of each kernel one option at a time is halved or doubled, and the fastest that gives the reference's
result is kept, at two sizes of rows; longer rows than those keep the default. Without a GPU the steps run in Triton's
interpreter and nothing is written unless --output names a file: its times mean nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _interpreted import DEVICE, INTERPRETED  # before anything imports Triton

# isort: split
import numpy as np
import torch
from _gpu_pairs import Pair, equal, pairs
from _table import Goal, finish, parser, show
from gpu import DTYPE, SIZES

from foveate.common.files import write_whole
from foveate.common.timing import interleave
from foveate.common.yaml_lines import dump
from foveate.kernels.tuning import DEFAULT, Options, TuningTable, table, table_path, trying

LAUNCHES = {
    "top_k": ("select_top_k",),
    "compact_top_k": ("select_and_gather",),
    "compact_at": ("gather_tokens",),
    "token_norm": ("sum_squares",),
    "farthest_first": ("grow_farthest",),
    "farthest_subset": ("distance_rows", "grow_subset"),
    "dpp_greedy": ("grow_determinant",),
    "least_similar": ("pivot_cosines", "take_in_turn"),
    "best_match": ("match_tiles",),
    "segmented_mean": ("mean_of_members",),
    "pool_grid": ("pool_bin",),
    "temporal_runs": ("follow_positions",),
    "neighbour_chains": ("cosines_before", "join_neighbours"),
    "density_peaks": ("density_peaks",),
    "matched_pairs": ("join_matches",),
    "token_shift": ("measure_shift",),
    "frame_change": ("compare_frames",),
    "quota_top_k": ("select_by_quota",),
    "strided_choice": ("choose_by_stride",),
    "join_anchors": ("join_tiles",),
    "anchored_mean": ("collect_members",),
    "neighbour_weights": ("weigh_neighbours",),
    "mix_tokens": ("mix_tiles",),
    "unlike_key_pivots": ("copy_pivots",),
    "merged_runs": ("join_runs",),
    "prompt_subset": ("average_texts", "cosines_with_mean", "weighted_rows"),
    "thin_attention, 1 row": ("thin_attention",),
    "column_mass": ("column_mass",),
    "compact_cache": ("gather_entries",),
}
"""The kernels that each pair of `_gpu_pairs` launches, by their names in the tables."""
LARGEST = {"num_warps": 16}
SMALLEST = {"num_warps": 1, "ROWS": 16, "COLUMNS": 16}
ROOM = {"up_to": 1024}, {"up_to": 4096}


def main() -> int:
    """Tune, print what was found, write the table."""
    made = parser(__doc__ or "")
    made.add_argument("--output", type=Path, help="where the table goes; default: its place in kernels/tuning/")
    made.add_argument("--only", action="append", choices=sorted(LAUNCHES), help="tune what this launches; repeatable")
    options = made.parse_args()
    device = "interpreter" if INTERPRETED else torch.cuda.get_device_name()
    found: dict[str, list[Options]] = {}
    rows: list[list[object]] = []
    for name, kernel, choices in tuned_kernels(options.only or list(LAUNCHES)):
        found[kernel] = with_default(kernel, choices)
        rows += [[kernel, name, sizes.tokens, choice] for sizes, choice in zip(SIZES, choices, strict=True)]
    show(f"Fastest options on {device}", ["kernel", "measured by", "tokens", "options"], rows)
    path = options.output or (None if INTERPRETED else table_path(device))
    if path is not None:
        written = TuningTable(device=device, provenance="measured", kernels=found)
        write_whole(path, dump(written.model_dump()))
    goals = [Goal("kernels tuned", str(len(found)))]
    return finish(goals, json_file=options.json, figures=found, quick=options.quick or INTERPRETED)


def tuned_kernels(names: list[str]) -> Iterator[tuple[str, str, list[Options]]]:
    """The pair, the kernel, and its best options at each of SIZES."""
    by_size = [{one.name: one for one in pairs(sizes, device=DEVICE, dtype=DTYPE)} for sizes in SIZES]
    for name in names:
        for kernel in LAUNCHES[name]:
            at_sizes = zip(by_size, SIZES, strict=True)
            yield name, kernel, [best(kernel, of_size[name], sizes.tokens) for of_size, sizes in at_sizes]


def best(kernel: str, one: Pair, tokens: int) -> Options:
    """The fastest of the candidates that agree with the reference."""
    start = table(DEFAULT).options(kernel, tokens)
    expected = one.torch(*one.args, **one.options)
    taken = {index: seconds(kernel, options, one, expected) for index, options in enumerate(candidates(start))}
    return candidates(start)[min(taken, key=lambda index: taken[index])]


def candidates(start: Options) -> list[Options]:
    """The default first, then each option halved and doubled by itself, within what a kernel can take."""
    found = [start]
    for name, value in start.items():
        for other in (value // 2, value * 2):
            if SMALLEST.get(name, 1) <= other <= LARGEST.get(name, 1024):
                found.append({**start, name: other})
    return found


def seconds(kernel: str, options: Options, one: Pair, expected: Any) -> float:
    """Median time with these options; infinite where they do not fit the device or give another result."""

    def run() -> Any:
        return one.triton(*one.args, **one.options)

    with trying({kernel: options}):
        try:
            agrees = equal(run(), expected)
        except Exception:  # compilers and drivers refuse in types of their own
            return float("inf")
        wait = None if INTERPRETED else torch.cuda.synchronize
        taken = interleave({"kernel": run}, rounds=2 if INTERPRETED else 51, synchronize=wait)
    return float(np.median(taken["kernel"])) if agrees else float("inf")


def with_default(kernel: str, choices: list[Options]) -> list[Options]:
    """The choices up to the sizes that they were measured near, then the default's for longer rows."""
    measured = [{**room, **choice} for room, choice in zip(ROOM, choices, strict=False)]
    longest = measured[-1]["up_to"]
    default = table(DEFAULT).kernels[kernel]
    return measured + [choice for choice in default if choice.get("up_to", longest + 1) > longest]


if __name__ == "__main__":
    sys.exit(main())
