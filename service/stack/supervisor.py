"""Keeps services alive: starts again what dies, ever more slowly, and gives up on what keeps dying."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rosetta.errors import RosettaError, Unavailable
from service.stack.children import Service

MAX_DEATHS = 5  # in a row
STEADY_S = 60.0  # whoever lived for so long begins anew
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 15.0

Tell = Callable[[str], None]


@dataclass
class _Watched:
    service: Service
    started_at: float
    deaths: int = 0
    start_at: float | None = None  # when it is to be started again


class Supervisor:
    """Services in the order in which they need each other; they stop in the reverse order.

    Example:
        supervisor.start(redis); supervisor.start(worker)
        while not stop.wait(0.5):
            supervisor.check()
        supervisor.stop()
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._watched: list[_Watched] = []

    def start(self, service: Service) -> None:
        """Starts a service and watches it from now on.

        Raises:
            Unavailable: when it does not start.
        """
        self._watched.append(_Watched(service, time.monotonic()))
        service.start()

    def check(self) -> None:
        """Starts again what has died and whose time has come. Call it often.

        Raises:
            Unavailable: when a service keeps dying.
        """
        for watched in self._watched:
            now = time.monotonic()
            if watched.start_at is not None:
                if now >= watched.start_at:
                    self._start_again(watched)
            elif not watched.service.alive:
                self._note_death(watched, watched.service.last_words())
            elif watched.deaths and now - watched.started_at > STEADY_S:
                watched.deaths = 0

    def stop(self) -> None:
        """Stops everything, the last one first; goes on when one does not stop, and says so."""
        for watched in reversed(self._watched):
            try:
                watched.service.stop()
            except RosettaError as error:
                self._tell(error.message)
        self._watched.clear()

    def _start_again(self, watched: _Watched) -> None:
        watched.started_at = time.monotonic()
        try:
            watched.service.start()
        except Unavailable as error:
            self._note_death(watched, error.message)
        else:
            watched.start_at = None

    def _note_death(self, watched: _Watched, why: str) -> None:
        name = watched.service.name
        watched.deaths += 1
        if watched.service.hopeless:
            raise Unavailable(f"the {name} gave up: {why}")
        if watched.deaths >= MAX_DEATHS:
            raise Unavailable(f"the {name} died {watched.deaths} times in a row, last time with {why}")
        delay = min(_FIRST_DELAY_S * 2 ** (watched.deaths - 1), _LONGEST_DELAY_S)
        watched.start_at = time.monotonic() + delay
        self._tell(f"the {name} died, {why}; it starts again in {delay:.1f} s")
