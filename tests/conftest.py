"""Which tests run, and a closing word about those that did not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

WHY = {
    "slow": "over 5 s each; run them with `make test-slow`",
    "gpu": "no NVIDIA GPU that torch can use; run them on such a machine with `make test-gpu`",
    "real_weights": "published weights: fetch them with `make real-data` into the folder that FOVEATE_REAL_DATA names",
}
# Without a GPU Triton's kernels run in its interpreter, which must be known before anything imports Triton: before
# the conftest of a folder that is named on the command line, too.
if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")
_LEFT_OUT = pytest.StashKey[dict[str, int]]()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository root, which is the package `foveate`."""
    return Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEFT_OUT] = dict.fromkeys(WHY, 0)
    # Nothing here may look for a hub: a test that does so fails at once instead of waiting for the network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if hasattr(config, "workerinput"):  # beside other workers, each takes one core
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs time, a GPU or weights, unless -m says which marks to run or a test is named outright."""
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return
    kept, left_out = [], []
    for item in items:
        mark = next((name for name in WHY if item.get_closest_marker(name)), None)
        if mark is None:
            kept.append(item)
            continue
        config.stash[_LEFT_OUT][mark] += 1
        left_out.append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that sums up what this worker left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[_LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Every worker collects the same tests, so any one of them knows what was left out."""
    config, found = node.config, getattr(node, "workeroutput", {}).get("left_out")  # type: ignore[attr-defined]
    if found is not None:
        config.stash[_LEFT_OUT] = found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for mark, count in config.stash[_LEFT_OUT].items():
        if count:
            terminalreporter.write_line(f"left out: {count} marked {mark!r}: {WHY[mark]}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and shutil.which("nvidia-smi") is None:
        pytest.skip("needs an NVIDIA GPU")
    if item.get_closest_marker("real_weights") and "FOVEATE_REAL_DATA" not in os.environ:
        pytest.skip("needs published weights: name their folder in FOVEATE_REAL_DATA")
