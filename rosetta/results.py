"""Results: frozen, typed values that the service returns and the client hands out.

They are plain dataclasses: the query layer builds them, FastAPI documents them, msgspec encodes and decodes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobKind = Literal[
    "register",
    "inspect",
    "mine",
    "cluster",
    "map",
    "correlate",
    "pictures",
    "look",
    "label_text",
    "label_masks",
    "embed_text",
    "invert",
    "edit",
    "intervene",
    "directions",
    "walk",
    "translate",
]


class Shown:
    """A result that a notebook shows as its row of a table."""

    def _repr_html_(self) -> str:
        from rosetta import html

        return html.record(self)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list, and the cursor of what follows (null at the end)."""

    items: tuple[T, ...]
    next_cursor: str | None = None


@dataclass(frozen=True)
class Layer(Shown):
    """A recorded layer. `first_unit` is the model-wide number of its channel 0; height and width are its grid."""

    name: str
    position: int
    channels: int
    height: int
    width: int
    first_unit: int


@dataclass(frozen=True)
class Model(Shown):
    """A network plus the digest of its weights. `layers` is empty in listings."""

    name: str
    family: str
    aliases: tuple[str, ...]
    source: str
    weights_digest: str
    is_generator: bool
    units: int
    created_at: datetime
    details: dict[str, Any] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Module(Shown):
    """A module of a network that need not be registered, and what it gave in one pass over one image.

    It gave maps of `channels` x `height` x `width`, and each channel would be a unit; null: it cannot be recorded, and
    `why_not` says what it gave instead. `calls`: how often it ran in that pass; the first call is the one recorded.
    `chosen`: by the source's own choice of layers, or by the globs that were given.
    """

    path: str
    class_name: str
    channels: int | None
    height: int | None
    width: int | None
    calls: int
    chosen: bool
    why_not: str = ""


@dataclass(frozen=True)
class UnitStatistics(Shown):
    """A unit's response over one probe set, at its own grid. Dead: it never changes."""

    probe_set: str
    mean: float
    std: float
    minimum: float
    maximum: float
    dead: bool


@dataclass(frozen=True)
class Unit:
    """One channel of one layer."""

    model: str
    number: int
    layer: str
    channel: int
    address: str
    height: int
    width: int
    statistics: tuple[UnitStatistics, ...] = ()


@dataclass(frozen=True)
class Match(Shown):
    """A directed match: `neighbour` is the `rank`-th best of its model for `unit`.

    `reciprocal_rank` is the unit's own rank among the neighbour's matches, null beyond the kept ones;
    `is_best_buddy`: both ranks are 1. `q_value` is the Benjamini-Hochberg value against the permutation null.
    `approximate`: the correlation is the cosine of two sketches, the rank is by it, and nothing else is known.
    """

    probe_set: str
    model: str
    layer: str
    unit: int
    channel: int
    neighbour_model: str
    neighbour_layer: str
    neighbour_unit: int
    neighbour_channel: int
    correlation: float
    rank: int
    reciprocal_rank: int | None
    q_value: float | None
    is_best_buddy: bool
    approximate: bool = False


@dataclass(frozen=True)
class SketchMatch(Shown):
    """A unit whose sketch is near: `similarity` is the cosine of two sketches, which approximates Pearson r."""

    probe_set: str
    model: str
    layer: str
    unit: int
    channel: int
    neighbour_model: str
    neighbour_layer: str
    neighbour_unit: int
    neighbour_channel: int
    similarity: float
    rank: int


@dataclass(frozen=True)
class CorrelatedMatch(Shown):
    """A candidate that sketches gave, correlated exactly: `neighbour` is the `rank`-th best of its model's candidates.

    `correlation` is Pearson r, by which they are ranked; `similarity` is the cosine of the sketches that they came by.
    """

    probe_set: str
    model: str
    layer: str
    unit: int
    channel: int
    neighbour_model: str
    neighbour_layer: str
    neighbour_unit: int
    neighbour_channel: int
    correlation: float
    similarity: float
    rank: int


@dataclass(frozen=True)
class ProbeSet(Shown):
    """An immutable, ordered, digest-named set of images. `generator` is null for a folder of images."""

    name: str
    digest: str
    kind: Literal["generator", "images"]
    count: int
    height: int
    width: int
    generator: str | None
    seed: int | None
    truncation: float | None
    class_index: int | None
    created_at: datetime
    mined_models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job(Shown):
    """A job's life. Progress counts images; `eta_s` estimates the seconds that remain."""

    id: int
    kind: JobKind
    state: JobState
    parameters: dict[str, Any]
    progress_done: int
    progress_total: int
    progress_note: str
    eta_s: float | None
    error_code: str | None
    error_message: str | None
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    already_done: bool = False  # true when the same inputs had been mined before


@dataclass(frozen=True)
class ModelPair(Shown):
    """How much two models share on a probe set: best buddies, those at q < 0.05, and what chance alone gives."""

    probe_set: str
    model: str
    neighbour_model: str
    best_buddies: int
    significant_best_buddies: int
    chance_best_buddies: float | None
    live_units: int
    neighbour_live_units: int


@dataclass(frozen=True)
class ConceptMember(Shown):
    """A unit of a concept. `strength`: its mean r with its best buddies in the concept."""

    model: str
    layer: str
    unit: int
    channel: int
    strength: float


@dataclass(frozen=True)
class Concept(Shown):
    """Units of several models that belong together on one probe set. `members` is empty in listings.

    `cohesion`: mean r of its pairs of best buddies. `stability`: from 0 to 1, how much of it comes back with other
    seeds. `q_value`: of its weakest pair. `version`: of the probe set's concepts; a new mine makes a new one.
    """

    id: int
    probe_set: str
    version: int
    models: tuple[str, ...]
    units: int
    cohesion: float
    stability: float
    q_value: float
    members: tuple[ConceptMember, ...] = ()


@dataclass(frozen=True)
class DictionaryUnit:
    """A unit of a tuple. `correlation`: r with the generator's unit of the tuple; that unit's own is 1."""

    model: str
    layer: str
    unit: int
    channel: int
    correlation: float


@dataclass(frozen=True)
class DictionaryTuple:
    """Units that fire alike, one a model: the generator's first, then in the order of the dictionary's models.

    Mean, least r and greatest q are of its pairs: each unit with the generator's, and, when strict, with each other.
    """

    units: tuple[DictionaryUnit, ...]
    mean_correlation: float
    min_correlation: float
    q_value: float | None


@dataclass(frozen=True)
class Dictionary:
    """The tuples of a unit of the generator and a best buddy of it in each model, those of highest mean r first.

    `k`: each is among the other's k best. `strict`: the models' units are best buddies of each other, too. `q_value`:
    every pair is below it; null: whatever it is. `total`: how many tuples there are; `tuples` has some of them. When
    there is none, `largest` names the most of the models that have some, `largest_total`.
    """

    generator: str
    models: tuple[str, ...]
    probe_set: str
    k: int
    strict: bool
    q_value: float | None
    total: int
    tuples: tuple[DictionaryTuple, ...] = ()
    largest: tuple[str, ...] = ()
    largest_total: int = 0


@dataclass(frozen=True)
class Exemplar(Shown):
    """An image that a unit fires on: the `rank`-th by the maximum or the mean of its activation map, its `value`.

    `image` is its place in the probe set, from 0; `file` its name, null of a generator.
    """

    probe_set: str
    model: str
    unit: int
    layer: str
    channel: int
    measure: Literal["maximum", "mean"]
    rank: int
    image: int
    file: str | None
    value: float


@dataclass(frozen=True)
class Answer:
    """What `ask` understood and found. `kind` names the question; `matches` or `pairs` carry the rows."""

    question: str
    kind: Literal["matches", "best_buddies", "shared"]
    understood: str
    text: str
    matches: tuple[Match, ...] = ()
    pairs: tuple[ModelPair, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows of a SQL query. `types` are Postgres type names; `truncated`: there were more rows than asked for."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False


@dataclass(frozen=True)
class Check:
    """One line of `rosetta doctor`."""

    name: str
    ok: bool
    value: str
    mend: str = ""
