from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.seeds import generator, sub_seed

LABELS = st.lists(st.integers(-5, 5) | st.text("ab1,' ", max_size=3), max_size=3)


@given(LABELS, LABELS)
def test_different_labels_give_different_seeds(a: list[str | int], b: list[str | int]) -> None:
    assert (sub_seed(7, *a) == sub_seed(7, *b)) == (a == b)


def test_seeds_are_the_same_on_every_machine() -> None:
    # printf "[0, 'scene', 3]" | sha256sum | cut -c1-16
    assert sub_seed(0, "scene", 3) == 0xBAF6859B6CCFF76C >> 1


def test_numpy_integers_count_as_integers() -> None:
    assert sub_seed(int(np.int64(0)), "scene", np.int64(3)) == sub_seed(0, "scene", 3)  # type: ignore[arg-type]


def test_a_generator_repeats_its_draws() -> None:
    first = torch.rand(5, generator=generator(3))
    assert torch.equal(first, torch.rand(5, generator=generator(3)))
    assert not torch.equal(first, torch.rand(5, generator=generator(4)))
