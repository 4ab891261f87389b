"""A typed registry: objects by name, filled when its package's modules are imported at the first lookup."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Generic, TypeVar

from .errors import BadInput
from .names import unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Objects of one `kind`, by name.

    Registering is idempotent: an object from the same module and qualified name takes the place of the earlier one,
    since a module may be imported twice (pytest, reloading); another object under the same name is refused.

    Args:
        kind: the word that error messages use ("pass", "device").
        load: called once, before the first lookup, to import the modules that register things.

    >>> colours: Registry[int] = Registry("colour")
    >>> colours.register("red", 1)
    1
    >>> colours.get("red"), colours.names()
    (1, ('red',))
    """

    def __init__(self, kind: str, *, load: Callable[[], object] | None = None) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._load = load
        self._lock = threading.RLock()

    def register(self, name: str, item: T) -> T:
        """Put `item` under `name` and return it; raises BadInput where another object has that name."""
        held = self._items.get(name)
        if held is not None and not _same(held, item):
            places = f"{_origin(held)} and {_origin(item)}"
            raise BadInput(f"two of the kind {self.kind!r} are named {name!r}: {places}; rename one.")
        self._items[name] = item
        return item

    def get(self, name: str) -> T:
        """Return what stands under `name`; raises BadInput with the nearest name where nothing does."""
        self._ensure_loaded()
        if name not in self._items:
            raise unknown(self.kind, name, self._items)
        return self._items[name]

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        self._ensure_loaded()
        return tuple(sorted(self._items))

    def items(self) -> Mapping[str, T]:
        """Return a read-only view of what stands under each name, sorted by name."""
        return MappingProxyType({name: self._items[name] for name in self.names()})

    def __contains__(self, name: object) -> bool:
        self._ensure_loaded()
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def _ensure_loaded(self) -> None:
        with self._lock:
            load, self._load = self._load, None  # cleared first: a lookup while loading must not load again
            if load is None:
                return
            try:
                load()
            except BaseException:
                self._load = load
                raise


def modules_of(package: str) -> Callable[[], None]:
    """Return a loader that imports every module of `package`, and of its sub-packages, in order of name."""

    def load() -> None:
        path = importlib.import_module(package).__path__
        for module in sorted(found.name for found in pkgutil.walk_packages(path, prefix=f"{package}.")):
            importlib.import_module(module)

    return load


def entry_points_of(group: str) -> Callable[[], None]:
    """Return a loader that imports what installed packages offer under the entry point `group`, in order of name.

    The loader raises BadInput, naming the package, where one of them cannot be imported.
    """

    def load() -> None:
        for point in sorted(entry_points(group=group), key=lambda point: point.name):
            try:
                point.load()
            except Exception as error:
                package = point.dist.name if point.dist is not None else "an installed package"
                raise BadInput(
                    f"{package} offers {point.name!r} under {group}, and {point.value} cannot be imported: {error!r}; "
                    "mend or uninstall it."
                ) from error

    return load


def both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    """Return a loader that runs one loader and then another."""

    def load() -> None:
        first()
        second()

    return load


def _same(held: object, item: object) -> bool:
    if hasattr(item, "__qualname__"):
        return _origin(held) == _origin(item)
    return type(held) is type(item) and held == item


def _origin(item: object) -> str:
    named = item if hasattr(item, "__qualname__") else type(item)
    return f"{named.__module__}.{getattr(named, '__qualname__', '')}"
