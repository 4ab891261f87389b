from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foveate.common.errors import BadInput
from foveate.common.registry import Registry, modules_of


def _class(name: str, module: str) -> type:
    return type(name, (), {"__module__": module})


def test_the_same_class_imported_again_takes_the_place_of_the_first() -> None:
    registry: Registry[type] = Registry("pass")
    first, second = _class("ToMe", "foveate.passes.tome"), _class("ToMe", "foveate.passes.tome")
    registry.register("tome", first)
    assert registry.register("tome", second) is second
    assert registry.get("tome") is second
    assert len(registry) == 1


def test_another_class_of_the_same_name_is_refused_with_both_places() -> None:
    registry: Registry[type] = Registry("pass")
    registry.register("tome", _class("ToMe", "a"))
    with pytest.raises(BadInput, match=r"named 'tome': a\.ToMe and b\.ToMe"):
        registry.register("tome", _class("ToMe", "b"))


def test_values_are_compared_by_equality() -> None:
    registry: Registry[tuple[int, ...]] = Registry("shape")
    registry.register("small", (1, 2))
    registry.register("small", (1, 2))
    with pytest.raises(BadInput, match="rename one"):
        registry.register("small", (1, 3))


def test_an_unknown_name_gets_the_nearest() -> None:
    registry: Registry[int] = Registry("device")
    registry.register("h100-sxm", 1)
    with pytest.raises(BadInput, match="unknown device 'h100-sxn': did you mean 'h100-sxm'"):
        registry.get("h100-sxn")


def test_loading_happens_once_at_the_first_lookup_and_again_after_a_failure() -> None:
    calls: list[int] = []

    def load() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("broken module")
        registry.register("red", 1)
        assert "blue" not in registry  # a lookup while loading neither loops nor locks

    registry: Registry[int] = Registry("colour", load=load)
    assert calls == []
    with pytest.raises(RuntimeError, match="broken module"):
        registry.names()
    assert registry.names() == ("red",)
    assert list(registry) == ["red"]
    assert dict(registry.items()) == {"red": 1}
    assert calls == [1, 1]


def test_modules_of_imports_every_module_below_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "methods_for_test" / "deep"
    deep.mkdir(parents=True)
    for file in (deep.parent / "__init__.py", deep.parent / "one.py", deep / "__init__.py", deep / "two.py"):
        file.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    modules_of("methods_for_test")()
    loaded = {name for name in sys.modules if name.startswith("methods_for_test.")}
    assert loaded == {"methods_for_test.one", "methods_for_test.deep", "methods_for_test.deep.two"}
