"""The client of a Rosetta service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, overload

import httpx

from rosetta import exports, operations
from rosetta.dictionaries import Dictionary
from rosetta.exports import Format
from rosetta.handles import Answer, JobHandle, UnitHandle
from rosetta.operations import models_path, probes_path
from rosetta.results import Check, Concept, Job, JobState, Match, Model, ModelPair, Module, ProbeSet, SketchMatch
from rosetta.rows import Rows, SqlRows
from rosetta.transport import DEFAULT_TIMEOUT_S, Endpoint, Transport
from rosetta.waiting import get_job


class Client:
    """Talks to a Rosetta service; safe to use from several threads.

    Args:
        url: of the service; `ROSETTA_URL`, or else the local `rosetta up`.
        api_key: `ROSETTA_API_KEY` when left out. A local stack needs none.
        timeout: seconds that one answer may take.
        transport: of httpx, to reach a service in another way, such as inside a test.

    Every method raises `Unavailable` when no service answers, and `Unauthorized` when it wants a key.

    Example:
        >>> from rosetta import Client
        >>> client = Client()
        >>> client.unit("dcgan-faces", 813).matches(model="efficientnet-lite0", top=3)
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(Endpoint.find(url, api_key, timeout), transport)
        self._run = self._transport.run

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._transport.endpoint.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self.url}>"

    def health(self) -> Rows[Check]:
        """What the service needs, and whether each of it works, with the mend where it does not."""
        return self._run(operations.health())

    def models(self, family: str | None = None) -> Rows[Model]:
        """The registered models, without their layers; of one family when it is named."""
        return self._run(operations.list_all(models_path(), Model, "models", {"family": family}))

    def model(self, name: str) -> Model:
        """A model and its layers.

        Raises:
            NotFound: with the nearest names.
        """
        return self._run(operations.get(models_path(name), Model))

    @overload
    def add_model(
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
    def add_model(
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
    ) -> JobHandle: ...
    def add_model(
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
    ) -> Model | JobHandle:
        """The model, registered; with `wait=False` the job that registers it.

        Args:
            name: a slug, such as `clip-rn50`.
            source: a URI, such as `open_clip:RN50/openai`, `timm:resnet50.a1_in1k` or `onnx:net.onnx`. A file that
                lies here is sent to the service.
            layers: globs over module paths, such as `layer?`; the source's own choice when left out.
            weights: a file that lies here (it is sent) or in a weights folder of the service; the source's own
                when left out.
            family: such as `clip`; the source's own when left out.
            aliases: more nicknames that a question may use.
            wait: until it is registered.
            progress: show a bar.

        Raises:
            Conflict: when the name is taken.
            InvalidRequest: when the name, the source or a file cannot be.
            JobFailed: with the reason, such as weights that do not fit.
        """
        operation = operations.register_model(
            name, source, layers=layers, weights=weights, family=family, aliases=aliases, progress=progress
        )
        job = JobHandle(self._transport, self._run(operation))
        if not wait:
            return job
        job.wait(progress=progress)
        return self.model(name)

    @overload
    def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: Literal[True] = True,
        progress: bool = True,
    ) -> Rows[Module]: ...
    @overload
    def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: Literal[False],
        progress: bool = True,
    ) -> JobHandle: ...
    def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: bool = True,
        progress: bool = True,
    ) -> Rows[Module] | JobHandle:
        """Every module of a network and what it gives, before anything is registered; with `wait=False` the job.

        Args:
            source: as of `add_model`.
            weights: as of `add_model`.
            layers: globs over module paths, to see which modules they choose; the source's own choice when left out.
            wait: until the service has looked.
            progress: show a bar.

        Raises:
            InvalidRequest: when the source or a file cannot be.
            JobFailed: with the reason, such as weights that do not fit, or a glob that fits no module.

        Example:
            >>> client.layers("timm:resnet50.a1_in1k").where(lambda module: module.chosen)
        """
        operation = operations.inspect_source(source, layers=layers, weights=weights, progress=progress)
        job = JobHandle(self._transport, self._run(operation))
        if not wait:
            return job
        job.wait(progress=progress)
        return operations.modules(job.last_seen)

    def remove_model(self, name: str) -> None:
        """Removes a model and all that was mined of it.

        Raises:
            NotFound: with the nearest names.
            Conflict: when a probe set consists of its samples, or a job is at work on it.
        """
        self._run(operations.remove(models_path(name)))

    def probes(self) -> Rows[ProbeSet]:
        """The probe sets, and which models were mined on each."""
        return self._run(operations.list_all(probes_path(), ProbeSet, "probe sets"))

    def probe(self, name: str) -> ProbeSet:
        """A probe set.

        Raises:
            NotFound: with the nearest names.
        """
        return self._run(operations.get(probes_path(name), ProbeSet))

    def add_probe(
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
        """The probe set of a folder of images, or of a generator's samples; the same inputs give the same one.

        Args:
            name: a slug, such as `faces`.
            images: a folder on this machine; what the service does not have yet is sent.
            generator: a registered model that makes images.
            count: how many samples.
            seed: of the samples.
            class_index: the class, for a generator that has classes.
            truncation: of the latents, above 0 and at most 1.
            size: side of the square that every image is resized and cropped to, pixels; 256 when left out.
            skip_broken: leave out files that are no images, with the warning `BrokenImages`.
            progress: show a bar.

        Raises:
            InvalidRequest: when the folder has no image, or a broken one (the first few are named).
            NotFound: when there is no such generator.
            Conflict: when the name stands for other images, or the same images have another name.

        Example:
            >>> client.add_probe("faces", generator="dcgan-faces", count=100, seed=0)
        """
        return self._run(
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

    def remove_probe(self, name: str) -> None:
        """Removes a probe set and all that was mined on it.

        Raises:
            NotFound: with the nearest names.
            Conflict: when a job is at work on it.
        """
        self._run(operations.remove(probes_path(name)))

    def mine(
        self,
        probe: str,
        models: Sequence[str] | None = None,
        keep: int = 10,
        *,
        sketch_only: bool = False,
        parts: int = 1,
    ) -> JobHandle:
        """The job that compares models on a probe set; done at once when all of it is stored.

        Args:
            probe: the probe set's name.
            models: names. All that fit when left out; one alone is compared with every model mined there already.
            keep: matches kept for each unit in each other model.
            sketch_only: compare nothing; store statistics, sketches and exemplars of each model, for
                `matches(approximate=True)`.
            parts: cut the job into as many parts at least, where there is so much to do, for workers to share.

        Raises:
            NotFound: with the nearest names.
            InvalidRequest: when there is nothing to compare, or a model does not fit the probe set.

        Example:
            >>> job = client.mine(probe="faces", models=["dcgan-faces", "efficientnet-lite0"])
            >>> job.wait()
        """
        return JobHandle(
            self._transport, self._run(operations.mine(probe, models, keep, sketch_only=sketch_only, parts=parts))
        )

    def jobs(self, state: JobState | None = None, limit: int | None = None) -> Rows[Job]:
        """The jobs, newest first; in one state when it is named."""
        return self._run(operations.list_all("/v1/jobs", Job, "jobs", {"state": state}, limit))

    def job(self, job_id: int) -> JobHandle:
        """A job, to look at or to wait for again.

        Raises:
            NotFound: when there is none of that number.
        """
        return JobHandle(self._transport, self._run(get_job(job_id)))

    def unit(self, model: str, unit: int | str | None = None) -> UnitHandle:
        """A unit, with its statistics.

        Args:
            model: its model, or a whole address such as `dcgan-faces/main.8:45`.
            unit: its number, or `layer:channel`.

        Raises:
            NotFound: with the nearest names.

        Example:
            >>> client.unit("dcgan-faces", 813).matches(model="efficientnet-lite0")
        """
        return UnitHandle(self._transport, self._run(operations.get_unit(model, unit)))

    def correlate(
        self,
        unit: str,
        candidates: Sequence[str | Match | SketchMatch] | None = None,
        *,
        model: str | None = None,
        top: int = 10,
        probe: str | None = None,
    ) -> JobHandle:
        """The job that correlates a unit exactly with candidates; its `matches` are the rows, both numbers in each.

        Every model in question runs once over the probe set. The same candidates again are answered at once.

        Args:
            unit: its address, such as `dcgan-faces/main.8:45` or `dcgan-faces/813`.
            candidates: addresses, or rows of `matches(approximate=True)` or `search`; the `top` units of each model
                by sketch when left out.
            model: then, where to look: a model, a family or a nickname; all models with sketches when left out.
            top: then, candidates in each model.
            probe: a probe set; the one on which the unit's model was mined last when left out.

        Raises:
            NotFound: when a name is unknown, with the nearest ones, or there are no sketches.
            InvalidRequest: when the unit or a candidate is dead.

        Example:
            >>> found = client.unit("dcgan-faces", 813).matches(approximate=True)
            >>> client.correlate("dcgan-faces/813", found[:5]).wait().matches
        """
        operation = operations.correlate(unit, candidates, into=model, probe=probe, top=top)
        return JobHandle(self._transport, self._run(operation))

    def pairs(self, model: str | None = None, other: str | None = None, *, probe: str | None = None) -> Rows[ModelPair]:
        """How much models share: best buddies, and how many of them chance alone gives.

        Args:
            model: one model; every pair once when left out.
            other: what it is paired with: a model, a family or a nickname.
            probe: a probe set; all of them when left out.
        """
        return self._run(operations.list_pairs(model, other, probe))

    def concepts(
        self,
        probe: str | None = None,
        *,
        min_models: int = 2,
        model: str | None = None,
        version: int | None = None,
        order: Literal["models", "cohesion", "stability", "units"] = "models",
        limit: int | None = None,
    ) -> Rows[Concept]:
        """Concepts: sets of units of several models that belong together; those of most models first.

        Args:
            probe: a probe set; all of them when left out.
            min_models: models a concept spans at least.
            model: only concepts with a unit of this model, family or nickname.
            version: of the probe set's concepts; the newest when left out.
            order: by models and cohesion, or by one number alone.
            limit: how many; all when left out.

        Raises:
            NotFound: when there is no such probe set, version or model.

        Example:
            >>> client.concepts(probe="faces", min_models=3)
        """
        return self._run(
            operations.list_concepts(
                probe, version=version, min_models=min_models, model=model, order=order, limit=limit
            )
        )

    def concept(self, concept_id: int) -> Concept:
        """A concept with its members.

        Raises:
            NotFound: when there is none of that number.
        """
        return self._run(operations.get(f"/v1/concepts/{concept_id}", Concept))

    def find_concepts(
        self, probe: str, *, resolution: float | None = None, q_value: float | None = None, seed: int | None = None
    ) -> JobHandle:
        """The job that finds a probe set's concepts anew; mining does it with the usual numbers.

        Args:
            probe: the probe set's name.
            resolution: the least mean r inside a concept. [0.2]
            q_value: only pairs of best buddies below it count. [0.05]
            seed: of the communities. [0]
        """
        numbers = {"resolution": resolution, "q_value": q_value, "seed": seed}
        return JobHandle(self._transport, self._run(operations.find_concepts(probe, numbers)))

    def dictionary(
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
        """The tuples of a unit of a generator and a best buddy of it in each model, those of highest mean r first.

        Args:
            generator: any model; like the others a name, or a nickname or family that stands for one model.
            models: the others.
            probe: a probe set; the newest on which all were mined when left out.
            k: best buddies are each among the other's k best.
            strict: the models' units must be best buddies of each other, too.
            q_value: every pair is below it; None: whatever it is.
            limit: how many, up to 10,000; 1,000 when left out. `total` says how many there are.

        Raises:
            NotFound: with the nearest names, or when the models were not mined together.
            InvalidRequest: when k is more than mining kept, or a name stands for several models.

        Example:
            >>> client.dictionary("dcgan-faces", ["efficientnet-lite0", "mobilenet-v2"])
        """
        return self._run(
            operations.dictionary(generator, models, probe=probe, k=k, strict=strict, q_value=q_value, limit=limit)
        )

    def ask(self, question: str, *, probe: str | None = None) -> Answer:
        """The answer to a question in plain words.

        Raises:
            InvalidRequest: when the question is not understood; the message says which ones are.

        Example:
            >>> print(client.ask("which neurons in EfficientNet match DCGAN unit 813?"))
        """
        return Answer(self._run(operations.ask(question, probe)))

    def search(
        self, *, unit: str, model: str | None = None, top: int = 10, probe: str | None = None
    ) -> Rows[SketchMatch]:
        """Units like one, best first, also in models that it was never compared with.

        Sketches are compared, whose cosine approximates the correlation that `matches` has exactly.

        Args:
            unit: its address, such as `dcgan-faces/main.8:45` or `dcgan-faces/813`.
            model: where to look: a model, a family or a nickname; everywhere when left out.
            top: how many.
            probe: a probe set; the one on which the unit's model was mined last when left out.

        Raises:
            NotFound: with the nearest names, or when the model was not mined.
            InvalidRequest: when the unit is dead.

        Example:
            >>> client.search(unit="dcgan-faces/813", top=5)
        """
        return self._run(operations.search(unit, into=model, probe=probe, top=top))

    def sql(self, query: str) -> SqlRows:
        """The rows of one SQL statement over the views of the schema `analytics`, read-only.

        Raises:
            InvalidRequest: what Postgres says is wrong with it.

        Example:
            >>> client.sql("SELECT * FROM analytics.matches LIMIT 5").to_pandas()
        """
        return self._run(operations.query(query))

    def export(self, table: str, path: str | Path, form: Format | None = None, *, progress: bool = True) -> Path:
        """The file, with all rows of a table of the schema `analytics`; written whole or not at all.

        Args:
            table: such as `matches`.
            path: of the file, replaced when it exists.
            form: `parquet`, `csv` or `jsonl`; what the file's name ends in when left out.
            progress: show a bar.

        Raises:
            NotFound: when there is no such table, with the nearest names.
            ImportError: for Parquet without pyarrow: `pip install 'rosetta-neurons[frames]'`.

        Example:
            >>> client.export("matches", "matches.parquet")
        """
        return self._run(exports.export(table, Path(path).expanduser(), form, progress=progress))
