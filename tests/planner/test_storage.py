"""Studies that outlive their workers: heartbeats, orphans, and trials that are queued again exactly once."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import foveate
from foveate.common.errors import BadInput
from foveate.planner.studies import storage, workers
from foveate.planner.studies.storage import storage_of
from foveate.planner.studies.study import best_of, join_study, open_study, quiet, require_sampler
from foveate.planner.studies.workers import beating, reclaim, requeue, requeue_lost, turn, worker_name

QUESTION = {"seed": 0}


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    monkeypatch.setattr(storage, "HEARTBEAT_S", 1)
    return open_study(str(tmp_path / "study.db"), question=QUESTION)


def asked(study: optuna.Study) -> optuna.Trial:
    with quiet():
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
    return trial


def dead_worker() -> str:
    """The name of a process of this machine that ran and ended."""
    script = "from foveate.planner.studies.workers import worker_name; print(worker_name())"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_a_worker_is_told_apart_from_a_later_process_with_its_number() -> None:
    _, process, started = worker_name().rsplit(":", 2)
    assert workers._started(int(process)) == started
    assert dead_worker() != worker_name()


def test_a_trial_of_a_living_worker_is_left_alone(study: optuna.Study) -> None:
    with beating(study, asked(study)):
        reclaim(study)
        assert states(study) == ["RUNNING"]


def test_a_trial_of_a_dead_worker_is_queued_again_once_with_its_parameters(study: optuna.Study) -> None:
    trial = asked(study)
    trial.set_user_attr("worker", dead_worker())
    reclaim(study)
    reclaim(study)
    assert states(study) == ["FAIL", "WAITING"]
    again = study.get_trials(deepcopy=False)[1]
    assert again.params == trial.params
    assert again.system_attrs["retry_history"] == [0]
    assert "worker" not in again.user_attrs
    assert asked(study).params == trial.params


def test_a_heartbeat_that_stopped_elsewhere_gives_the_trial_up(study: optuna.Study, monkeypatch: Any) -> None:
    trial = asked(study)
    trial.set_user_attr("worker", "another-machine:1:1")
    backend: Any = study._storage
    backend.record_heartbeat(trial._trial_id)
    reclaim(study)
    assert states(study) == ["RUNNING"]
    monkeypatch.setattr(type(backend._backend), "_get_stale_trial_ids", lambda self, number: [trial._trial_id])
    reclaim(study)
    assert states(study) == ["FAIL", "WAITING"]


def test_a_trial_that_never_named_its_worker_is_given_up_after_a_silence(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(study)
    reclaim(study)
    assert states(study) == ["RUNNING"]

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(minutes=1)

    monkeypatch.setattr(workers, "datetime", Later)
    reclaim(study)
    assert states(study) == ["FAIL", "WAITING"]


def test_a_failed_trial_that_nothing_replaced_is_found_when_the_study_is_opened(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        study.tell(asked(study), state=TrialState.FAIL)
    requeue(study, study.get_trials(deepcopy=False)[0])
    monkeypatch.setattr(workers, "GRACE", -1)
    requeue_lost(study)
    requeue_lost(study)
    replaced = [t.system_attrs["retry_history"] for t in study.get_trials(deepcopy=False) if t.state.name == "WAITING"]
    assert replaced == [[0], [1]]


def test_turns_end_with_the_trials_asked_for(study: optuna.Study) -> None:
    for number in range(2):
        assert turn(study, 2) == number
        study.tell(asked(study), 0.5)
    assert turn(study, 2) is None


def test_a_worker_waits_for_the_last_trial_of_another_and_takes_it_over(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the other one lives there is nothing to do; when it has died its trial is this worker's."""
    trial, dead, waits = asked(study), dead_worker(), []
    trial.set_user_attr("worker", worker_name())

    def wait(seconds: float) -> None:
        waits.append(seconds)
        trial.set_user_attr("worker", dead)

    monkeypatch.setattr(workers.time, "sleep", wait)
    assert turn(study, 1) == 0
    assert len(waits) == 1
    assert states(study) == ["FAIL", "WAITING"]


def test_a_study_in_memory_has_no_heartbeat() -> None:
    study = open_study(None, question=QUESTION)
    with beating(study, asked(study)):
        pass
    assert storage_of(None) is None


def test_only_a_study_that_was_started_can_be_joined(tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    with pytest.raises(BadInput, match=r"no study at .* to join"):
        join_study(place, question=QUESTION)
    open_study(place, question=QUESTION)
    assert states(join_study(place, question=QUESTION)) == []
    with pytest.raises(BadInput, match="searches for something else"):
        join_study(place, question={"seed": 1})


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        storage_of("postgresql://anna:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
    assert "anna@127.0.0.1" in str(caught.value)


def test_a_study_that_cannot_be_read_keeps_its_password_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library says: that no server answers, or the address that it was given."""
    place = "postgresql://anna:secret@127.0.0.1:1/none"
    with pytest.raises(BadInput, match=r"anna@127\.0\.0\.1:1/none cannot be read") as caught:
        best_of(place, 5)
    assert "secret" not in str(caught.value)

    def repeats(**options: Any) -> None:
        raise RuntimeError(f"bad address {storage.url_of(place)}\nand more")

    monkeypatch.setattr(optuna, "create_study", repeats)
    monkeypatch.setattr("foveate.planner.studies.study.storage_of", lambda _: None)
    with pytest.raises(BadInput, match="cannot be opened: bad address") as caught:
        open_study(place, question=QUESTION)
    assert "secret" not in str(caught.value)
    assert str(caught.value).count("anna@127.0.0.1:1/none") == 2


def test_a_sampler_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="unknown sampler 'tpee': did you mean 'tpe'"):
        require_sampler("tpee")
    with pytest.raises(BadInput, match="choose one of nsga2, random, tpe"):
        foveate.plan("llava-1.5-7b", budget="ttft<=60%", device="l4", sampler="nonsense")
