"""CDPruner with the decoder's text embeddings: a diverse subset that answers to the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, CONTEXT, ROWS, TOKENS
from ..ir.signal import Need, embedding
from ..kernels.dpp import dpp_greedy
from .base import Compression, Pass, Tokens, register
from .primitives.costs import row_ops, similarity_op, top_k_op

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class CDPrunerLLMText(Pass):
    """Greedy MAP of a DPP conditioned on the prompt (arXiv:2506.10967), relevance from the decoder's space.

    The kernel is r_i r_j cos(i, j) over projected features. The paper's relevance r is the negated cosine of CLIP's
    image and text embeddings, averaged over the texts; models do not carry CLIP's text tower, so this named variant
    takes the cosine of the projected feature with the decoder's embeddings of the text after the medium. Their sign is
    not negated (`negated` does so, as the public code does for CLIP). Then r is scaled to lie between 0 and 1 in each
    medium, plus 1e-6 over its range as in the public code.
    """

    name = "cdpruner-llm-text"
    source = "arXiv:2506.10967"
    summary = "keep a diverse subset weighted by similarity to the prompt's embeddings"
    mechanism = "mixed"
    modalities = ("image", "video")
    sites = ("projector.output",)
    consumes = ("feature", "task")
    query_aware = True
    catalog_id = "cdpruner"

    negated: bool = False

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The text's embeddings."""
        return (embedding("text"),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Relevance, all similarities once, then for each token kept a row of the factor and about nine launches."""
        pairs = similarity_op(width, pairs=BATCH * TOKENS * TOKENS)
        steps = ROWS * CONTEXT
        factor = Op("greedy", "reduction", flops=steps * CONTEXT, elements=4 * steps, launches=9 * CONTEXT)
        return row_ops("relevance", width, launches=12), pairs, factor, top_k_op()

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The greedy subset, in order of position."""
        from torch.nn.functional import normalize

        weighted = normalize(tokens.features.float(), dim=-1) * self.relevance(tokens)[..., None]
        return Compression(dpp_greedy(weighted @ weighted.mT, target.count).sort(dim=-1).values)

    def relevance(self, tokens: Tokens) -> torch.Tensor:
        """Mean cosine to the text, scaled to 0..1 in each medium, (B, N)."""
        from torch.nn.functional import normalize

        text = tokens.signal(embedding("text")).float()
        texts = (text != 0).any(dim=-1).sum(dim=1).clamp(min=1)
        mean = normalize(text, dim=-1).sum(dim=1) / texts[:, None]
        cosine = (normalize(tokens.features.float(), dim=-1) @ mean[..., None])[..., 0]
        cosine = -cosine if self.negated else cosine
        low, high = cosine.amin(dim=1, keepdim=True), cosine.amax(dim=1, keepdim=True)
        return (cosine - low + 1e-6) / (high - low).clamp(min=1e-6)
