"""The training loop that every stage shares: optimisers, schedule, log, checkpoints, resume."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..common.files import write_whole
from .batches import Batch


class Stage(Protocol):
    """What the loop asks of a stage: an ``nn.Module`` whose forward returns the loss and numbers to log."""

    batches: Dataset[Batch]

    def __call__(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]: ...


@dataclass(frozen=True)
class Budget:
    """How long a stage trains: a number of steps, or minutes on the clock (then not reproducible to the step)."""

    steps: int = 0
    minutes: float = 0.0

    def progress(self, step: int, seconds: float) -> float:
        """Return the fraction that is spent."""
        return step / self.steps if self.steps else seconds / 60 / self.minutes


@dataclass
class Run:
    """Where a run stands: what a checkpoint holds beside weights and optimiser states."""

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


def optimisers(module: nn.Module, *, rate: float, weight_decay: float = 0.05) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside transformer layers and AdamW for everything else that trains.

    Muon is from Jordan et al. 2024; its update is scaled to AdamW's (arXiv:2502.16982), so one rate serves both.
    """
    trained = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
    inside = {name for name, value in trained if value.ndim == 2 and (".layers." in name or ".blocks." in name)}
    hidden = [value for name, value in trained if name in inside]
    others = [value for name, value in trained if name not in inside]
    decayed, plain = [p for p in others if p.ndim > 1], [p for p in others if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))]
    if hidden:
        made.append(torch.optim.Muon(hidden, lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
    return made


def learning_rate(rate: float, step: int, progress: float, *, warmup: int = 50) -> float:
    """Return the rate: linear warm-up, then a cosine down to 3 % of the peak.

    >>> learning_rate(1.0, 49, 0.0), round(learning_rate(1.0, 999, 1.0), 2)
    (1.0, 0.03)
    """
    cosine = 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return rate * min(1.0, (step + 1) / warmup) * cosine


def train(
    stage: Any,
    budget: Budget,
    *,
    rate: float,
    path: Path,
    device: str = "cpu",
    resume: bool = False,
    workers: int = 1,
    log_every: int = 25,
    save_every: float = 120.0,
) -> Run:
    """Train ``stage`` until the budget is spent; leave its weights and state at ``path``.

    bf16 autocast, gradient norm clipped at 1. With ``resume`` the run goes on from ``path`` where it exists.
    """
    torch.set_flush_denormal(True)  # tiny gradients cost a hundred times as much otherwise
    stage.to(device).train()
    steppers, run = optimisers(stage, rate=rate), Run()
    if resume and path.exists():
        run = load_state(path, stage, steppers, device=device)
    began = time.monotonic() - run.seconds
    saved, window = time.monotonic(), []
    for batch in _stream(stage.batches, run.step, workers):
        progress = budget.progress(run.step, time.monotonic() - began)
        if progress >= 1:
            break
        for group in (group for stepper in steppers for group in stepper.param_groups):
            group["lr"] = learning_rate(rate, run.step, progress)
        loss, numbers = _step(stage, {key: value.to(device) for key, value in batch.items()}, progress, steppers)
        window.append({"loss": loss, **numbers})
        run.step, run.seconds = run.step + 1, time.monotonic() - began
        if run.step <= 50:
            run.losses.append(float(loss))
        if run.step % log_every == 0:
            _log(run, window)
            window = []
        if time.monotonic() - saved > save_every:
            save_state(path, stage, steppers, run)
            saved = time.monotonic()
    save_state(path, stage, steppers, run)
    torch.set_flush_denormal(False)
    return run


def _step(
    stage: Any, batch: Batch, progress: float, steppers: list[torch.optim.Optimizer]
) -> tuple[Tensor, dict[str, Tensor]]:
    with torch.autocast(batch["pixels"].device.type, torch.bfloat16):
        loss, numbers = stage(batch, progress)
    loss.backward()
    nn.utils.clip_grad_norm_([p for p in stage.parameters() if p.grad is not None], 1.0)
    for stepper in steppers:
        stepper.step()
        stepper.zero_grad()
    return loss.detach(), numbers


def _stream(batches: Dataset[Batch], first: int, workers: int) -> Iterator[Batch]:
    steps = range(first, 10_000_000)
    if workers == 0:
        return (batches[step] for step in steps)
    return iter(DataLoader(batches, batch_size=None, sampler=steps, num_workers=workers, prefetch_factor=4))


def _log(run: Run, window: list[dict[str, Tensor]]) -> None:
    means = {key: torch.stack([row[key].float() for row in window]).nanmean().item() for key in window[-1]}
    numbers = "  ".join(f"{key} {value:.3f}" for key, value in means.items())
    print(f"step {run.step}  {run.seconds:.0f} s  {numbers}", flush=True)


def save_state(path: Path, stage: nn.Module, steppers: list[torch.optim.Optimizer], run: Run) -> None:
    """Write weights, optimiser states and progress, whole or not at all."""
    buffer = io.BytesIO()
    states = [stepper.state_dict() for stepper in steppers]
    torch.save({"weights": stage.state_dict(), "optimisers": states, "run": vars(run)}, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())


def load_state(path: Path, stage: nn.Module, steppers: list[torch.optim.Optimizer], *, device: str) -> Run:
    """Read back what ``save_state`` wrote and return how far the run had come."""
    state = torch.load(path, map_location=device, weights_only=True)
    stage.load_state_dict(state["weights"])
    for stepper, values in zip(steppers, state["optimisers"], strict=True):
        stepper.load_state_dict(values)
    return Run(**state["run"])
