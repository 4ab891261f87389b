"""Windows of recorded speech, and how many words of them a Whisper gets wrong under a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from real_weights import speech
from real_weights.wer import charged, words
from transformers import WhisperFeatureExtractor

from foveate.ir.plan import Plan
from foveate.planner.fidelity.batches import batches
from foveate.planner.fidelity.decoding import pad_token, said
from foveate.planner.fidelity.features import Features
from foveate.planner.fidelity.fidelity import applied
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.fidelity.word_errors import edits

NEW_TOKENS = 128
"""At most so many tokens are transcribed; a window holds fewer."""

_BATCH = 18


def samples_of(windows: Sequence[speech.Speech]) -> list[CalibrationSample]:
    """Windows of at most 30 s as requests, with what is said as their answers."""
    extract = WhisperFeatureExtractor()
    return [
        CalibrationSample(dict(extract(w.samples, sampling_rate=speech.RATE, return_tensors="pt")), w.text)
        for w in windows
    ]


class Listener:
    """A Whisper with the windows that it is asked to transcribe; what was encoded once is not encoded again.

    Attributes:
        spoken: (W,) words in each window.
    """

    def __init__(self, model: Any, tokenizer: Any, samples: Sequence[CalibrationSample]) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.references = [words(sample.answer or "") for sample in samples]
        self.spoken = np.array([len(reference) for reference in self.references])
        self.batches = batches(samples, size=_BATCH, pad=pad_token(model))
        self.features = Features(model)

    @property
    def whole(self) -> list[float]:
        """The words of each window."""
        return [float(count) for count in self.spoken]

    @property
    def groups(self) -> list[int]:
        """Every window is one of its own."""
        return list(range(len(self.spoken)))

    @property
    def crossed(self) -> list[int]:
        """Windows are taken as they are, whatever recordings they share."""
        return []

    def right(self, plan: Plan) -> list[float]:
        """Words of each window less its word errors, so that the mean is one minus the word error rate."""
        return [float(left) for left in self.spoken - self.mistakes(plan)]

    def mistakes(self, plan: Plan | None) -> NDArray[np.int64]:
        """(W,) word errors under a plan; None is the model as it is."""
        pairs = zip(self.references, self.heard(plan), strict=True)
        return np.array([edits(reference, found) for reference, found in pairs], dtype=np.int64)

    def heard(self, plan: Plan | None) -> list[list[str]]:
        """The words that are heard in each window under a plan."""
        found: list[list[str]] = [[] for _ in self.references]
        with self.features.reused(plan), applied(self.model, plan), torch.inference_mode():
            for batch in self.batches:
                with self.features.of(batch.rows):
                    tokens, _ = said(self.model, batch.inputs, steps=NEW_TOKENS)
                texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
                for row, text in zip(batch.rows, texts, strict=True):
                    found[row] = words(text)
        return found


class Recordings:
    """An exam about the recordings of some windows, each of which is heard in several of them.

    What becomes of a recording depends on what stands beside it in its window: where a transcript goes round in circles
    the rest of the window is lost. Hearing it in several windows averages over that.

    Args:
        listener: transcribes `windows`, each joined of recordings.
    """

    def __init__(self, listener: Listener, windows: Sequence[speech.Speech]) -> None:
        self.listener = listener
        self.cells = [(number, piece.text) for number, window in enumerate(windows) for piece in window.pieces]
        self._words = [len(words(text)) for _, text in self.cells]

    @property
    def whole(self) -> list[float]:
        """The words of each recording in each of its windows."""
        return [float(count) for count in self._words]

    @property
    def groups(self) -> list[int]:
        """The window of each."""
        return [number for number, _ in self.cells]

    @property
    def crossed(self) -> list[int]:
        """The recording of each, those with the same words taken as one."""
        texts = {text: number for number, text in enumerate(dict.fromkeys(text for _, text in self.cells))}
        return [texts[text] for _, text in self.cells]

    def right(self, plan: Plan) -> list[float]:
        """Words of each recording less the errors that fall on it; their mean is one minus the word error rate."""
        pairs = zip(self.listener.references, self.listener.heard(plan), strict=True)
        mistakes = np.concatenate([charged(reference, found) for reference, found in pairs])
        ends = np.cumsum(self._words)[:-1]
        return [len(each) - float(each.sum()) for each in np.split(mistakes, ends)]
