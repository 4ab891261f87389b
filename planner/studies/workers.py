"""Workers of one study: signs of life, and trials that are done again when their worker dies.

Every running trial has a heartbeat in the storage and the name of its worker. A trial whose worker is known to be dead,
or whose heartbeat has stopped, is failed and queued again with the parameters that it had.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

GRACE = 3
"""A worker counts as dead after so many heartbeats that did not come."""

_PAUSE_S = 0.2
_WORKER = "worker"
_RETRIED = "retry_history"  # the system attribute in which Optuna's own retry callback lists what a trial replaces


def worker_name() -> str:
    """This process among all: host, process id, and when it started, since ids are used again."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


@contextmanager
def beating(study: optuna.Study, trial: optuna.Trial) -> Iterator[None]:
    """Keep the trial's heartbeat going while it runs here; nothing where the study is in memory."""
    interval = _interval(study)
    if interval is None:
        yield
        return
    storage: Any = study._storage  # Optuna beats by itself in `optimize` only, not between ask and tell
    trial.set_user_attr(_WORKER, worker_name())
    storage.record_heartbeat(trial._trial_id)
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(storage, trial._trial_id, interval, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def turn(study: optuna.Study, trials: int) -> int | None:
    """Wait until this worker is needed: the number of trials ended or running, or None once `trials` have ended.

    While others run the last of them this waits, so that a trial whose worker dies is taken over.
    """
    while True:
        reclaim(study)
        ended, running = _count(study, "COMPLETE", "PRUNED"), _count(study, "RUNNING")
        if ended >= trials:
            return None
        if ended + running < trials:
            return ended + running
        time.sleep(_PAUSE_S)


def reclaim(study: optuna.Study) -> None:
    """Fail and queue again every running trial whose worker is dead, and every failed one that nothing replaced."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental in Optuna
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if _orphaned(study, trial):
            _replace(study, trial)


def requeue(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Queue a failed trial again with the parameters that it had; it says which trials it replaces."""
    import optuna

    kept = {name: value for name, value in trial.user_attrs.items() if name != _WORKER}
    history = [*trial.system_attrs.get(_RETRIED, ()), trial.number]
    again = optuna.create_trial(
        state=optuna.trial.TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=kept,
        system_attrs={**trial.system_attrs, _RETRIED: history},
    )
    study.add_trial(again)


def requeue_lost(study: optuna.Study) -> None:
    """Queue failed trials again that nothing replaced: their worker died between failing and replacing them.

    Only the worker that opens a study does this, or two would replace the same trial; what failed just now is left to
    whoever failed it.
    """
    import optuna

    trials = study.get_trials(deepcopy=False)
    replaced = {number for trial in trials for number in trial.system_attrs.get(_RETRIED, ())}
    for trial in trials:
        failed = trial.state == optuna.trial.TrialState.FAIL and trial.number not in replaced
        if failed and _silent(study, trial.datetime_complete):
            requeue(study, trial)


def _replace(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Fail an orphan and queue it again, unless another worker was quicker."""
    import optuna

    try:
        failed = study._storage.set_trial_state_values(trial._trial_id, state=optuna.trial.TrialState.FAIL)
    except optuna.exceptions.UpdateFinishedTrialError:
        return
    if failed:
        requeue(study, study._storage.get_trial(trial._trial_id))


def _orphaned(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
    """Whether the trial's worker is known to be dead: a process of this machine, or one that never said its name."""
    name: str | None = trial.user_attrs.get(_WORKER)
    if name is None:
        return _silent(study, trial.datetime_start)
    host, process, started = name.rsplit(":", 2)
    return host == socket.gethostname() and _started(int(process)) != started


def _silent(study: optuna.Study, since: datetime | None) -> bool:
    """Whether `since` is longer ago than a living worker would keep silent."""
    return since is not None and datetime.now() - since > timedelta(seconds=GRACE * (_interval(study) or 0))


def _interval(study: optuna.Study) -> int | None:
    """Seconds between heartbeats, None where the storage knows none (in memory)."""
    ask: Any = getattr(study._storage, "get_heartbeat_interval", None)
    return None if ask is None else ask()


def _beat(storage: Any, trial_id: int, interval: int, stop: threading.Event) -> None:
    while not stop.wait(interval):
        storage.record_heartbeat(trial_id)


def _started(process: int) -> str:
    """When a process of this machine started, in clock ticks since boot; empty where it does not run."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return _running_elsewhere(process)
    state, *fields = text.rsplit(")", 1)[1].split()
    return "" if state == "Z" else fields[18]


def _running_elsewhere(process: int) -> str:
    """Systems without /proc: whether the process runs, its start left open."""
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(process, 0)
    except OSError:
        return ""
    return "0"


def _count(study: optuna.Study, *states: str) -> int:
    import optuna

    wanted = tuple(optuna.trial.TrialState[state] for state in states)
    return len(study.get_trials(deepcopy=False, states=wanted))
