"""Running a recorded module again at other counts, to learn how the cost of each of its operations grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..op import Op
from ..polynomial import BATCH, CONTEXT, ROWS, TOKENS, Band, Polynomial, as_polynomial
from .events import Event
from .fit import Point, fitted, scaled
from .groups import Group, by_module, grouped
from .recorder import Call, Recorder
from .repeats import Instruments
from .resize import Extent, resized

_STEPS = (1, 4, 16, 64)
"""Token counts are varied in these steps, the first that works: mergers and windows take whole groups."""

_MANY = 2000
"""Events from which on only one step is tried: experts that run one by one make thousands."""


@dataclass
class Replayer:
    """Turns calls into operations with polynomial costs; works inside the `recording` context of its recorder."""

    instruments: Instruments
    recorder: Recorder

    def ops(
        self, call: Call, events: Sequence[Event], extent: Extent, *, root: str, causal: bool
    ) -> tuple[list[Op], int]:
        """The operations of `call`, and the step in which its token count can vary, 0 where it cannot.

        Args:
            call, events, extent: the call, what it recorded, and the counts that it was given.
            root: module name to strip from the operations' names.
            causal: whether square unfused attention in it hides later keys.
        """
        steps = _STEPS if len(events) < _MANY else _STEPS[:1]
        for step in steps if not extent.grid else ():
            if extent.tokens <= 3 * step:
                break
            found = self._varied(call, events, extent, step, root)
            if found is not None:
                return [_op(g, p, causal=causal) for g, p in found], step
        return loose_ops(events, (extent.batch, extent.tokens), root=root), 0

    def _varied(
        self, call: Call, events: Sequence[Event], extent: Extent, step: int, root: str
    ) -> list[tuple[Group, list[Polynomial]]] | None:
        """Groups with one fitted polynomial for each of their values, None where a run fails or does not fit."""
        batch, tokens = extent.batch, extent.tokens
        points: list[Point] = [(batch, tokens - step * i) for i in range(1, 4)]
        points += [(batch + 1, tokens), (batch + 1, tokens - step)]
        runs = {(batch, tokens): events}
        for point in points:
            again = self.run(call, extent, point)
            if again is None:
                return None
            runs[point] = again
        for grouping in (grouped, by_module):
            groups = {point: grouping(ran, root) for point, ran in runs.items()}
            if len({tuple((g.name, g.kind) for g in found) for found in groups.values()}) == 1:
                found = _fit_all(groups, (batch, tokens))
                if found is not None:
                    return found
        return None

    def run(self, call: Call, extent: Extent, point: Point) -> list[Event] | None:
        """What the call's module records at `point`, None where it cannot run there."""
        new = replace(extent, batch=point[0], tokens=point[1])
        self.recorder.fresh()
        self.recorder.inside_layer = True
        try:
            args, kwargs = resized(call, extent, new)
            call.module(*args, **kwargs)
        except Exception:  # whatever a module raises at a count that it was not made for
            return None
        finally:
            self.recorder.inside_layer = False
        return self.recorder.fresh().events


def _fit_all(groups: dict[Point, list[Group]], base: Point) -> list[tuple[Group, list[Polynomial]]] | None:
    found = []
    for place, group in enumerate(groups[base]):
        columns = zip(*(groups[point][place].values for point in groups), strict=True)
        fits = [fitted(dict(zip(groups, column, strict=True)), base) for column in columns]
        if any(fit is None for fit in fits):
            return None
        found.append((group, [fit for fit in fits if fit is not None]))
    return found


def loose_ops(events: Sequence[Event], base: Point, *, root: str) -> list[Op]:
    """Operations known at one count only."""
    found = []
    for group in grouped(events, root):
        *costs, launches = group.values
        found.append(_op(group, [*(scaled(c, base) for c in costs), as_polynomial(launches)], causal=False))
    return found


def _op(group: Group, costs: list[Polynomial], *, causal: bool) -> Op:
    executed, convention, elements, keys, launches = costs
    shape = group.attention
    if shape is None:
        same = group.kind in ("gemm", "convolution")
        return Op(
            group.name,
            group.kind,
            flops=convention if same else executed,
            elements=elements + keys,
            weights=group.weights,
            launches=launches,
            inner=group.inner,
            outer=group.outer,
        )
    square = set(convention.terms) == {(1, 2, 0)}
    flops: Polynomial | Band = convention
    if square:
        scale = convention.terms[1, 2, 0]
        convention = flops = scale * ROWS * CONTEXT
        keys = Polynomial({(b, 0, t): value for (b, t, _), value in keys.terms.items()})
        if group.causal or (causal and not shape.full_mask):
            flops = _causal(scale, group.window)
    return Op(
        group.name,
        "attention",
        flops=flops,
        convention=convention,
        elements=elements + keys,
        launches=launches,
        inner=group.inner,
        outer=group.outer,
    )


def _causal(scale: int, window: int | None) -> Polynomial | Band:
    """`scale` FLOPs for each key that a query sees: all up to its own, or the last `window` of them."""
    if window is not None:
        return Band(scale, window)
    return scale // 2 * BATCH * (2 * TOKENS * CONTEXT + -1 * TOKENS * TOKENS + TOKENS)
