"""Training's packed forward against the model's own forward on each question alone."""

from __future__ import annotations

import random

import pytest
import torch

from foveate.testbed.segments import chosen_tokens
from foveate.testbed.video.batches import QuestionBatches, clip_tensors, pack, time_tensors
from foveate.testbed.video.model import TOY, build_model, build_tokenizer
from foveate.testbed.video.packed import mrope_positions, packed_forward
from foveate.testbed.video.processor import VideoProcessor
from foveate.testbed.video.questions import ask, first_step
from foveate.testbed.video.sampling import prompt_text
from foveate.testbed.video.scenes import make_clip
from foveate.testbed.video.stages import DecoderStage
from foveate.testbed.video.vocabulary import encode


def test_packed_logits_are_those_of_the_whole_model_on_each_prompt() -> None:
    """From raw frames through the processor on one side, from the training batch on the other."""
    torch.manual_seed(0)
    model = build_model(TOY).eval()
    processor = VideoProcessor(build_tokenizer())
    stage = DecoderStage(model, kind="full", batch_size=2).eval()
    clips = [make_clip(seed) for seed in (3, 4)]
    asked = [ask(clip, seed=0)[:4] for clip in clips]
    batch = clip_tensors(clips) | pack(asked, longest=64)
    tokens = torch.arange(392).expand(2, -1)
    with torch.no_grad():
        packed = packed_forward(model, stage.project(batch["pixels"], tokens), batch, tokens=tokens).logits
        for row, questions in enumerate(asked):
            for segment, question in enumerate(questions, start=1):
                inputs = processor(clips[row].frames, prompt_text(question.text))
                alone = model(**inputs).logits[0, 393:]
                ours = packed[row][batch["segments"][row] == segment][: len(alone)]
                torch.testing.assert_close(ours, alone, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("kept", [40, 200])
def test_a_subset_is_the_decoder_on_the_tokens_that_are_left(kept: int) -> None:
    torch.manual_seed(0)
    model = build_model(TOY).eval()
    decoder = model.get_decoder()
    clip = make_clip(5)
    questions = ask(clip, seed=0)[:3]
    batch = clip_tensors([clip]) | pack([questions], longest=64)
    tokens = torch.randperm(392)[:kept].sort().values[None]
    visual = torch.randn(1, kept, TOY.text_width)
    with torch.no_grad():
        packed = packed_forward(model, visual, batch, tokens=tokens).logits[0]
        for segment, question in enumerate(questions, start=1):
            ids = torch.tensor([encode(question.text)])
            whole = torch.cat((decoder.embed_tokens(torch.tensor([[1]])), visual, decoder.embed_tokens(ids)), 1)
            places = mrope_positions(tokens, 8 + torch.arange(ids.shape[1])[None])
            alone = decoder(inputs_embeds=whole, position_ids=places, use_cache=False).last_hidden_state
            ours = packed[batch["segments"][0] == segment][: ids.shape[1]]
            torch.testing.assert_close(ours, model.lm_head(alone)[0, 1 + kept :], atol=2e-4, rtol=1e-3)


def test_positions_are_the_models_own() -> None:
    model = build_model(TOY)
    processor = VideoProcessor(build_tokenizer())
    inputs = processor(make_clip(1).frames, prompt_text("what comes first"))
    own, _ = model.model.get_rope_index(
        inputs["input_ids"], inputs["mm_token_type_ids"], video_grid_thw=inputs["video_grid_thw"]
    )
    ours = mrope_positions(torch.arange(392)[None], 8 + torch.arange(3)[None])
    assert torch.equal(ours, own)


def test_targets_are_the_next_words_of_each_answer() -> None:
    questions = ask(make_clip(5), seed=0)
    batch = pack([questions], longest=200)
    for segment, question in enumerate(questions, start=1):
        here = batch["segments"][0] == segment
        learnt = batch["targets"][0][here & (batch["weights"][0] >= 1)]
        assert learnt.tolist() == encode(question.answer)
        assert batch["ids"][0][here].tolist()[: len(encode(question.text))] == encode(question.text)


def test_subsets_hold_the_labelled_tokens_first() -> None:
    batch = QuestionBatches(6, seed=2)[0]
    chosen = chosen_tokens(batch["classes"], keep=64, rng=random.Random(0))
    assert chosen.shape == (6, 64)
    assert (chosen.diff(dim=1) > 0).all()
    for row in range(6):
        labelled = set(batch["classes"][row].nonzero()[:, 0].tolist())
        kept = set(chosen[row].tolist())
        assert labelled <= kept or kept <= labelled


def test_time_labels_follow_the_things_stays() -> None:
    for seed in range(30):
        clip = make_clip(seed)
        labels = time_tensors([clip])
        ranks, shown = labels["ranks"][0].view(8, 7, 7), labels["appearances"][0].view(8, 7, 7)
        for index, thing in enumerate(clip.things, start=1):
            mine = torch.from_numpy(clip.owners == index)
            earlier = sum(first_step(other) < first_step(thing) for other in clip.things)
            assert set(ranks[mine].tolist()) == {1 + earlier}
            assert int(shown[mine].max()) == len(thing.track.stays)
        assert torch.equal(ranks > 0, torch.from_numpy(clip.classes > 0))
        assert torch.equal(shown > 0, ranks > 0)
