"""Several workers on a real PostgreSQL: one is killed in the middle of a trial, another joins late, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import pytest
from postgres_cluster import cluster, missing

from foveate.planner.studies.storage import storage_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

TRIALS = 40
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="the PostgreSQL driver psycopg is not installed")
    with cluster() as url:
        yield url


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """A database of the test's own."""
    import psycopg

    name = f"case{abs(hash(request.node.name))}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.rsplit('/', 1)[0]}/{name}"


@dataclass
class Workers:
    """The processes of one study, killed at the end whatever happens."""

    url: str
    log: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, role: str, *, host: str = "here") -> subprocess.Popen[str]:
        script = str(Path(__file__).parent / "worker.py")
        command = [sys.executable, script, role, self.url, str(self.log), str(TRIALS), host]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONSAFEPATH": "", "OMP_NUM_THREADS": "1"}
        )
        self.running.append(process)
        return process

    def logged(self, process: subprocess.Popen[str], word: str) -> bool:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return f"{process.pid} {word}" in lines

    @cached_property
    def storage(self) -> Any:
        return storage_of(self.url)

    def study(self) -> optuna.Study:
        return optuna.load_study(study_name="foveate", storage=self.storage)


@pytest.fixture
def workers(url: str, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(url, tmp_path / "workers.log")
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
            process.communicate()
    made.storage.engine.dispose()


def until(holds: Callable[[], bool], *processes: subprocess.Popen[str]) -> None:
    """Wait until something holds; fail where one of `processes` ends before."""
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        for process in processes:
            assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < ends, "nothing happened for too long"
        time.sleep(0.05)


def trials_of(study: optuna.Study, *states: str) -> list[Any]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in states]


def begun(workers: Workers) -> bool:
    """Whether the first worker has begun to queue and run trials."""
    try:
        return len(trials_of(workers.study(), "COMPLETE")) > 0
    except KeyError:
        return False


@pytest.mark.timeout(400)
@pytest.mark.parametrize("host", ["here", "another-machine"])
def test_a_killed_workers_trial_is_taken_over_and_a_third_may_join_late(workers: Workers, host: str) -> None:
    """On this machine the dead process is looked up; on another one its heartbeat stops."""
    first = workers.start("first")
    until(lambda: begun(workers), first)
    pause = workers.log.with_suffix(".pause")
    pause.touch()  # or the first worker would be done before the others have imported torch
    victim = workers.start("hangs", host=host)
    until(lambda: workers.logged(victim, "hangs"), first, victim)
    held = [t for t in trials_of(workers.study(), "RUNNING") if f":{victim.pid}:" in t.user_attrs.get("worker", "")]
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    late = workers.start("joins")
    until(lambda: workers.logged(late, "judges"), first, late)
    pause.unlink()
    for process in (first, late):
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
    study = workers.study()
    assert len(held) == 1
    assert_nothing_lost(study, killed=held[0].number)
    assert any(f":{late.pid}:" in t.user_attrs["worker"] for t in trials_of(study, "COMPLETE", "PRUNED"))


def assert_nothing_lost(study: optuna.Study, *, killed: int) -> None:
    """Every trial asked for has ended once, and the killed one was done again, once, with the same parameters."""
    ended, failed = trials_of(study, "COMPLETE", "PRUNED"), trials_of(study, "FAIL")
    assert not trials_of(study, "RUNNING")
    assert TRIALS <= len(ended) <= TRIALS + 1  # two workers may take the last trial but one at the same moment
    assert [trial.number for trial in failed] == [killed]
    again = [trial for trial in ended if killed in trial.system_attrs.get("retry_history", ())]
    assert len(again) == 1
    assert again[0].params.items() >= failed[0].params.items()
    assert all(trial.user_attrs.get("worker") for trial in ended)
