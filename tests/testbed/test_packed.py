"""Training's packed forward against the model's own forward on each question alone."""

from __future__ import annotations

import pytest
import torch

from foveate.testbed.batches import SceneBatches, pack, scene_tensors
from foveate.testbed.model import TOY, build_model
from foveate.testbed.packed import packed_forward
from foveate.testbed.questions import ask
from foveate.testbed.segments import chosen_tokens
from foveate.testbed.vocabulary import BOS, encode


@pytest.mark.parametrize("kept", [256, 40])
def test_packed_logits_are_those_of_each_question_alone(kept: int) -> None:
    torch.manual_seed(0)
    model = build_model(TOY).eval()
    decoder = model.get_decoder()
    scenes = SceneBatches(2, seed=3).scenes(0)
    asked = [ask(scene, seed=0)[:4] for scene in scenes]
    batch = scene_tensors(scenes) | pack(asked, longest=64)
    patches = torch.stack([torch.randperm(256)[:kept].sort().values for _ in scenes])
    visual = torch.randn(2, kept, TOY.text_width)
    with torch.no_grad():
        packed = packed_forward(model, visual, batch, patches=patches).logits
        for row, questions in enumerate(asked):
            for segment, question in enumerate(questions, start=1):
                ids = torch.tensor([encode(question.text)])
                first = decoder.embed_tokens(torch.tensor([[BOS]]))
                whole = torch.cat((first, visual[row : row + 1], decoder.embed_tokens(ids)), 1)
                places = torch.cat((torch.tensor([0]), 1 + patches[row], 257 + torch.arange(ids.shape[1])))[None]
                mask = torch.zeros(1, 1, whole.shape[1], whole.shape[1]).masked_fill(
                    ~torch.ones(whole.shape[1], whole.shape[1], dtype=torch.bool).tril(), -torch.inf
                )
                alone = decoder(inputs_embeds=whole, position_ids=places, attention_mask=mask, use_cache=False)
                logits = model.lm_head(alone.last_hidden_state)[0, 1 + kept :]
                ours = packed[row][batch["segments"][row] == segment][: ids.shape[1]]
                torch.testing.assert_close(ours, logits, atol=2e-4, rtol=1e-3)


def test_targets_are_the_next_words_of_each_answer() -> None:
    scene = SceneBatches(1, seed=5).scenes(0)[0]
    questions = ask(scene, seed=0)
    batch = pack([questions], longest=200)
    for segment, question in enumerate(questions, start=1):
        here = batch["segments"][0] == segment
        learnt = batch["targets"][0][here & (batch["weights"][0] >= 1)]
        assert learnt.tolist() == encode(question.answer)
        assert batch["ids"][0][here].tolist()[: len(encode(question.text))] == encode(question.text)


def test_subsets_hold_the_labelled_patches_first() -> None:
    import random

    batch = SceneBatches(6, seed=2)[0]
    chosen = chosen_tokens(batch["classes"], keep=64, rng=random.Random(0))
    assert chosen.shape == (6, 64)
    assert (chosen.diff(dim=1) > 0).all()
    for row in range(6):
        labelled = set(batch["classes"][row].nonzero()[:, 0].tolist())
        kept = set(chosen[row].tolist())
        assert labelled <= kept or kept <= labelled
