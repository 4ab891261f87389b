"""Placements whose content decides how many tokens remain (`adaptive: true`), and what cannot run with them."""

from __future__ import annotations

from collections.abc import Iterable

from ..common.errors import BadInput
from ..ir.placement import Placement
from ..ir.site import Site
from ..passes import create

_KINDS = ("projector.output", "decoder.layer")
"""Sites at which media of one batch may keep different numbers of tokens: those in the decoder's own sequence."""


def check_adaptive(placement: Placement, *, in_sequence: bool, where: str) -> None:
    """Refuse an adaptive placement where every medium must keep as many tokens as the others.

    Args:
        in_sequence: whether the media stand in the decoder's own sequence. where: the field of the plan.

    Raises:
        BadInput: the site's counts must follow from shapes, or keep is not 1.
    """
    method = create(placement.method, placement.params)
    if not method.is_adaptive:
        return
    if Site.parse(placement.site).kind not in _KINDS or not in_sequence:
        raise BadInput(
            f"{where}: {placement.method} has adaptive: true, and at {placement.site} of this model every medium must "
            "keep as many tokens as the others; leave adaptive out"
        )
    if placement.keep != 1:
        raise BadInput(
            f"{where}: {placement.method} has adaptive: true, so that content decides how many tokens stay, and keep "
            f"{placement.keep:g}; set keep to 1, the most that can stay, or leave adaptive out"
        )


def require_counts(placements: Iterable[Placement], what: str) -> None:
    """Refuse adaptive placements in `what`, which needs counts that follow from shapes.

    Raises:
        BadInput: a placement is adaptive.
    """
    for placement in placements:
        if create(placement.method, placement.params).is_adaptive:
            raise BadInput(
                f"{placement.label()} has adaptive: true, so that content decides how many tokens stay, and {what} "
                "needs their number beforehand; leave adaptive out"
            )
