"""Greedy and teacher-forced decoding through a model's own `generate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import encoder_decoder

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes:
        tokens: (B, T) ids, padded after the end token. mask: (B, T), true up to and including the end token.
        log_probs: (B, T, V) float32 log-probabilities at each answer token.
        prompt: what an encoder-decoder's decoder started from, (B, P); None where the inputs hold the prompt.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    log_probs: torch.Tensor
    prompt: torch.Tensor | None = None


def decode(model: Any, inputs: Mapping[str, torch.Tensor], *, steps: int, forced: torch.Tensor | None = None) -> Answer:
    """Prefill the prompt, then feed the answer through the cache token by token.

    Args:
        inputs: `input_ids` (B, L) and the rest of what the processor returns; an encoder-decoder's has media alone, and
            `decoder_input_ids` (B, P) where an answer is forced.
        steps: at most so many answer tokens; rows stop at the end token.
        forced: (B, T) tokens to feed instead of the model's own choice; the log-probabilities stay the model's.
    """
    import torch

    if model.config.is_encoder_decoder:
        return _of_encoder_decoder(model, on_device(model, inputs), steps=steps, forced=forced)
    generated = model.generate(
        **on_device(model, inputs),
        max_new_tokens=steps,
        do_sample=False,
        num_beams=1,
        pad_token_id=pad_token(model),
        return_dict_in_generate=True,
        output_logits=True,
        logits_processor=None if forced is None else _forcing(forced),
    )
    tokens = generated.sequences[:, inputs["input_ids"].shape[1] :]
    logits = torch.stack(generated.logits, dim=1)
    return Answer(tokens, _until_end(tokens, end_tokens(model)), logits.float().log_softmax(dim=-1))


def said(model: Any, inputs: Mapping[str, torch.Tensor], *, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens of a greedy answer and their mask, as in `Answer`, where nobody asks how probable they were."""
    if not model.config.is_encoder_decoder:
        answer = decode(model, inputs, steps=steps)
        return answer.tokens, answer.mask
    _, tokens = encoder_decoder.greedy(model, on_device(model, inputs), steps=steps, pad=pad_token(model))
    return tokens, _until_end(tokens, end_tokens(model))


def _of_encoder_decoder(
    model: Any, inputs: Mapping[str, torch.Tensor], *, steps: int, forced: torch.Tensor | None
) -> Answer:
    if forced is None:
        prompt, tokens = encoder_decoder.greedy(model, inputs, steps=steps, pad=pad_token(model))
    else:
        prompt, tokens = inputs[encoder_decoder.PROMPT], forced
    found = encoder_decoder.log_probs(model, inputs, prompt, tokens)
    return Answer(tokens, _until_end(tokens, end_tokens(model)), found, prompt)


def on_device(model: Any, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inputs where the model is, floating ones in its dtype."""
    moved = {name: value.to(model.device) for name, value in inputs.items()}
    return {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in moved.items()}


def pad_token(model: Any) -> int:
    """The id that fills padding: the generation config's, else the first id that is no media token."""
    stated = getattr(model.generation_config, "pad_token_id", None)
    if isinstance(stated, int):
        return stated
    media = {value for key, value in model.config.to_dict().items() if key.endswith(("_token_id", "_token_index"))}
    return next(i for i in range(len(media) + 1) if i not in media)


def end_tokens(model: Any) -> tuple[int, ...]:
    """The ids that end an answer; none where the generation config names none."""
    stated = getattr(model.generation_config, "eos_token_id", None)
    if stated is None:
        return ()
    return tuple(stated) if isinstance(stated, (list, tuple)) else (int(stated),)


def _forcing(tokens: torch.Tensor) -> Any:
    """A logits processor that leaves only the given token at each step."""
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList

    class Forced(LogitsProcessor):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.step = 0

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            column = tokens[:, self.step, None].to(scores.device)
            self.step += 1
            return torch.full_like(scores, float("-inf")).scatter(1, column, 0.0)

    return LogitsProcessorList([Forced()])


def _until_end(tokens: torch.Tensor, ends: tuple[int, ...]) -> torch.Tensor:
    import torch

    ended = torch.isin(tokens, torch.tensor(ends, dtype=tokens.dtype, device=tokens.device))
    before = ended.long().cumsum(dim=1) - ended.long()
    return before == 0
