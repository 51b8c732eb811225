"""Effects on the pages: what a unit causes beside its matches, and the form that has it measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.responses import RedirectResponse

from rosetta.interventions import Action, Effect
from rosetta.results import Match, Unit
from service.api.state import state_of
from service.queries import effects
from service.submit_effects import submit_effects
from service.web.jobs import refuse_other_sites
from service.web.pages import PageRoute

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_ORDER: tuple[Action, ...] = ("zero", "boost", "set")  # which is shown where several were measured
# Below this r, effects of matches can hardly be told from those of random units of the layer.
TELLING = 0.3


@dataclass(frozen=True)
class Caused:
    """What a unit causes in the units that it matches, or what causes it.

    Attributes:
        action: which intervention it is.
        own: the effect that says what the unit does to its own pixels; None: it was not changed itself.
    """

    action: Action
    own: Effect | None
    _found: dict[tuple[str, int], Effect]

    def of(self, match: Match) -> Effect | None:
        """The effect that was measured of a match."""
        return self._found.get((match.neighbour_model, match.neighbour_unit))


def caused(conn: sa.Connection, unit: Unit, probe: str) -> Caused | None:
    """What was measured of a unit and its matches on a probe set; None: nothing."""
    if not probe:
        return None
    found = effects.list_effects(conn, unit=f"{unit.model}/{unit.number}", probe=probe, limit=1000).items
    action = next((one for one in _ORDER if any(effect.action == one for effect in found)), None)
    if action is None:
        return None
    return _caused(unit, action, [effect for effect in found if effect.action == action])


def _caused(unit: Unit, action: Action, found: Sequence[Effect]) -> Caused:
    causing = [effect for effect in found if (effect.generator, effect.unit) == (unit.model, unit.number)]
    by_match = {(effect.neighbour_model, effect.neighbour_unit): effect for effect in causing}
    by_match |= {(effect.generator, effect.unit): effect for effect in found if effect not in causing}
    own = max(causing, key=lambda effect: effect.created_at, default=None)
    return Caused(action, own, by_match)


@router.post("/effects", dependencies=[Depends(refuse_other_sites)])
def measure(
    request: Request, generator: Annotated[str, Form()], probe: Annotated[str, Form()], unit: Annotated[int, Form()]
) -> Response:
    """Has the effects of a generator's units measured, and shows the job; the unit where that was done."""
    state = state_of(request)
    job = submit_effects(state.engine, state.celery, generator=generator, probe=probe)
    return RedirectResponse(f"/units/{generator}/{unit}#matches" if job.already_done else f"/jobs/{job.id}", 303)
