"""Answers of encoder-decoders: media go to the encoder, and the decoder starts from a few tokens of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PROMPT = "decoder_input_ids"


def greedy(
    model: Any, inputs: Mapping[str, torch.Tensor], *, steps: int, pad: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `model` says by its own `generate`, which knows what its decoder starts from (languages, tasks).

    Args:
        inputs: what the encoder takes, on the model's device, and `decoder_input_ids` (B, P) to start from others.
        steps: at most so many tokens. pad: fills rows after their end token.

    Returns:
        The decoder's first tokens (B, P) and the answer (B, T).
    """
    with _quietly():
        said = model.generate(
            **inputs,
            max_new_tokens=steps,
            do_sample=False,
            num_beams=1,
            pad_token_id=pad,
            return_dict_in_generate=True,
            output_logits=True,
            **_one_segment(model),
        )
    start = said.sequences.shape[1] - len(said.logits)
    return said.sequences[:, :start], said.sequences[:, start:]


def _one_segment(model: Any) -> dict[str, list[int]]:
    """Options by which Whisper says no time stamps, after which it would go on with the rows that said any, alone."""
    settings = model.generation_config
    last = getattr(settings, "no_timestamps_token_id", None)
    if last is None or getattr(settings, "return_timestamps", False):
        return {}
    stamps = range(last + 1, int(model.config.vocab_size))
    return {"suppress_tokens": sorted({*(settings.suppress_tokens or ()), *stamps})}


def log_probs(
    model: Any, inputs: Mapping[str, torch.Tensor], prompt: torch.Tensor, answer: torch.Tensor
) -> torch.Tensor:
    """(B, T, V) float32 log-probabilities of each token of an answer, teacher-forced through `decoder_input_ids`.

    One forward over the whole answer: the decoder is causal, and what compresses an encoder's tokens never sees it.

    Args:
        prompt: (B, P) tokens that the decoder starts from. answer: (B, T) tokens to feed.
    """
    import torch

    fed = torch.cat([prompt, answer[:, :-1]], dim=1).to(model.device)
    with torch.inference_mode():
        logits = model(**{**inputs, PROMPT: fed}, use_cache=False).logits
    found: torch.Tensor = logits[:, prompt.shape[1] - 1 :].float().log_softmax(dim=-1)
    return found


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the warnings that Whisper's `generate` raises against its own call of the general one."""
    from transformers.utils import logging as transformers_logging

    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
