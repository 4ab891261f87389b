"""What the compile tests compile: every launcher at the sizes of a real model, on meta tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch

from foveate.kernels.anchor_joining_triton import join_anchors_triton
from foveate.kernels.anchored_mean_triton import anchored_mean_triton
from foveate.kernels.best_match_triton import best_match_triton
from foveate.kernels.cache_compaction_triton import compact_cache_triton
from foveate.kernels.column_mass_triton import column_mass_triton
from foveate.kernels.compaction_triton import compact_top_k_triton
from foveate.kernels.density_peaks_triton import density_peaks_triton
from foveate.kernels.dispatch import LONGEST_ROW
from foveate.kernels.dpp_triton import dpp_greedy_triton
from foveate.kernels.farthest_subset_triton import farthest_subset_triton
from foveate.kernels.frame_change_triton import frame_change_triton
from foveate.kernels.gathering_triton import compact_at_triton
from foveate.kernels.grid_pooling_triton import pool_grid_triton
from foveate.kernels.key_pivots_triton import unlike_key_pivots_triton
from foveate.kernels.matched_pairs_triton import matched_pairs_triton
from foveate.kernels.max_min_triton import farthest_first_triton
from foveate.kernels.merged_runs_triton import merged_runs_triton
from foveate.kernels.mixing_triton import mix_tokens_triton
from foveate.kernels.neighbour_chains_triton import neighbour_chains_triton
from foveate.kernels.neighbour_weights_triton import neighbour_weights_triton
from foveate.kernels.pivot import MOST_PIVOTS
from foveate.kernels.pivot_triton import least_similar_triton
from foveate.kernels.prompt_subset_triton import prompt_subset_triton
from foveate.kernels.quota_top_k_triton import quota_top_k_triton
from foveate.kernels.segmented_mean_triton import segmented_mean_triton
from foveate.kernels.strided_choice_triton import strided_choice_triton
from foveate.kernels.temporal_runs_triton import temporal_runs_triton
from foveate.kernels.thin_attention_triton import thin_attention_triton
from foveate.kernels.token_norm_triton import token_norm_triton
from foveate.kernels.token_shift_triton import token_shift_triton
from foveate.kernels.top_k_triton import top_k_triton

TOKENS, KEPT, WIDTH = 2880, 320, 4096
HEADS, GROUPS, HEAD_SIZE = 28, 4, 128
SCALE = HEAD_SIZE**-0.5


def meta(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def floats(*shape: int) -> torch.Tensor:
    return meta(*shape, dtype=torch.float32)


def ids(*shape: int) -> torch.Tensor:
    return meta(*shape, dtype=torch.int64)


def features() -> torch.Tensor:
    return meta(2, TOKENS, WIDTH)


def heads(count: int, rows: int) -> torch.Tensor:
    """Projections as attention modules hold them: (B, N, H, D) seen as (B, H, N, D)."""
    return meta(2, rows, count, HEAD_SIZE).transpose(1, 2)


def compaction() -> object:
    positions, sizes = ids(3, 2, TOKENS), floats(2, TOKENS)
    return compact_top_k_triton(floats(2, TOKENS), features(), count=KEPT, positions=positions, sizes=sizes)


def gathering() -> object:
    return compact_at_triton(ids(2, KEPT), features(), positions=ids(3, 2, TOKENS), sizes=floats(2, TOKENS))


def top_k() -> object:
    return top_k_triton(floats(2, TOKENS), count=KEPT)


def token_norm() -> object:
    return token_norm_triton(features())


def farthest_subset() -> object:
    return farthest_subset_triton(features(), count=KEPT)


def neighbour_chains() -> object:
    return neighbour_chains_triton(features(), count=KEPT)


def token_shift() -> object:
    for distance in ("l2", "l1", "cosine"):
        found = token_shift_triton(features(), features(), distance=distance)
    return found


def frame_change() -> object:
    return frame_change_triton(features(), ids(8), floats(2 * TOKENS // 8), frames=8, positions=TOKENS // 8)


def quota_top_k() -> object:
    return quota_top_k_triton(floats(2, TOKENS), ids(8), ids(8), count=KEPT, frames=8)


def matched_pairs() -> object:
    matched_pairs_triton(floats(2, TOKENS, 64), count=TOKENS // 2 + 3)
    return matched_pairs_triton(meta(2, TOKENS, 64), count=TOKENS // 2 + 3, parity=1)


def strided_choice() -> object:
    strided_choice_triton(floats(2, TOKENS), best=KEPT, strided=40, step=(64, 1))
    return strided_choice_triton(floats(2, TOKENS), best=KEPT, strided=40, step=(TOKENS - KEPT, 40), last=True)


def anchor_joining() -> object:
    join_anchors_triton(floats(2, TOKENS, 64), ids(2, 40), ids(2, TOKENS))
    return join_anchors_triton(features(), ids(2, KEPT), ids(2, TOKENS))


def anchored_mean() -> object:
    anchored_mean_triton(features(), ids(2, KEPT), ids(2, TOKENS))
    return anchored_mean_triton(features(), ids(2, KEPT), ids(2, TOKENS), halving=True)


def neighbour_weights() -> object:
    index, last, assign = ids(2, KEPT), ids(2, 1), ids(2, TOKENS)
    neighbour_weights_triton(floats(2, TOKENS, 1024), floats(2, TOKENS), index, last, assign, neighbours=32)
    return neighbour_weights_triton(meta(2, TOKENS, 1024), floats(2, TOKENS), index, last, assign, neighbours=32)


def mixing() -> object:
    mix_tokens_triton(floats(2, KEPT, TOKENS), floats(2, TOKENS, WIDTH))
    return mix_tokens_triton(floats(2, KEPT, TOKENS), features())


def merged_runs() -> object:
    return merged_runs_triton(floats(2, TOKENS), floats(2, TOKENS), count=KEPT, frames=20, threshold=0.6)


def key_pivots() -> object:
    keys, text_keys = meta(2, TOKENS, GROUPS * HEAD_SIZE), meta(2, 40, GROUPS * HEAD_SIZE)
    unlike_key_pivots_triton(keys, features(), count=KEPT, own=4)
    return unlike_key_pivots_triton(keys, features(), text_keys, meta(2, 40, WIDTH), count=KEPT, own=4, others=4)


def prompt_subset() -> object:
    return prompt_subset_triton(features(), meta(2, 40, WIDTH), count=KEPT)


def max_min() -> object:
    return farthest_first_triton(floats(2, TOKENS, TOKENS), ids(2), count=KEPT)


def dpp() -> object:
    return dpp_greedy_triton(floats(2, TOKENS, TOKENS), KEPT)


def longest_rows() -> object:
    scores, table = floats(1, LONGEST_ROW), floats(1, LONGEST_ROW, LONGEST_ROW)
    compact_top_k_triton(scores, meta(1, LONGEST_ROW, 64), count=KEPT)
    top_k_triton(scores, count=KEPT)
    farthest_subset_triton(meta(1, LONGEST_ROW, 64), count=KEPT)
    neighbour_chains_triton(meta(1, LONGEST_ROW, 64), count=KEPT)
    matched_pairs_triton(meta(1, LONGEST_ROW, 64), count=LONGEST_ROW - KEPT)
    quota_top_k_triton(scores, ids(1), ids(1), count=KEPT, frames=1)
    strided_choice_triton(scores, best=KEPT, strided=40, step=(LONGEST_ROW - KEPT, 40), last=True)
    merged_runs_triton(scores, scores, count=KEPT, frames=32, threshold=0.6)
    farthest_first_triton(table, ids(1), count=KEPT)
    dpp_greedy_triton(table, KEPT)
    return least_similar_triton(meta(1, LONGEST_ROW, 64), meta(1, MOST_PIVOTS, 64), count=KEPT)


def pivot() -> object:
    taken = meta(2, TOKENS, dtype=torch.bool)
    return least_similar_triton(features(), meta(2, 8, WIDTH), count=KEPT, taken=taken)


def best_match() -> object:
    return best_match_triton(features()[:, ::2], features()[:, 1::2])


def best_match_float32() -> object:
    return best_match_triton(floats(2, TOKENS, WIDTH)[:, ::2], floats(2, TOKENS, WIDTH)[:, 1::2])


def thin_attention() -> object:
    mask = meta(2, 1, 16, TOKENS, dtype=torch.bool)
    return thin_attention_triton(heads(HEADS, 16), heads(GROUPS, TOKENS), scale=SCALE, mask=mask)


def thin_attention_wide_float32() -> object:
    query, key = floats(1, 16, 16, 256), floats(1, 8, TOKENS, 256)
    return thin_attention_triton(query, key, scale=SCALE, mask=floats(1, 16, 16, TOKENS), reduce="max")


def column_mass() -> object:
    return column_mass_triton(heads(HEADS, TOKENS), heads(GROUPS, TOKENS), scale=SCALE, causal=True)


def column_mass_packed_wide_float32() -> object:
    query, key = floats(1, 16, TOKENS, 256), floats(1, 16, TOKENS, 256)
    return column_mass_triton(query, key, scale=SCALE, segments=(ids(1, TOKENS), ids(1, TOKENS)))


def segmented_mean() -> object:
    return segmented_mean_triton(features(), ids(2, TOKENS), groups=KEPT, weight=floats(2, TOKENS))


def mean_pooling() -> object:
    return pool_grid_triton(features(), grid=(5, 24, 24), pooled=(5, 12, 12), mode="mean")


def max_pooling() -> object:
    return pool_grid_triton(features(), grid=(5, 24, 24), pooled=(3, 9, 9), mode="max")


def temporal_runs() -> object:
    return temporal_runs_triton(meta(2, 20, 144, WIDTH), threshold=0.9)


def density_peaks() -> object:
    return density_peaks_triton(features(), neighbours=5)


def cache_compaction() -> object:
    return compact_cache_triton(heads(GROUPS, TOKENS), heads(GROUPS, TOKENS), ids(2, GROUPS, KEPT))


CASES: dict[str, Callable[[], object]] = {
    case.__name__: case
    for case in (
        *(
            compaction,
            gathering,
            top_k,
            token_norm,
            neighbour_chains,
            farthest_subset,
            matched_pairs,
            max_min,
            dpp,
            longest_rows,
            pivot,
        ),
        *(best_match, best_match_float32, thin_attention),
        *(thin_attention_wide_float32, column_mass, column_mass_packed_wide_float32, segmented_mean, mean_pooling),
        *(
            strided_choice,
            anchor_joining,
            anchored_mean,
            neighbour_weights,
            mixing,
            merged_runs,
            key_pivots,
            prompt_subset,
        ),
        *(max_pooling, temporal_runs, density_peaks, cache_compaction, token_shift, frame_change, quota_top_k),
    )
}
