"""Decoders in which a dropped token cannot be left out exactly: what mixes tokens there is not plain attention."""

from __future__ import annotations

from typing import Any

_MASKED = ("full_attention", "sliding_attention", "chunked_attention")
_POINTWISE = ("mlp", "moe")
_RECURRENT = ("rwkv", "xlstm")  # those with layer types are known by them
_RELATIVE = ("t5", "mt5", "umt5", "longt5", "switch_transformers", "pop2piano")
_LINEAR_BIAS = ("bloom", "mpt")


def mixer_refusal(config: Any) -> str | None:
    """Why dropping tokens is not exact in the decoder of a configuration, as the end of a sentence, or None.

    A recurrent or convolutional layer mixes neighbours whether or not an attention mask hides them, and a relative bias
    counts the tokens that are there, not the places that they had.
    """
    text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
    kinds = sorted(set(getattr(text, "layer_types", None) or ()).difference(_MASKED, _POINTWISE))
    if kinds:
        return f"its decoder has layers of {', '.join(kinds)}, from which no attention mask hides a token; {_MEND}"
    if text.model_type in _RECURRENT:
        return f"its decoder {text.model_type!r} is recurrent, and no attention mask hides a token from it; {_MEND}"
    if text.model_type in _RELATIVE or getattr(text, "relative_attention_num_buckets", None) is not None:
        return f"its language model {text.model_type!r} has a relative position bias, which counts tokens; {_MEND}"
    if text.model_type in _LINEAR_BIAS or getattr(text, "alibi", False):
        return f"its decoder {text.model_type!r} biases attention by distance, which counts tokens; {_MEND}"
    return None


_MEND = "choose a model whose decoder is plain softmax attention with rotary or learned positions"
