"""What a client does with interventions, blocking and with an event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rosetta import interventions
from rosetta.connection import Connection
from rosetta.handles import AsyncJobHandle, JobHandle
from rosetta.interventions import Action, Effects
from rosetta.transport import AsyncTransport


class InterventionCalls(Connection):
    """The calls about effects: what a generator's units cause."""

    def intervene(
        self,
        generator: str,
        models: Sequence[str] | str | None = None,
        *,
        action: Action = "zero",
        amount: float | None = None,
        box: Sequence[float] | None = None,
        probe: str | None = None,
        k: int | None = None,
        q_value: float | None = None,
        limit: int | None = None,
        latents: int | None = None,
        controls: int | None = None,
        seed: int | None = None,
    ) -> JobHandle:
        """The job that changes units of a generator, and measures what comes of it in the units that match them.

        It takes the place of what was measured with the same generator, model, probe set and action.

        Args:
            generator: whose units are changed.
            models: who looks at the images; all that share units with it when left out.
            action: `zero`: a unit does not fire; `set`: it fires alike everywhere; `boost`: it fires more.
            amount: of `set`, the activation in the unit's deviations (4); of `boost`, the factor (2).
            box: x, y, width, height in pixels of the generator's images, from the upper left; everywhere when left out.
            probe: on which the matches were mined; the generator's newest when left out.
            k: units are each among the other's k best; as many as mining kept when left out.
            q_value: matches are below it; 0.05 when left out.
            limit: the strongest so many matches of each model; 64 when left out.
            latents: images that are changed; 64 when left out, and fewer give no verdict.
            controls: random other units of each layer, at most; 100 when left out.
            seed: of the images, which are not the probe set's; its seed + 1 when left out.

        Raises:
            NotFound: when a name is unknown, or nothing was mined, with the mine that would.
            InvalidRequest: when a number is none, or no match is left.

        Example:
            >>> client.intervene("dcgan-faces", models=["efficientnet-lite0"]).wait()
            >>> client.effects("dcgan-faces/813")
        """
        numbers = _numbers(action, amount, probe, k, q_value, limit, latents, controls, seed)
        return JobHandle(self._transport, self._run(interventions.intervene(generator, models, box, numbers)))

    def effects(
        self,
        unit: str | None = None,
        *,
        model: str | None = None,
        probe: str | None = None,
        action: Action | None = None,
        limit: int | None = None,
    ) -> Effects:
        """What units cause, as `intervene` measured it, the strongest responses first.

        Args:
            unit: the address of a unit that was changed, or watched, such as `dcgan-faces/813`; all when left out.
            model: of this generator, or on this model: a name, a family or a nickname.
            probe: on which the matches were mined.
            action: `zero`, `set` or `boost`; all when left out.
            limit: how many; all when left out.

        Raises:
            NotFound: when a name is unknown, with the nearest ones.
        """
        params = {"model": model, "probe": probe, "action": action}
        return self._run(interventions.list_effects(unit, params, limit))


class AsyncInterventionCalls:
    """`InterventionCalls`, awaited."""

    _transport: AsyncTransport

    async def intervene(
        self,
        generator: str,
        models: Sequence[str] | str | None = None,
        *,
        action: Action = "zero",
        amount: float | None = None,
        box: Sequence[float] | None = None,
        probe: str | None = None,
        k: int | None = None,
        q_value: float | None = None,
        limit: int | None = None,
        latents: int | None = None,
        controls: int | None = None,
        seed: int | None = None,
    ) -> AsyncJobHandle:
        """As `Client.intervene`."""
        numbers = _numbers(action, amount, probe, k, q_value, limit, latents, controls, seed)
        operation = interventions.intervene(generator, models, box, numbers)
        return AsyncJobHandle(self._transport, await self._transport.run(operation))

    async def effects(
        self,
        unit: str | None = None,
        *,
        model: str | None = None,
        probe: str | None = None,
        action: Action | None = None,
        limit: int | None = None,
    ) -> Effects:
        """As `Client.effects`."""
        params = {"model": model, "probe": probe, "action": action}
        return await self._transport.run(interventions.list_effects(unit, params, limit))


def _numbers(
    action: Action,
    amount: float | None,
    probe: str | None,
    k: int | None,
    q_value: float | None,
    limit: int | None,
    latents: int | None,
    controls: int | None,
    seed: int | None,
) -> dict[str, Any]:
    return {
        "action": action,
        "amount": amount,
        "probe": probe,
        "k": k,
        "q_value": q_value,
        "limit": limit,
        "latents": latents,
        "controls": controls,
        "seed": seed,
    }
