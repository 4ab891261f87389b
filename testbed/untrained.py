"""What the testbeds' models start from: a word-level tokenizer, and weights before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def word_tokenizer(word_id: Mapping[str, int], special: Sequence[str], **more: Any) -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words, padding on the left; ``special`` are its pad, start and end words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(dict(word_id), unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    build: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = build(
        tokenizer_object=words,
        **dict(zip(("pad_token", "bos_token", "eos_token"), special, strict=False)),
        unk_token="<unk>",
        padding_side="left",
        **more,
    )
    return tokenizer


def untrained(model_class: Any, config: Any, *, seed: int) -> Any:
    """Return a model with fresh fp32 weights.

    Word embeddings start at norm 4 and the final norm at 1/4: visual tokens are later pulled to a like norm, and
    logits still start near unit scale.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
        decoder: Any = model.model.language_model
        torch.nn.init.normal_(decoder.embed_tokens.weight, std=4 * config.text_config.hidden_size**-0.5)
        torch.nn.init.constant_(decoder.norm.weight, 0.25)
    model.tie_weights()
    return model
