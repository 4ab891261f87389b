"""The contract of a compression pass, and the registry that knows them all."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..common.errors import BadInput
from ..common.names import unknown
from ..common.registry import Registry, both, entry_points_of, modules_of
from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need

if TYPE_CHECKING:
    import torch

ALL_MODALITIES = ("image", "video", "audio")
EVERYWHERE = ("encoder.layer", "encoder.layer.mid", "encoder.output", "projector.output", "decoder.layer")
REDUNDANCIES = ("feature", "attention", "spatial", "temporal", "task")


@dataclass(frozen=True)
class Tokens:
    """What arrives at a site: one row per image, clip or sound.

    Attributes:
        features: (B, N, D), any floating dtype. B is the number of media, N the compressible tokens of each.
        layout: how the N tokens are arranged.
        signals: one tensor for each declared need, nothing else; an attention row is (B, N) float32, the other
            shapes are those of `Need` with B for M.
        seed: seed of this call, the same for the same plan and input order.
        sizes: (B, N) float32, how many original tokens each one stands for; None where none was merged before, and
            everywhere outside encoders.
    """

    features: torch.Tensor
    layout: Layout
    signals: Mapping[Need, torch.Tensor]
    seed: int = 0
    sizes: torch.Tensor | None = None

    def signal(self, need: Need) -> torch.Tensor:
        """The signal of `need`.

        Raises:
            BadInput: the pass reads a signal that its `needs` did not declare.
        """
        if need not in self.signals:
            raise BadInput(f"a pass read the signal {need} without declaring it; return it from needs()")
        return self.signals[need]


@dataclass(frozen=True)
class Compression:
    """Which tokens go on, and what became of the others.

    Attributes:
        index: (B, K) int64, sorted and unique in each row: kept tokens, or representatives of merged groups.
        assign: (B, N) int64 position in `index` of the group that each token joins, -1 where it is dropped; None is
            a pure drop.
        weight: (B, N) weight of each token in its group's mean; None is equal weights.
        combine: what goes on in place of the groups' means, where a method adds up or lets groups overlap: a linear map
            of any features (B, N, D) of the same tokens to (B, K, D) in their dtype; needs `assign`, None is the means.
    """

    index: torch.Tensor
    assign: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    combine: Callable[[torch.Tensor], torch.Tensor] | None = None


class Pass(ABC):
    """A compression method: a frozen dataclass whose fields are its parameters in plans and on the command line.

    Class attributes say what it is: `name` as in plans, `source` (arXiv id or where it is from), `summary`, the
    `modalities` and kinds of `sites` it may act on, what it `consumes` (which of REDUNDANCIES it removes), whether it
    is `query_aware` (reads the text), its `mechanism`, and the `catalog_id` and `training` columns of the catalogue.
    `needs_grid`: it reads the tokens' places on the grid. `withdraws`: it may keep none, and keeps all or none.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    summary: ClassVar[str]
    mechanism: ClassVar[str]
    modalities: ClassVar[tuple[str, ...]] = ALL_MODALITIES
    sites: ClassVar[tuple[str, ...]] = ("projector.output", "decoder.layer")
    consumes: ClassVar[tuple[str, ...]] = ()
    query_aware: ClassVar[bool] = False
    catalog_id: ClassVar[str | None] = None
    training: ClassVar[str] = "free"
    needs_grid: ClassVar[bool] = False
    withdraws: ClassVar[bool] = False

    def count(self, layout: Layout, keep: float) -> Layout:
        """The layout that remains, a pure function of shapes; by default an irregular selection of K tokens."""
        return layout.kept(keep)

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The signals that `compress` reads."""
        return ()

    @abstractmethod
    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Its own cost: polynomials in `tokens` (N that arrive), `context` (K kept) and `batch` (media)."""

    @abstractmethod
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Decide which tokens go on; `target` is what `count` returned, so K = target.count."""

    @property
    def weighs_attention(self) -> bool:
        """Whether later attention counts a merged token as often as the tokens that it stands for."""
        return False

    def suited(self, has_class_token: Callable[[], bool]) -> tuple[Mapping[str, Any], str]:
        """Parameters that it leaves to the model, and why they are so; none by default.

        Args:
            has_class_token: whether the encoder has a [CLS] token; ask only where that matters.
        """
        return {}, ""

    @property
    def is_adaptive(self) -> bool:
        """Whether content decides how many tokens remain, as in the published form of an `AdaptivePass`."""
        return False

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """The parameters and their defaults."""
        fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
        return {field.name: field.default for field in fields}


PassType = TypeVar("PassType", bound=type[Pass])
ENTRY_POINTS = "foveate.passes"
"""Group of entry points by which installed packages offer modules that register passes of their own."""

REGISTRY: Registry[type[Pass]] = Registry(
    "pass", load=both(modules_of(__package__ or "foveate.passes"), entry_points_of(ENTRY_POINTS))
)


def register(cls: PassType) -> PassType:
    """Class decorator that makes a pass known by its `name`."""
    REGISTRY.register(cls.name, cls)
    return cls


def create(name: str, params: Mapping[str, Any] | None = None) -> Pass:
    """The pass called `name` with `params` in place of its defaults.

    Raises:
        BadInput: unknown pass or parameter (the nearest name is offered), or a value of the wrong type.
    """
    cls = REGISTRY.get(name)
    defaults = cls.parameters()
    for key, value in (params or {}).items():
        if key not in defaults:
            raise unknown(f"parameter of {name}", key, defaults)
        if defaults[key] is not None and not _fits(value, defaults[key]):
            wanted = type(defaults[key]).__name__
            raise BadInput(f"parameter {key} of {name} is {value!r}; it must be a {wanted} (default {defaults[key]!r})")
    return cls(**(params or {}))


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    return isinstance(value, type(default))
