"""Sound: spectrograms, or samples, for the encoders that take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..layout import Layout
from ..workload import Workload
from .inputs import first, numbers, shape
from .row import Media, Row, signature
from .table import row

if TYPE_CHECKING:
    import torch
    from torch import nn

FRAMES_PER_SECOND = 100
WINDOW_SECONDS = 30
SAMPLES_PER_SECOND = 16_000


def audio_config(config: Any) -> Any:
    """The audio tower's configuration."""
    return first(config, "audio_config", "encoder_config", "audio_encoder_config", "speech_config", default=config)


def windowed_frames(workload: Workload) -> tuple[int, list[int]]:
    """Spectrogram frames that every sound is padded to (whole windows of 30 s), and the real ones of each."""
    real = [round(FRAMES_PER_SECOND * seconds) for seconds in workload.audio_seconds]
    window = FRAMES_PER_SECOND * WINDOW_SECONDS
    return -(-max(real) // window) * window, real


def spectrogram(config: Any, taken: Any, workload: Workload) -> Media:
    """input_features (sounds, mel bins, frames) at 100 frames a second, padded to Whisper's 30 s windows."""
    frames, real = windowed_frames(workload)
    arguments: dict[str, Any] = {"input_features": shape(len(real), mel_bins(config), frames)}
    for name in ("input_features_mask", "feature_attention_mask"):
        if name in taken:
            arguments[name] = frame_mask(frames, real)
    return Media(arguments)


def mel_bins(config: Any) -> int:
    """Channels of a spectrogram frame."""
    names = ("num_mel_bins", "n_mels", "feature_size", "input_feat_size", "input_size", "input_dim")
    return int(first(audio_config(config), *names, default=128))


def frame_mask(frames: int, real: list[int]) -> torch.Tensor:
    """(sounds, frames) int64: 1 for real frames."""
    import torch

    mask: torch.Tensor = torch.arange(frames)[None] < numbers(real)[:, None]
    return mask.long()


_LOW_RATE = {"fun_asr_nano": 6}
"""Spectrogram frames that one input frame advances by, where frames are stacked."""


@row
class FramesFirst(Row):
    """Encoders that take (sounds, frames, channels) and their mask (conformers of several families)."""

    model_types: ClassVar[tuple[str, ...]] = ("nemo_speechlm", "fun_asr_nano")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """input_features with frames before channels."""
        stacked = _LOW_RATE.get(self.config.model_type, 1)
        real = [round(FRAMES_PER_SECOND * s) // stacked for s in workload.audio_seconds]
        width = int(first(audio_config(self.config), "input_size", "num_mel_bins", default=128))
        features = shape(len(real), max(real), width)
        return Media({"input_features": features, "input_features_mask": frame_mask(max(real), real)})


@row
class GraniteSpeech(Row):
    """Granite Speech: a conformer over stacked frames and a Q-Former that turns each window into a few tokens."""

    model_types: ClassVar[tuple[str, ...]] = ("granite_speech", "granite_speech_plus")

    def encoders(self, model: nn.Module, modality: str) -> Any:
        """The conformer."""
        yield "model.encoder"

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """input_features (sounds, frames / 2, 2 x mel bins) and a mask of the tokens that each sound makes."""
        frames = [round(FRAMES_PER_SECOND * seconds) // 2 for seconds in workload.audio_seconds]
        window, down = int(self.config.window_size), int(self.config.downsample_rate)
        tokens = [-(-count // window) * (window // down) for count in frames]
        arguments = {
            "input_features": shape(len(frames), max(frames), int(self.config.encoder_config.input_dim)),
            "input_features_mask": frame_mask(max(tokens), tokens).bool(),
        }
        return Media(arguments, tuple(Layout(count) for count in tokens))


@row
class Qwen2Audio(Row):
    """Qwen2-Audio: Whisper's encoder and an average over pairs of frames."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_audio",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """One 30 s window for each sound; real frames / 4 tokens."""
        found = spectrogram(self.config, signature(model), workload)
        real = [min(round(FRAMES_PER_SECOND * s), FRAMES_PER_SECOND * WINDOW_SECONDS) for s in workload.audio_seconds]
        return Media(found.arguments, tuple(Layout((((frames - 1) // 2 + 1) - 2) // 2 + 1) for frames in real))


@row
class Moss(Row):
    """MOSS: Whisper frames merged in groups, with a mask of padding sounds."""

    model_types: ClassVar[tuple[str, ...]] = ("moss_transcribe_diarize",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """A spectrogram and its two masks."""
        found = spectrogram(self.config, signature(model), workload)
        found.arguments["padding_mask"] = found.arguments["input_features_mask"]
        return found


@row
class Samples(Row):
    """Encoders that take the samples themselves (VibeVoice)."""

    model_types: ClassVar[tuple[str, ...]] = ("vibevoice_asr",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """input_values (sounds, 1, samples) at 24 kHz, padded to whole steps of the codec's 3200 samples."""
        samples = -(-round(24_000 * max(workload.audio_seconds)) // 3200) * 3200
        return Media({"input_values": shape(len(workload.audio_seconds), 1, samples)})


@row
class AddedSound(Row):
    """Voxtral Realtime: one sound token is added to each token of the text, none stands in it."""

    model_types: ClassVar[tuple[str, ...]] = ("voxtral_realtime",)

    def placeholder(self, modality: str) -> int | None:
        """None: sound is added, not inserted."""
        return None

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """As many spectrogram frames as the text has tokens, eight for each."""
        frames = 8 * max(workload.text_tokens, 1)
        return Media({"input_features": shape(1, mel_bins(self.config), frames)})


@row
class DotsNote(Row):
    """dots3.note: sound in chunks with their lengths in samples."""

    model_types: ClassVar[tuple[str, ...]] = ("dots3_note",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Chunks of 30 s beside the usual grids."""
        if modality != "audio":
            return super().media(model, modality, workload)
        frames, _ = windowed_frames(workload)
        arguments = {
            "input_features": shape(len(workload.audio_seconds), mel_bins(self.config), frames),
            "chunk_sample_lengths": numbers([round(SAMPLES_PER_SECOND * s) for s in workload.audio_seconds]),
        }
        return Media(arguments)
