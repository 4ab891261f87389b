"""The demo's picture and questions: a held-out scene, a photograph with objects pasted in."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .inputs import processed, prompt_text
from .models import Loaded
from .run import answer

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..ir.plan import Plan
    from ..runtime import Handle
    from ..testbed.questions import Question

# A scene of a split that training never sees, chosen for its photograph (a cat) and for how many kinds of question
# it allows, before there was a trained model.
SCENE_SEED = 21
SPLIT = "heldout"
_ANSWER_TOKENS = 5


@dataclass(frozen=True)
class DemoScene:
    """One picture with one question of each kind that it allows."""

    image: Image
    questions: tuple[Question, ...]


def demo_scene() -> DemoScene:
    """The scene of the demo, the same every time."""
    from ..testbed.questions import ask
    from ..testbed.scenes import make_scene

    scene = make_scene(SCENE_SEED, split=SPLIT)
    by_kind: dict[str, Question] = {}
    for question in ask(scene, seed=0):
        by_kind.setdefault(question.kind, question)
    return DemoScene(scene.image, tuple(by_kind.values()))


def answers(loaded: Loaded, scene: DemoScene) -> list[str]:
    """The model's greedy answers to the scene's questions, in order; through a plan where one is applied."""
    return [_answer(loaded, scene, question) for question in scene.questions]


def answers_under(loaded: Loaded, scene: DemoScene, plan: Plan) -> tuple[list[str], bytes]:
    """The answers through `plan`, and a PNG of the picture with the tokens that it kept for the first question."""
    from ..runtime import apply

    with apply(loaded.model, plan) as handle:
        first = _answer(loaded, scene, scene.questions[0])
        picture = _drawn(loaded, scene, handle)
        return [first, *(_answer(loaded, scene, question) for question in scene.questions[1:])], picture


def held_out_accuracy(loaded: Loaded, plan: Plan, count: int) -> tuple[float, float]:
    """Share of right answers to `count` held-out questions, without the plan and with it."""
    from ..runtime import apply
    from ..testbed import samples
    from ..testbed.evaluate import accuracy, answer_all

    asked = samples(SPLIT, count)
    without = answer_all(loaded.model, loaded.processor, asked)
    with apply(loaded.model, plan):
        under = answer_all(loaded.model, loaded.processor, asked)
    return accuracy(without, asked).overall.value, accuracy(under, asked).overall.value


def _answer(loaded: Loaded, scene: DemoScene, question: Question) -> str:
    inputs = processed(loaded, [scene.image], prompt_text(loaded, question.text))
    return answer(loaded, inputs, new_tokens=_ANSWER_TOKENS)


def _drawn(loaded: Loaded, scene: DemoScene, handle: Handle) -> bytes:
    from ..ir.site import Site
    from ..runtime.overlay import draw_kept

    vision = loaded.model.config.vision_config
    side = vision.image_size // vision.patch_size
    last = max(handle.selections, key=lambda site: Site.parse(site).depth, default=None)
    kept = range(side * side) if last is None else handle.selections[last][0].tolist()
    buffer = io.BytesIO()
    draw_kept(scene.image, (side, side), kept, boxes=scene.questions[0].boxes).save(buffer, format="PNG")
    return buffer.getvalue()
