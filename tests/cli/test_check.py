"""`foveate check`: what it prints in each format, its exit codes, and what makes a plan stale."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import xmlschema
import yaml

from foveate.cli.verdict_annotations import github
from foveate.cli.verdict_junit import junit
from foveate.cli.verdict_markdown import markdown
from foveate.cli.verdicts import Checked, exit_code
from foveate.common.errors import BadInput
from foveate.planner.gating.gate import Verdict

from .conftest import Foveate

WritePlan = Callable[..., Path]
SCHEMA = Path(__file__).parent / "junit.xsd"
ANNOTATION = re.compile(r"::(error|warning|notice) file=[^:,]+,line=\d+,title=[^:,]+::[^\r\n]+")
HELD = Verdict("held", "ttft<=60%", 10.0, 12.0, (9.9, 10.1), "measure", (0.5, 0.49, 0.51))
BROKEN = Verdict("broken", "memory<=1GiB", 2.0**31, 2.0**30, (2.0**31, 2.0**31), "predict")
UNDECIDED = Verdict("undecided", "tpot<=5ms", 5.0, 5.0, (4.9, 5.1), "measure")
HOSTILE = 'a<b>&"c"|`d`\n::error::%,e\x00.yaml'
STALE = Checked("stale.yaml", error=BadInput("stale.yaml, line 4: unknown pass 'x'; write another."))


@pytest.fixture
def predicted(embedded: None, write_plan: WritePlan) -> Path:
    """A plan that says all that a predicted check needs."""
    plan = write_plan()
    plan.write_text(
        plan.read_text()
        + "device: {name: generic-cpu, dtype: float32, profile: prior}\nbudget: ['memory<=12GiB', 'ttft<=500%']\n"
    )
    return plan


def test_a_predicted_check_needs_no_weights(foveate: Foveate, predicted: Path) -> None:
    result = foveate("check", predicted, "--model", "testbed", "--format", "json")
    data = json.loads(result.out)
    assert result.code == 0, result.err
    assert set(data) == {"verdict", "budget", "value_ms", "limit_ms", "interval", "mode", "ratio", "checks"}
    assert [(row["budget"], row["verdict"]) for row in data["checks"]] == [
        ("memory<=12GiB", "held"),
        ("ttft<=500%", "held"),
    ]


@pytest.mark.parametrize("arguments", [["--device", "h100-sxm"], ["--device", "l4", "--dtype", "float16"]])
def test_another_device_may_be_named(foveate: Foveate, predicted: Path, arguments: list[str]) -> None:
    result = foveate("check", predicted, "--model", "testbed", "--budget", "ttft<=120ms", *arguments)
    assert result.code == 0, result.err
    assert "ttft<=120ms" in result.out
    assert "memory<=" in result.out


def test_a_measured_check_times_the_model(foveate: Foveate, predicted: Path) -> None:
    options = ["--model", "testbed", "--measure", "--rounds", "3", "--budget", "ttft<=1%"]
    result = foveate("check", predicted, *options)
    assert result.code == 1
    assert "ttft<=1% is broken: measured" in result.out


def test_the_model_is_the_plans_own_where_none_is_given(foveate: Foveate, predicted: Path) -> None:
    assert "--model" in foveate("check", predicted).sentence
    from foveate import trace
    from foveate.testbed import checkpoint_path

    named = trace(checkpoint_path("image"))
    record = {"name": "testbed", "type": named.model_type, "fingerprint": named.fingerprint}
    predicted.write_text(predicted.read_text() + f"model: {json.dumps(record)}\n")
    assert foveate("check", predicted).code == 0


def test_a_plan_for_another_model_is_stale(foveate: Foveate, predicted: Path) -> None:
    predicted.write_text(predicted.read_text() + "model: {name: other, type: llava, fingerprint: 'sha256:0'}\n")
    result = foveate("check", predicted, "--model", "testbed")
    assert result.code == 2
    assert "the plan is for other" in result.sentence


def test_a_pass_that_no_longer_exists_names_its_line_in_every_format(foveate: Foveate, predicted: Path) -> None:
    predicted.write_text(predicted.read_text().replace("uniform", "unifrm"))
    for name, words in (
        ("table", ""),
        ("github", f"file={predicted},line=3,"),
        ("junit", "<error"),
        ("json", "errors"),
    ):
        result = foveate("check", predicted, "--model", "testbed", "--format", name)
        assert result.code == 2
        assert "did you mean 'uniform'" in result.sentence
        assert words in result.out


def test_several_plans_are_checked_at_once(foveate: Foveate, predicted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(predicted.read_text().replace("500%", "1%"))
    result = foveate("check", predicted, other, "--model", "testbed", "--format", "json")
    assert result.code == 1
    data = json.loads(result.out)
    assert (data["verdict"], data["budget"]) == ("broken", "ttft<=1%")
    assert [Path(row["plan"]).name for row in data["checks"]] == ["plan.yaml"] * 2 + ["other.yaml"] * 2


def test_all_files_are_written_beside_what_is_printed(foveate: Foveate, predicted: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("check.json", "junit.xml", "summary.md")}
    files["summary.md"].write_text("before\n")
    options = ["--json", files["check.json"], "--junit", files["junit.xml"], "--summary", files["summary.md"]]
    assert foveate("check", predicted, "--model", "testbed", "--format", "github", *options).code == 0
    assert json.loads(files["check.json"].read_text())["verdict"] == "held"
    xmlschema.validate(files["junit.xml"].read_text(), SCHEMA)
    assert files["summary.md"].read_text().startswith("before\n### foveate check")


def test_a_check_can_be_the_baseline_of_the_next(foveate: Foveate, predicted: Path, tmp_path: Path) -> None:
    main = tmp_path / "main.json"
    options = ["--model", "testbed", "--max-regression", "1%", "--min-delta", "0"]
    assert foveate("check", predicted, "--model", "testbed", "--json", main).code == 0
    assert foveate("check", predicted, *options, "--baseline", main).code == 0
    worse = tmp_path / "worse.yaml"
    worse.write_text(predicted.read_text().replace("keep: 0.25", "keep: 1.0"))
    for baseline in (main, predicted):
        result = foveate("check", worse, *options, "--baseline", baseline)
        assert result.code == 1, result.out
        assert f"101% of {baseline.name}" in result.out


@pytest.mark.parametrize("text", ["x", "-5%", "nan%", "2000%"])
def test_a_regression_that_is_no_percentage(foveate: Foveate, predicted: Path, text: str) -> None:
    result = foveate("check", predicted, "--model", "testbed", "--baseline", predicted, f"--max-regression={text}")
    assert result.code == 2
    assert "--max-regression" in result.sentence


def test_exit_codes_of_several_plans() -> None:
    def code(*verdicts: Verdict) -> int:
        return exit_code([Checked("a.yaml", (verdict,)) for verdict in verdicts])

    assert [code(HELD), code(HELD, UNDECIDED), code(UNDECIDED, BROKEN), code()] == [0, 3, 1, 0]


@pytest.mark.parametrize("name", ["plan.yaml", HOSTILE])
def test_junit_validates_and_counts(name: str) -> None:
    text = junit([Checked(name, (HELD, BROKEN, UNDECIDED), seconds=1.5), STALE])
    xmlschema.validate(text, SCHEMA)
    root = ElementTree.fromstring(text)
    assert [
        (suite.get("tests"), suite.get("failures"), suite.get("skipped"), suite.get("errors")) for suite in root
    ] == [
        ("4", "1", "1", "0"),
        ("1", "0", "0", "1"),
    ]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("5", "1", "1")
    outcomes = [case[0].tag if len(case) else "" for case in root.iter("testcase")]
    assert outcomes == ["", "system-out", "failure", "skipped", "error"]
    assert root[0].get("name") == name.replace("\x00", "\ufffd")


@pytest.mark.parametrize("name", ["plan.yaml", HOSTILE.replace("\x00", "")])
def test_annotations_have_the_form_that_the_runner_reads(name: str) -> None:
    lines = github([Checked(name, (HELD, BROKEN, UNDECIDED), line=7), STALE]).splitlines()
    assert all(ANNOTATION.fullmatch(line) for line in lines), lines
    assert [line.split()[0] for line in lines] == ["::error", "::error", "::warning", "::notice"]
    assert "line=4" in lines[0]
    assert ",line=7," in lines[1]
    read = re.search(r"file=([^,]+),", lines[1])
    assert read is not None
    assert _unescaped(read.group(1)) == name


def _unescaped(text: str) -> str:
    for code, character in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, character)
    return text


def test_the_summary_is_a_table_in_which_names_mean_nothing() -> None:
    text = markdown([Checked(HOSTILE, (HELD, BROKEN), line=7), STALE])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}
    assert "<b>" not in text
    assert "**broken**" in text
    assert "unknown pass" in text


def test_the_format_page_lists_the_keys(root: Path) -> None:
    page = (root / "docs" / "formats.md").read_text()
    for key in ("verdict", "budget", "value_ms", "limit_ms", "interval", "mode", "ratio", "checks", "against"):
        assert f'"{key}"' in page, key


def hook(root: Path) -> dict[str, Any]:
    (found,) = yaml.safe_load((root / ".pre-commit-hooks.yaml").read_text())
    return dict(found)


def test_the_pre_commit_hook_checks_the_plans_it_is_given(root: Path, foveate: Foveate, predicted: Path) -> None:
    entry = hook(root)["entry"].split()
    assert entry[0] == "foveate"
    assert re.search(hook(root)["files"], "plans/llava.plan.yaml")
    assert not re.search(hook(root)["files"], "docs/config.yaml")
    assert foveate(*entry[1:], "--model", "testbed", predicted).code == 0
    predicted.write_text(predicted.read_text().replace("500%", "1%"))
    assert foveate(*entry[1:], "--model", "testbed", predicted).code == 1
