"""The documentation: links lead somewhere, every command and benchmark is shown, and nothing names a machine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from foveate.cli.app import app

LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")


def pages(root: Path) -> list[Path]:
    return [*sorted((root / "docs").glob("*.md")), root / "README.md", root / "CONTRIBUTING.md", root / "CHANGELOG.md"]


def test_links_lead_somewhere(root: Path) -> None:
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in pages(root)
        for target in LINK.findall(page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_readme_leads_to_every_page(root: Path) -> None:
    text = (root / "README.md").read_text()
    assert [page.name for page in pages(root)[:-3] if f"docs/{page.name}" not in text] == []


def test_every_command_is_shown_with_what_it_prints(root: Path) -> None:
    text = (root / "docs" / "commands.md").read_text()
    shown = re.findall(r"^## foveate (\S+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    names = {found.name or getattr(found.callback, "__name__", "") for found in app.registered_commands}
    assert {name for name, _ in shown} == names
    for name, body in shown:
        assert re.search(rf"```console\n\$ foveate {name}[^\n]*\n(?!```)", body), name


@pytest.mark.parametrize("words", ["/work/", "/tmp/", "/home/", "/root/"])
def test_no_page_names_a_place_on_a_machine(root: Path, words: str) -> None:
    assert [page.name for page in pages(root) if words in page.read_text()] == []


def test_long_searches_are_asked_for_with_options_that_there_are(root: Path) -> None:
    """Those command lines are written by hand: each must be understood, down to what only the model could refuse."""
    _, section = (root / "docs" / "commands.md").read_text().split("\n## Long searches: ")
    lines = re.findall(r"^\$ foveate (.*)$", section, re.MULTILINE)
    assert len(lines) == 5
    command = typer.main.get_command(app)
    for line in lines:
        name, *words = shlex.split(line)
        found = command.commands[name].make_context(name, words)  # type: ignore[attr-defined]
        assert found.params["study"] or found.params["sensitivity"]
        assert found.params["join"] == (found.params["output"] is None)
