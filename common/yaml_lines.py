"""YAML that remembers its line numbers, so that every complaint names the line to mend."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from .errors import BadInput
from .files import read_text

KeyPath: TypeAlias = tuple[str | int, ...]

_FLOW_WIDTH = 88
# YAML 1.1 reads 2e12 as text, since it wants a dot; people and JSON do not.
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")


@dataclass(frozen=True)
class Located:
    """Plain data with the line on which each key or item begins.

    Attributes:
        data: dicts, lists and scalars.
        lines: 1-based line by key path; the path of the whole document is ().
        source: what to call the text in errors: the file's path, or a name such as "<text>".
    """

    data: Any
    lines: Mapping[KeyPath, int]
    source: str

    def line(self, path: KeyPath) -> int | None:
        """Return the line of `path`, or of its nearest ancestor that the text holds."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None

    def error(self, path: KeyPath, message: str, mend: str | None = None) -> BadInput:
        """Build the error for the value at `path`."""
        return BadInput.at(self.source, self.line(path), message, mend)


def load(path: str | os.PathLike[str]) -> Located:
    """Read a YAML file; raises BadInput naming the file and the line (see `parse`)."""
    return parse(read_text(path), source=os.fspath(path))


def parse(text: str, *, source: str = "<text>") -> Located:
    """Read YAML text into plain data and the line of every key.

    Raises:
        BadInput: the text is not YAML, a key is repeated or is not plain, or it uses aliases or tags of Python objects.

    >>> found = parse("a: 1\\nb:\\n- c: 2\\n")
    >>> found.data, found.line(("b", 0, "c"))
    ({'a': 1, 'b': [{'c': 2}]}, 3)
    """
    with _refusals(source):
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Located(None, {(): 1}, source)
        lines = dict(_walk(loader, node, ()))
        return Located(loader.construct_document(node), lines, source)


def dump(data: Any) -> str:
    """Write plain data as YAML: keys in the order given, short lists of scalars on one line.

    >>> print(dump({"sites": ["a", "b"], "keep": 0.25, "params": {}}), end="")
    sites: [a, b]
    keep: 0.25
    params: {}
    """
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120
    )
    return text


@contextmanager
def _refusals(source: str) -> Iterator[None]:
    """Turn what the YAML reader raises into an error that names the file and the line."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadInput.at(source, mark.line + 1 if mark else None, error.problem or "this is not YAML") from error
    except (yaml.YAMLError, ValueError) as error:
        raise BadInput.at(source, None, f"this is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise BadInput.at(source, None, "it is nested too deeply", "flatten it") from error


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # Aliases can build loops and exponential documents, and one value would have two lines.
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed; write the value out", problem_mark=mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_list(dumper: yaml.SafeDumper, items: list[Any] | tuple[Any, ...]) -> yaml.Node:
    scalars = all(item is None or isinstance(item, str | int | float) for item in items)
    short = scalars and sum(len(str(item)) + 2 for item in items) <= _FLOW_WIDTH
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=short)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # PyYAML writes these line breaks as they are in single quotes, and reads them back as spaces.
    style = '"' if any(char in text for char in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))
_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(tuple, _represent_list)


def _walk(loader: _Loader, node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(loader, item, (*path, index))
    elif isinstance(node, yaml.MappingNode):
        yield from _walk_mapping(loader, node, path)


def _walk_mapping(loader: _Loader, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    seen: dict[object, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=key_node.start_mark)
        key = loader.construct_object(key_node)
        if key in seen:
            problem = f"the key {key!r} is already on line {seen[key]}; keep one of the two"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
        seen[key] = line
        yield from _walk(loader, value_node, (*path, key))
        yield (*path, key), line  # last, so that a key's line is the key's own, not its value's
