"""What a plan asks of a model, checked before anything is touched."""

from __future__ import annotations

from typing import Any

from ..common.errors import BadInput
from ..common.names import unknown
from ..ir.encoder_sites import require_encoder_sites
from ..ir.fingerprint import fingerprint
from ..ir.placement import Placement
from ..ir.plan import Plan
from ..ir.site import Site
from ..passes import create
from .adapters import adapter_of, live_part
from .adaptive import check_adaptive
from .inputs.support import check_input_site, check_shortened_sounds


def check_fits(plan: Plan, model: Any) -> None:
    """Refuse a plan that cannot run on a model; `model` may also be a configuration.

    Raises:
        BadInput: the model type is not supported, the plan is for another model, or a placement names an unknown
            pass, parameter, site or modality, or a keep out of range.
    """
    model = live_part(model)
    config = getattr(model, "config", model)
    adapter = adapter_of(config)
    if plan.model is not None and plan.model.fingerprint != fingerprint(config):
        raise BadInput(
            f"the plan is for {plan.model.name} ({plan.model.type}), and this model's configuration is another; "
            "make a plan for it, or remove the plan's model block to apply it all the same"
        )
    seen: set[tuple[str, str]] = set()
    for number, placement in enumerate(plan.placements):
        where = f"placements[{number}]"
        _check_site(placement, config, where)
        for modality in placement.modalities(adapter.modalities):
            if (placement.site, modality) in seen:
                raise BadInput(f"{where}: two passes at {placement.site} act on {modality}; keep one of them")
            seen.add((placement.site, modality))
    check_shortened_sounds(config.model_type, plan.placements)


def _check_site(placement: Placement, config: Any, where: str) -> None:
    method = create(placement.method, placement.params)
    if not 0 < placement.keep <= 1 and not (placement.keep == 0 and method.withdraws):
        raise BadInput(f"{where}.keep is {placement.keep}; it must be above 0 and at most 1")
    site = Site.parse(placement.site)
    check_input_site(placement, adapter_of(config), live_part(config), where)
    offered = supported_sites(config)
    if placement.site not in offered:
        require_encoder_sites(live_part(config).model_type, site)
        raise unknown(f"site in {where} for this model", placement.site, offered)
    if site.kind not in method.sites:
        places = " or ".join(method.sites)
        raise BadInput(f"{where}: {placement.method} acts at {places}, not at {placement.site}")
    check_adaptive(placement, in_sequence=adapter_of(config).in_sequence, where=where)


def supported_sites(config: Any) -> list[str]:
    """The sites at which plans can be applied to a model of this configuration."""
    config = live_part(config)
    return adapter_of(config).sites(config)
