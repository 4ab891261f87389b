"""A small discrete-event simulation of one device that serves a closed loop of clients: the oracle of `closed_loop`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Request:
    """One request: who asked and when, when its first token came, how many tokens it still needs."""

    client: int
    arrived: float
    remaining: int
    first_token: float = 0.0


@dataclass
class Device:
    """Runs one piece of work at a time: the oldest waiting prefill, else a decode step of everything that is running.

    Attributes:
        prefill_ms: time of a prefill. step_ms: time of a decode step, by the number of rows that it carries.
        new_tokens: tokens of an answer, by client.
    """

    prefill_ms: float
    step_ms: Callable[[int], float]
    new_tokens: Sequence[int]
    now: float = 0.0
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    ttft: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)

    def serve(self, *, starts: Sequence[float], until: int) -> float:
        """Serve clients that first ask at `starts` until `until` requests are done; requests a second, later half."""
        arriving = deque(sorted((Request(c, at, self.new_tokens[c]) for c, at in enumerate(starts)), key=_arrival))
        half = 0.0
        while len(self.latency) < until:
            while arriving and arriving[0].arrived <= self.now:
                self.waiting.append(arriving.popleft())
            if self.waiting:
                self._prefill(self.waiting.popleft())
            elif self.running:
                self._step()
            else:
                self.now = arriving[0].arrived
            half = half or (self.now if len(self.latency) >= until // 2 else 0.0)
        return 1e3 * (len(self.latency) - until // 2) / (self.now - half)

    def medians(self) -> tuple[float, float]:
        """Median time to first token and of a whole answer, over the later half of the requests."""
        return median(self.ttft[len(self.ttft) // 2 :]), median(self.latency[len(self.latency) // 2 :])

    def _prefill(self, request: Request) -> None:
        self.now += self.prefill_ms
        request.first_token, request.remaining = self.now, request.remaining - 1
        self.ttft.append(self.now - request.arrived)
        self.running.append(request)
        self._retire()

    def _step(self) -> None:
        self.now += self.step_ms(len(self.running))
        for request in self.running:
            request.remaining -= 1
        self._retire()

    def _retire(self) -> None:
        """Answers that are complete leave, and their clients ask again at once."""
        for request in [r for r in self.running if r.remaining <= 0]:
            self.running.remove(request)
            self.latency.append(self.now - request.arrived)
            self.waiting.append(Request(request.client, self.now, self.new_tokens[request.client]))


def _arrival(request: Request) -> float:
    return request.arrived
