"""What a client asks: units, matches, concepts, dictionaries, SQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rosetta import exports, operations
from rosetta.concepts import ConceptHandle
from rosetta.connection import Connection
from rosetta.dictionaries import Dictionary
from rosetta.exports import Format
from rosetta.handles import Answer, JobHandle
from rosetta.results import Concept, Match, ModelPair, SketchMatch
from rosetta.rows import Rows, SqlRows
from rosetta.units import UnitHandle


class QuestionCalls(Connection):
    """The calls that ask about what was mined."""

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

    def concept(self, concept_id: int) -> ConceptHandle:
        """A concept with its members, which can be asked for its picture.

        Raises:
            NotFound: when there is none of that number.

        Example:
            >>> client.concept(1).grid().save("concept.png")
        """
        return ConceptHandle(self._transport, self._run(operations.get(f"/v1/concepts/{concept_id}", Concept)))

    def find_concepts(
        self,
        probe: str,
        *,
        resolution: float | None = None,
        q_value: float | None = None,
        k: int | None = None,
        seed: int | None = None,
    ) -> JobHandle:
        """The job that finds a probe set's concepts anew; mining does it with the usual numbers.

        Args:
            probe: the probe set's name.
            resolution: the least mean r inside a concept. [0.2]
            q_value: only pairs of best buddies below it count. [0.05]
            k: best buddies are each among the other's k best. [3]
            seed: of the communities. [0]
        """
        numbers = {"resolution": resolution, "q_value": q_value, "k": k, "seed": seed}
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
        return Answer(self._run(operations.ask(question, probe)), self._transport.pictures)

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
