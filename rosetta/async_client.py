"""The client of a Rosetta service, for programs with an event loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, overload

import httpx

from rosetta import exports, operations
from rosetta.client_directions import AsyncDirectionCalls
from rosetta.client_equivalents import AsyncEquivalentCalls
from rosetta.client_interventions import AsyncInterventionCalls
from rosetta.client_labels import AsyncLabelCalls
from rosetta.client_maps import AsyncMapCalls
from rosetta.client_search import AsyncSearchCalls
from rosetta.client_translations import AsyncTranslationCalls
from rosetta.concepts import AsyncConceptHandle
from rosetta.dictionaries import Dictionary
from rosetta.exports import Format
from rosetta.handles import Answer, AsyncJobHandle
from rosetta.operations import models_path, probes_path
from rosetta.results import Check, Concept, Job, JobState, Match, Model, ModelPair, Module, ProbeSet, SketchMatch
from rosetta.rows import Rows, SqlRows
from rosetta.transport import DEFAULT_TIMEOUT_S, AsyncTransport, Endpoint
from rosetta.units import AsyncUnitHandle
from rosetta.waiting import get_job


class AsyncClient(
    AsyncMapCalls,
    AsyncLabelCalls,
    AsyncSearchCalls,
    AsyncTranslationCalls,
    AsyncInterventionCalls,
    AsyncDirectionCalls,
    AsyncEquivalentCalls,
):
    """Talks to a Rosetta service without blocking: `Client`, with its methods awaited.

    Args:
        url: of the service; `ROSETTA_URL`, or else the local `rosetta up`.
        api_key: `ROSETTA_API_KEY` when left out. A local stack needs none.
        timeout: seconds that one answer may take.
        transport: of httpx, to reach a service in another way, such as inside a test.

    Every method raises `Unavailable` when no service answers, and `Unauthorized` when it wants a key.

    Example:
        >>> from rosetta import AsyncClient
        >>> async with AsyncClient() as client:
        ...     unit = await client.unit("dcgan-faces", 813)
        ...     matches = await unit.matches(model="efficientnet-lite0", top=3)
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = AsyncTransport(Endpoint.find(url, api_key, timeout), transport)
        self._run = self._transport.run

    @property
    def url(self) -> str:
        """As `Client.url`."""
        return self._transport.endpoint.url

    async def close(self) -> None:
        """As `Client.close`."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self.url}>"

    async def health(self) -> Rows[Check]:
        """As `Client.health`."""
        return await self._run(operations.health())

    async def models(self, family: str | None = None) -> Rows[Model]:
        """As `Client.models`."""
        return await self._run(operations.list_all(models_path(), Model, "models", {"family": family}))

    async def model(self, name: str) -> Model:
        """As `Client.model`."""
        return await self._run(operations.get(models_path(name), Model))

    @overload
    async def add_model(
        self,
        name: str,
        source: str,
        layers: Sequence[str] | str | None = None,
        weights: str | Path | None = None,
        family: str | None = None,
        aliases: Sequence[str] = (),
        *,
        wait: Literal[True] = True,
        progress: bool = True,
    ) -> Model: ...
    @overload
    async def add_model(
        self,
        name: str,
        source: str,
        layers: Sequence[str] | str | None = None,
        weights: str | Path | None = None,
        family: str | None = None,
        aliases: Sequence[str] = (),
        *,
        wait: Literal[False],
        progress: bool = True,
    ) -> AsyncJobHandle: ...
    async def add_model(
        self,
        name: str,
        source: str,
        layers: Sequence[str] | str | None = None,
        weights: str | Path | None = None,
        family: str | None = None,
        aliases: Sequence[str] = (),
        *,
        wait: bool = True,
        progress: bool = True,
    ) -> Model | AsyncJobHandle:
        """As `Client.add_model`."""
        operation = operations.register_model(
            name, source, layers=layers, weights=weights, family=family, aliases=aliases, progress=progress
        )
        job = AsyncJobHandle(self._transport, await self._run(operation))
        if not wait:
            return job
        await job.wait(progress=progress)
        return await self.model(name)

    @overload
    async def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: Literal[True] = True,
        progress: bool = True,
    ) -> Rows[Module]: ...
    @overload
    async def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: Literal[False],
        progress: bool = True,
    ) -> AsyncJobHandle: ...
    async def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: bool = True,
        progress: bool = True,
    ) -> Rows[Module] | AsyncJobHandle:
        """As `Client.layers`."""
        operation = operations.inspect_source(source, layers=layers, weights=weights, progress=progress)
        job = AsyncJobHandle(self._transport, await self._run(operation))
        if not wait:
            return job
        await job.wait(progress=progress)
        return operations.modules(job.last_seen)

    async def remove_model(self, name: str) -> None:
        """As `Client.remove_model`."""
        await self._run(operations.remove(models_path(name)))

    async def probes(self) -> Rows[ProbeSet]:
        """As `Client.probes`."""
        return await self._run(operations.list_all(probes_path(), ProbeSet, "probe sets"))

    async def probe(self, name: str) -> ProbeSet:
        """As `Client.probe`."""
        return await self._run(operations.get(probes_path(name), ProbeSet))

    async def add_probe(
        self,
        name: str,
        *,
        images: str | Path | None = None,
        generator: str | None = None,
        count: int | None = None,
        seed: int = 0,
        class_index: int | None = None,
        truncation: float | None = None,
        size: int | None = None,
        skip_broken: bool = False,
        progress: bool = True,
    ) -> ProbeSet:
        """As `Client.add_probe`."""
        return await self._run(
            operations.add_probe(
                name,
                images=images,
                generator=generator,
                count=count,
                seed=seed,
                class_index=class_index,
                truncation=truncation,
                size=size,
                skip_broken=skip_broken,
                progress=progress,
            )
        )

    async def remove_probe(self, name: str) -> None:
        """As `Client.remove_probe`."""
        await self._run(operations.remove(probes_path(name)))

    async def mine(
        self,
        probe: str,
        models: Sequence[str] | None = None,
        keep: int = 10,
        *,
        sketch_only: bool = False,
        parts: int = 1,
    ) -> AsyncJobHandle:
        """As `Client.mine`."""
        operation = operations.mine(probe, models, keep, sketch_only=sketch_only, parts=parts)
        return AsyncJobHandle(self._transport, await self._run(operation))

    async def jobs(self, state: JobState | None = None, limit: int | None = None) -> Rows[Job]:
        """As `Client.jobs`."""
        return await self._run(operations.list_all("/v1/jobs", Job, "jobs", {"state": state}, limit))

    async def job(self, job_id: int) -> AsyncJobHandle:
        """As `Client.job`."""
        return AsyncJobHandle(self._transport, await self._run(get_job(job_id)))

    async def unit(self, model: str, unit: int | str | None = None) -> AsyncUnitHandle:
        """As `Client.unit`."""
        return AsyncUnitHandle(self._transport, await self._run(operations.get_unit(model, unit)))

    async def correlate(
        self,
        unit: str,
        candidates: Sequence[str | Match | SketchMatch] | None = None,
        *,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> AsyncJobHandle:
        """As `Client.correlate`."""
        operation = operations.correlate(unit, candidates, into=model, probe=probe, top=top)
        return AsyncJobHandle(self._transport, await self._run(operation))

    async def pairs(
        self, model: str | None = None, other: str | None = None, *, probe: str | None = None
    ) -> Rows[ModelPair]:
        """As `Client.pairs`."""
        return await self._run(operations.list_pairs(model, other, probe))

    async def concepts(
        self,
        probe: str | None = None,
        *,
        min_models: int = 2,
        model: str | None = None,
        version: int | None = None,
        order: Literal["models", "cohesion", "stability", "units"] = "models",
        limit: int | None = None,
    ) -> Rows[Concept]:
        """As `Client.concepts`."""
        return await self._run(
            operations.list_concepts(
                probe, version=version, min_models=min_models, model=model, order=order, limit=limit
            )
        )

    async def concept(self, concept_id: int) -> AsyncConceptHandle:
        """As `Client.concept`."""
        found = await self._run(operations.get(f"/v1/concepts/{concept_id}", Concept))
        return AsyncConceptHandle(self._transport, found)

    async def find_concepts(
        self,
        probe: str,
        *,
        resolution: float | None = None,
        q_value: float | None = None,
        k: int | None = None,
        seed: int | None = None,
    ) -> AsyncJobHandle:
        """As `Client.find_concepts`."""
        numbers = {"resolution": resolution, "q_value": q_value, "k": k, "seed": seed}
        return AsyncJobHandle(self._transport, await self._run(operations.find_concepts(probe, numbers)))

    async def dictionary(
        self,
        generator: str,
        models: Sequence[str] | str,
        *,
        probe: str | None = None,
        k: int = 1,
        strict: bool = False,
        q_value: float | None = 0.05,
        limit: int | None = None,
    ) -> Dictionary:
        """As `Client.dictionary`."""
        return await self._run(
            operations.dictionary(generator, models, probe=probe, k=k, strict=strict, q_value=q_value, limit=limit)
        )

    async def ask(self, question: str, *, probe: str | None = None) -> Answer:
        """As `Client.ask`."""
        return Answer(await self._run(operations.ask(question, probe)))

    async def sql(self, query: str) -> SqlRows:
        """As `Client.sql`."""
        return await self._run(operations.query(query))

    async def export(self, table: str, path: str | Path, form: Format | None = None, *, progress: bool = True) -> Path:
        """As `Client.export`."""
        return await self._run(exports.export(table, Path(path).expanduser(), form, progress=progress))
