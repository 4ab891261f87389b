"""A worker of a shared study, for test_workers: `python worker.py ROLE URL LOG TRIALS HOST`.

ROLE is `first` (begins the study and queues), `joins` (as `foveate plan --join`) or `hangs` (joins, and stops in the
middle of its first trial). Every judgement is a line in LOG; while LOG.pause is there, the first worker waits in its
trial. The model is a cost model and a judge that knows, so that
what is tested is how the trials are shared.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from conftest import FEW, IMAGE_TOKEN, KnownJudge, TokenCost

import foveate
from foveate.ir.budget import Budget
from foveate.ir.plan import Plan
from foveate.planner.fidelity.fidelity import Fidelity
from foveate.planner.job import Job
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.studies import storage
from foveate.planner.studies.joining import join_job

_SECONDS = 0.05


@dataclass
class SlowJudge(KnownJudge):
    """A judge that takes its time, writes down what it judges, waits while it is told to, and may never come back."""

    log: Path = Path()
    hangs: bool = False
    waits: bool = False

    def judge(self, plan: Plan, **options: Any) -> Fidelity | None:
        with self.log.open("a") as lines:
            lines.write(f"{os.getpid()} {'hangs' if self.hangs else 'judges'}\n")
        time.sleep(3600 if self.hangs else _SECONDS)
        while self.log.with_suffix(".pause").exists() and self.waits:
            time.sleep(_SECONDS)
        return super().judge(plan, **options)


def make_job(log: Path, role: str) -> Job:
    """A job over a small graph traced from a configuration."""
    from transformers import CLIPVisionConfig, LlavaConfig, Qwen3Config

    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=224, patch_size=14
    )
    text = Qwen3Config(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=64,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN)
    graph = foveate.trace(config, "image=1x224x224,text=16,new=4")
    budgets = (Budget.parse("ttft<=60%"),)
    judge = SlowJudge({}, log=log, hangs=role == "hangs", waits=role == "first")
    return Job(
        None, Solver(Space.of(graph, FEW), TokenCost(), budgets), budgets, (), (), lambda _: judge, measure=False
    )


def main() -> None:
    """Work until the study is complete."""
    role, url, log, trials, host = sys.argv[1:]
    storage.HEARTBEAT_S = 1
    socket.gethostname = lambda: host  # a worker on another machine, whose processes cannot be looked up
    job = make_job(Path(log), role)
    if role == "first":
        job.search(trials=int(trials), study=url)
    else:
        join_job(job, url)


if __name__ == "__main__":
    main()
