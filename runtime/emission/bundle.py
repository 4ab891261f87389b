"""Cutting functions out of `kernels/`, with all that they use, for a module that imports only torch and triton."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ... import kernels
from ...common.errors import InternalError

_FOLDER = Path(kernels.__path__[0])
_KNOWN_SIZES = re.compile(r"^(    (?:tokens|count|width)): tl\.tensor,$", re.MULTILINE)

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign


@dataclass(frozen=True)
class _Source:
    """One file: its lines, what it defines, and where other names come from."""

    lines: list[str]
    defined: dict[str, Definition]
    relative: dict[str, tuple[str, str]]
    absolute: dict[str, str]


@dataclass
class Bundle:
    """Definitions in an order in which each stands after what it uses, and the imports that they need.

    Attributes:
        given: names that whoever writes the module defines itself.
    """

    given: frozenset[str]
    imports: set[str] = field(default_factory=set)
    definitions: list[str] = field(default_factory=list)
    _homes: dict[str, str] = field(default_factory=dict)

    def add(self, module: str, name: str) -> None:
        """Cut `name` of the file `module` of `kernels/`, after all that it uses.

        Raises:
            InternalError: two files define the same name, or none does.
        """
        if name in self._homes or name in self.given:
            if self._homes.get(name, module) != module:
                raise InternalError(f"{name} is defined in kernels/{module}.py and {self._homes[name]}.py; rename one.")
            return
        source = _source(module)
        if name not in source.defined:
            raise InternalError(f"kernels/{module}.py defines no {name}.")
        self._homes[name] = module
        node = source.defined[name]
        for used in sorted(set(_names(node)) - {name}):
            if used in source.defined:
                self.add(module, used)
            elif used in source.relative:
                self.add(*source.relative[used])
            elif used in source.absolute:
                self.imports.add(source.absolute[used])
        self.definitions.append(_text(source, node))


@cache
def _source(module: str) -> _Source:
    text = (_FOLDER / f"{module}.py").read_text(encoding="utf-8")
    found = _Source(text.splitlines(), {}, {}, {})
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.defined[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.defined[node.targets[0].id] = node
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.relative.update({alias.name: (node.module or "", alias.name) for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            found.absolute.update({alias.name: f"from {node.module} import {alias.name}" for alias in node.names})
        elif isinstance(node, ast.Import):
            found.absolute.update({a.asname or a.name: ast.unparse(ast.Import([a])) for a in node.names})
    return found


def _names(node: ast.AST) -> Iterator[str]:
    """Names that running the definition looks up; annotations are text and need nothing."""
    for label, part in ast.iter_fields(node):
        if label in ("annotation", "returns"):
            continue
        for child in part if isinstance(part, list) else [part]:
            if isinstance(child, ast.AST):
                yield from _names(child)
    if isinstance(node, ast.Name):
        yield node.id


def _text(source: _Source, node: Definition) -> str:
    """The definition as it is written; a kernel takes the plan's sizes as constants and is compiled for them."""
    decorators = [] if isinstance(node, ast.Assign) else node.decorator_list
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    text = "\n".join(source.lines[first - 1 : node.end_lineno])
    return _KNOWN_SIZES.sub(r"\1: tl.constexpr,", text) if "tl.program_id" in text else text


def bundle(functions: Iterable[tuple[str, str]], *, given: Iterable[str] = ()) -> Bundle:
    """The `functions`, (file of `kernels/`, name), with all that they use but what is `given`."""
    made = Bundle(frozenset(given))
    for module, name in functions:
        made.add(module, name)
    return made
