"""Sites: every form there and back, and what is no site."""

from __future__ import annotations

import itertools

import pytest

from foveate.common.errors import BadInput
from foveate.ir.site import KINDS, MODALITIES, Site

FORMS = {
    "input": "{m}.input",
    "encoder.layer": "{m}.encoder.layers.{k}",
    "encoder.layer.mid": "{m}.encoder.layers.{k}.mid",
    "encoder.output": "{m}.encoder.output",
    "projector.output": "{m}.projector.output",
    "decoder.layer": "decoder.layers.{k}",
    "decoder.cache": "decoder.cache",
}
CASES = [(kind, m, k) for kind, m, k in itertools.product(FORMS, MODALITIES, (0, 1, 27, 130))]


def test_every_kind_has_its_form_here() -> None:
    assert set(FORMS) == set(KINDS)


@pytest.mark.parametrize(("kind", "modality", "layer"), CASES)
def test_round_trip(kind: str, modality: str, layer: int) -> None:
    text = FORMS[kind].format(m=modality, k=layer)
    site = Site.parse(text)
    assert str(site) == text
    assert site.kind == kind
    assert site.modality == (modality if "{m}" in FORMS[kind] else None)
    assert site.layer == (layer if "{k}" in FORMS[kind] else None)
    assert Site.parse(str(site)) == site


@pytest.mark.parametrize(
    "text",
    [
        "",
        "decoder",
        "decoder.layers",
        "decoder.layers.",
        "decoder.layers.-1",
        "decoder.layers.2.mid",
        "decoder.layers.2 ",
        "Decoder.layers.2",
        "image.decoder.layers.2",
        "image.encoder.layers.x",
        "image.encoder.layers.2.middle",
        "image.projector",
        "text.input",
        "image.cache",
        "image.projector.output\n",
    ],
)
def test_what_is_no_site_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        Site.parse(text)
    assert str(refused.value).startswith(f"unknown site {text!r}: a site is MODALITY.input")


def test_sites_sort_in_the_order_of_flow() -> None:
    flow = [
        "image.input",
        "image.encoder.layers.2",
        "image.encoder.layers.2.mid",
        "image.encoder.layers.10",
        "image.encoder.output",
        "image.projector.output",
        "decoder.layers.0",
        "decoder.layers.2",
        "decoder.layers.10",
        "decoder.cache",
    ]
    assert sorted(sorted(flow), key=lambda text: Site.parse(text).depth) == flow
