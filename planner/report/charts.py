"""Plotly figures of the report, as data: the page resolves `--name` colours to those of its theme.

Names from a plan are escaped, since Plotly reads markup in text.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from .content import Flow, Trial

Chart = dict[str, Any]
_AXIS = {"gridcolor": "--line", "zerolinecolor": "--line", "automargin": True, "fixedrange": True}


def waterfall(before: Flow | None, after: Flow, ttft_ms: float) -> Chart:
    """How the uncompressed TTFT becomes the plan's, stage by stage; without it, what the plan's is made of."""
    stages = {stage.name: stage.ms for stage in after.stages if stage.ms is not None}
    was = {} if before is None else {stage.name: stage.ms for stage in before.stages if stage.ms is not None}
    if was and before is not None and before.ttft_ms is not None:
        steps = [(name, stages.get(name, 0.0) - ms) for name, ms in was.items()]
        start, end = [("uncompressed", before.ttft_ms)], "with the plan"
    else:
        steps, start, end = list(stages.items()), [], "time to first token"
    rest = ttft_ms - sum(ms for _, ms in (*start, *steps))
    bars = [*start, *steps, ("passes and rest", rest), (end, ttft_ms)]
    measures = ["absolute"] * len(start) + ["relative"] * (len(steps) + 1) + ["total"]
    trace = {
        "type": "waterfall",
        "orientation": "h",
        "y": [escape(name) for name, _ in bars],
        "x": [ms for _, ms in bars],
        "measure": measures,
        "text": [
            _signed(ms) if kind == "relative" else f"{ms:.4g}" for (_, ms), kind in zip(bars, measures, strict=True)
        ],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{text} ms<extra></extra>",
        "decreasing": {"marker": {"color": "--good"}},
        "increasing": {"marker": {"color": "--warm"}},
        "totals": {"marker": {"color": "--accent"}},
        "connector": {"line": {"color": "--line"}},
    }
    layout = _layout("ms", "", height=70 + 38 * len(bars))
    layout["yaxis"] |= {"autorange": "reversed"}
    widest = max(sum(max(ms, 0.0) for _, ms in (*start, *steps)), ttft_ms)
    layout["xaxis"] |= {"range": [0, 1.32 * widest]}  # room for the last bars' labels on a phone
    return {"data": [trace], "layout": layout}


def pareto_chart(
    trials: Sequence[Trial], front: Sequence[Trial], chosen: tuple[float, float] | None, *, value: str
) -> Chart:
    """Every trial by predicted TTFT and value, the front as a line, the chosen plan as a star."""
    held = [trial for trial in trials if trial.held]
    past = [trial for trial in trials if not trial.held]
    traces = [
        _points(past, "past the budget", "--muted", symbol="x", size=8),
        _points(held, "within the budget", "--accent", symbol="circle", size=10),
        _points(front, "front", "--warm", mode="lines"),
    ]
    if chosen is not None:
        star = Trial("the plan", *chosen)
        traces.append(_points([star], "this plan", "--good", symbol="star", size=17))
    return {"data": [trace for trace in traces if trace["x"]], "layout": _layout("predicted TTFT, ms", value)}


def _signed(ms: float) -> str:
    """A change in ms; what rounds to nothing is 0.

    >>> _signed(-26.31), _signed(1e-7)
    ('-26.3', '0')
    """
    return "0" if abs(ms) < 5e-4 else f"{ms:+.3g}" if abs(ms) >= 1 else f"{ms:+.2f}"


def _points(
    trials: Sequence[Trial], name: str, colour: str, *, mode: str = "markers", symbol: str = "circle", size: int = 9
) -> Chart:
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": [trial.ttft_ms for trial in trials],
        "y": [trial.value for trial in trials],
        "text": [_words(trial) for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "hoverinfo": "skip" if mode == "lines" else "text",
        **({"hovertemplate": None} if mode == "lines" else {}),
        "marker": {"color": colour, "symbol": symbol, "size": size, "line": {"width": 1, "color": "--card"}},
        "line": {"color": colour, "width": 2, "shape": "hv"},
    }


def _words(trial: Trial) -> str:
    number = "" if trial.number is None else f"trial {trial.number}: "
    plan = "<br>+ ".join(escape(part) for part in trial.plan.split(" + "))
    return f"{number}{plan}<br>TTFT {trial.ttft_ms:.4g} ms<br>value {trial.value:.4f}"


def _layout(x: str, y: str, *, height: int = 380) -> Chart:
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--ink", "family": "system-ui, sans-serif", "size": 13},
        "xaxis": {**_AXIS, "title": {"text": x}},
        "yaxis": {**_AXIS, "title": {"text": y}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hoverlabel": {"align": "left", "bgcolor": "--card", "font": {"color": "--ink"}, "bordercolor": "--line"},
        "showlegend": bool(y),
    }
