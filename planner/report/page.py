"""The page itself: a plan and what belongs to it, rendered by Jinja with Plotly's script inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...common.errors import BadInput
from ...common.names import unknown
from ...passes import REGISTRY
from ...runtime.resolve import resolved_plan
from ..rules.conflicts import decide
from .charts import pareto_chart, waterfall
from .content import Costed, Drawing, Report
from .flow_svg import Scale, flow_svg
from .flows import flows_of
from .rows import ablation, embedded, figures, placements
from .sources import sources_of, sources_of_page
from .trials import front_of, trials_of

if TYPE_CHECKING:
    from ...ir.plan import Plan


def report(
    plan: Plan,
    *,
    costed: Costed | None = None,
    study: str | None = None,
    drawings: Sequence[Drawing] = (),
    without_drawings: str = "No model was given, so nothing could be run to see what is kept; give --model.",
) -> str:
    """The report of a plan as one HTML page that asks nothing of a network.

    Args:
        costed: the plan's model, traced for its workload, and the cost model of its device.
        study: the search's study, in place of the one that the plan names.
        drawings: what the plan keeps of sample media. without_drawings: why there are none.

    Raises:
        BadInput: jinja2 or plotly is missing, the plan does not fit the model, or the study cannot be read.
    """
    return render(collect(plan, costed=costed, study=study, drawings=drawings, without_drawings=without_drawings))


def collect(
    plan: Plan,
    *,
    costed: Costed | None = None,
    study: str | None = None,
    drawings: Sequence[Drawing] = (),
    without_drawings: str = "",
) -> Report:
    """What the page will show; raises BadInput as `report`."""
    for placement in plan.placements:
        if placement.method not in REGISTRY:
            raise unknown("pass", placement.method, REGISTRY.names())
    plan = _completed(plan, costed)
    before, after, flow_missing = flows_of(plan, costed)
    trials, others, trials_missing = trials_of(plan, study)
    sources = (*sources_of(plan), *sources_of_page(plan, costed, drawn=bool(drawings)))
    absent = {
        "flow": flow_missing,
        "waterfall": None if _has_times(after) else "No stage times are known, so there is no waterfall.",
        "front": trials_missing,
        "ablation": None if plan.ablation else "The plan holds no ablation, which a search ends with.",
        "conflicts": None if plan.conflicts else "No two placements meet, and no rule minds one of them alone.",
        "kept": None if drawings else without_drawings,
        "sources": None if sources else "The plan states no figures.",
    }
    missing = {section: words for section, words in absent.items() if words}
    model = None if costed is None else costed.graph.model
    return Report(plan, before, after, trials, others, front_of(trials), tuple(drawings), sources, missing, model)


def _completed(plan: Plan, costed: Costed | None) -> Plan:
    """The plan with what follows from its placements alone: counts, workload and conflicts, where it states none."""
    if costed is not None:
        plan = replace(resolved_plan(costed.graph, plan), workload=plan.workload or costed.graph.workload)
    if not plan.conflicts and plan.workload is not None:
        plan = replace(plan, conflicts=decide(plan.placements, REGISTRY.items(), plan.workload))
    return plan


def render(found: Report) -> str:
    """The page of `found`."""
    jinja, plotly = _library("jinja2"), _library("plotly.offline")
    environment = jinja.Environment(
        loader=jinja.PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    flows = [flow for flow in (found.before, found.after) if flow is not None]
    scale = Scale.of(flows)
    text: str = environment.get_template("report.html").render(
        plan=found.plan,
        name=found.plan.model.name if found.plan.model else found.model or "A plan",
        found=found,
        placements=list(placements(found.plan)),
        figures=list(figures(found.plan)),
        flows=[(flow, flow_svg(flow, scale)) for flow in flows],
        charts=_charts(found),
        ablation=list(ablation(found.plan)),
        trials=sorted(found.trials, key=lambda trial: (-trial.value, trial.ttft_ms)),
        pictures=[embedded(drawing) for drawing in found.drawings],
        plotly=plotly.get_plotlyjs(),
    )
    return text


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.split(".", 1)[0]
        raise BadInput(f"{package} is not installed, and the report needs it; install foveate[report]") from error


def _has_times(flow: Any) -> bool:
    return flow is not None and any(stage.ms is not None for stage in flow.stages) and flow.ttft_ms is not None


def _charts(found: Report) -> dict[str, Any]:
    charts: dict[str, Any] = {}
    if found.after is not None and found.after.ttft_ms is not None and _has_times(found.after):
        charts["waterfall"] = waterfall(found.before, found.after, found.after.ttft_ms)
    if found.trials:
        plan = found.plan
        known = plan.predicted is not None and plan.fidelity is not None
        chosen = (plan.predicted.ttft_ms, plan.fidelity.value) if known else None  # type: ignore[union-attr]
        task = plan.fidelity is not None and plan.fidelity.kind == "task"
        charts["front"] = pareto_chart(found.trials, found.front, chosen, value="task score" if task else "fidelity")
    return charts
