"""Where tokens leave an encoder: the pass at its output runs, and what follows gets the form that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .layers import alike, as_rows

if TYPE_CHECKING:
    from .sites import EncoderSites


def exit_hooks(owner: EncoderSites) -> list[Any]:
    """Register the hooks of the exit that the encoder's flow has; returns their handles."""
    flow, handles = owner.flow, []
    if flow.mergers:
        handles.append(flow.mergers[-1].register_forward_pre_hook(_EnterProjector(owner)))
        return handles + [m.register_forward_hook(_LeaveMerger(owner), prepend=True) for m in flow.mergers]
    if flow.restored is not None:
        handles.append(flow.restored.register_forward_hook(_Restore(owner), prepend=True))
        if flow.projector is not None:
            handles.append(flow.projector.register_forward_pre_hook(_PickUnits(owner)))
            handles.append(flow.projector.register_forward_hook(_PutUnits(owner)))
        return handles
    if flow.projector is not None:
        handles.append(flow.projector.register_forward_pre_hook(_EnterProjector(owner)))
        handles.append(flow.projector.register_forward_hook(_LeaveProjector(owner)))
        return handles
    return [flow.encoder.register_forward_hook(_LeaveEncoder(owner))]


class _Exit:
    """A hook of an encoder's exit."""

    def __init__(self, owner: EncoderSites) -> None:
        self.owner = owner
        self.at_output = owner.at("encoder.output")

    def compress(self, states: torch.Tensor) -> torch.Tensor:
        """The states that the passes at the output leave."""
        return self.owner.compress(self.at_output, states)


class _EnterProjector(_Exit):
    """Before a projector or merger that takes what remains."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> Any:
        run = self.owner.run
        if run is None:
            return None
        rows = as_rows(args[0])
        run.open(rows).cut(rows.shape[1])
        return (self.compress(args[0]), *args[1:])


class _LeaveProjector(_Exit):
    """The projected features at their places among all of the medium's; zeros stand where tokens were dropped."""

    def __call__(self, module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor | None:
        run = self.owner.run
        if run is None or not run.compressed:
            return None
        return run.opened.restored(output)


class _LeaveMerger(_Exit):
    """What a merger made of the groups that remain, at their places among all groups."""

    def __call__(self, module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor | None:
        run = self.owner.run
        if run is None or not run.compressed:
            return None
        size = run.opened.groups[0].units.tokens.shape[2]
        full = output.new_zeros(run.opened.length // size, output.shape[1])
        return full.index_copy(0, run.merge_groups(size), output)


class _Restore(_Exit):
    """After the module behind which every token must stand in its place again."""

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        run, reads = self.owner.run, self.owner.flow.reads
        if run is None:
            return None
        if isinstance(output, torch.Tensor):
            return self._full(output)
        if reads is None:
            output.last_hidden_state = self._full(output.last_hidden_state)
        else:
            states = list(output.hidden_states)
            states[reads] = self._full(states[reads])
            output.hidden_states = tuple(states)
        return output

    def _full(self, states: torch.Tensor) -> torch.Tensor:
        states = self.compress(states)
        run = self.owner.run
        assert run is not None
        return alike(run.opened.restored(as_rows(states)), states)


class _PickUnits(_Exit):
    """A projector that maps units one by one, (media, U, D) or (all units, D), gets those that remain."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> Any:
        run, features = self.owner.run, args[0]
        if run is None or not run.compressed:
            return None
        kept = features.reshape(-1, features.shape[-1])[run.opened.unit_ranks()]
        return (kept.view(*features.shape[:1], -1, features.shape[-1]) if features.ndim == 3 else kept, *args[1:])


class _PutUnits(_Exit):
    """Its output at the places of all units; zeros stand where units were dropped."""

    def __call__(self, module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor | None:
        run = self.owner.run
        if run is None or not run.compressed:
            return None
        flat = output.reshape(-1, output.shape[-1])
        full = flat.new_zeros(run.opened.unit_count(), flat.shape[1]).index_copy(0, run.opened.unit_ranks(), flat)
        return full.view(*output.shape[:1], -1, output.shape[-1]) if output.ndim == 3 else full


class _LeaveEncoder(_Exit):
    """Where nothing follows the encoder but its readers, its output itself is compressed."""

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        if self.owner.run is None:
            return None
        output.last_hidden_state = self.compress(output.last_hidden_state)
        return output
