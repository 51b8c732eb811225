"""Bodies of requests: what may be in them, and what may not be left out."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service import submit_cluster, submit_correlate, submit_labels, submit_map
from service.queries.grammar import LONGEST
from service.queries.search import LARGEST_TOP
from service.queries.sql import DEFAULT_ROWS, LARGEST_ROWS


class _Body(BaseModel):
    """A request's JSON: unknown fields are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RegisterModel(_Body):
    """A model to register. `weights` is the reference of an upload, or a file in a weights folder."""

    name: str
    source: str = Field(examples=["timm:resnet50.a1_in1k"])
    weights: str | None = None
    layers: list[str] | None = Field(None, description="globs over module paths")
    family: str | None = None
    aliases: list[str] = Field(default_factory=list)


class InspectSource(_Body):
    """A source to look into before it is registered; `weights` as there."""

    source: str = Field(examples=["timm:resnet50.a1_in1k"])
    weights: str | None = None
    layers: list[str] | None = Field(None, description="globs over module paths: the modules that count as chosen")


class ProbeImage(_Body):
    """An uploaded image: its name within the probe set, and the sha256 of its bytes."""

    name: str = Field(min_length=1, max_length=1000)
    digest: str


class AddProbe(_Body):
    """A probe set: `count` samples of a `generator`, or uploaded `images`."""

    name: str
    generator: str | None = None
    count: int | None = None
    seed: int = 0
    class_index: int | None = None
    truncation: float | None = None
    images: list[ProbeImage] | None = None
    size: int | None = Field(None, description="side of the square every image is cropped to, pixels")

    @model_validator(mode="after")
    def _one_kind(self) -> AddProbe:
        given = self.model_fields_set
        if (self.generator is None) == (self.images is None):
            raise ValueError("a probe set is made of a generator's samples or of images: name one of the two")
        if self.generator is not None and self.count is None:
            raise ValueError(f"how many images should {self.generator} make? Give a count, such as 100")
        if self.generator is not None and self.size is not None:
            raise ValueError("size goes with images, not with a generator")
        extra = [name for name in ("count", "class_index", "truncation") if getattr(self, name) is not None]
        if self.images is not None and (extra or "seed" in given):
            raise ValueError(f"{extra[0] if extra else 'seed'} goes with a generator, not with images")
        return self


class Mine(_Body):
    """What to mine. Without models: all that fit; one: that one against all that were mined on the probe set."""

    probe: str
    models: list[str] | None = None
    keep: int = Field(10, description="neighbours kept of each unit in each model")
    sketch_only: bool = Field(False, description="compare nothing: statistics, sketches and exemplars of each model")
    parts: int = Field(1, description="parts at least, which workers share; a model runs once in each that has it")


class Ask(_Body):
    """A question in words."""

    question: str = Field(max_length=10 * LONGEST, examples=["which neurons in CLIP match StyleGAN unit 214?"])
    probe: str | None = Field(None, description="the probe set, where the question names none")


class Search(_Body):
    """What to look for: units like a `unit`; units and concepts that a `text` finds; or units that an `image` moves."""

    unit: str | None = Field(
        None, description="model/layer:channel, or a model and a unit number", examples=["dcgan-faces/213"]
    )
    text: str | None = Field(None, max_length=10 * LONGEST, examples=["glasses"])
    image: str | None = Field(None, description="sha256 of an uploaded image")
    box: list[float] | None = Field(None, description="x, y, width, height in it, pixels; else all of it")
    image_text: str | None = Field(None, description="the image-text model that a text is shown to; else the first one")
    within: str | None = Field(None, alias="in", description="a model, a family or a nickname; else everywhere")
    probe: str | None = Field(None, description="the probe set; else the one on which the model was last mined")
    top: int = Field(10, ge=1, le=LARGEST_TOP)

    @model_validator(mode="after")
    def _one_thing(self) -> Search:
        if sum(asked is not None for asked in (self.unit, self.text, self.image)) != 1:
            raise ValueError("name what to look for: a unit, a text or an image, one of the three")
        if self.box is not None and self.image is None:
            raise ValueError("a box is one in an image: name the image too")
        if self.image_text is not None and self.text is None:
            raise ValueError("an image-text model is shown a text: give the text too")
        return self


class AddLabel(_Body):
    """A label of a `unit` or of a `concept`."""

    text: str = Field(max_length=10_000, examples=["glasses"])
    unit: str | None = Field(None, description="its address", examples=["dcgan-faces/213"])
    concept: int | None = Field(None, description="its number")
    author: str | None = Field(None, max_length=10_000, description="who says so; else anonymous")


class FindLabels(_Body):
    """Labels to find for units and concepts: words that an image-text model sees, or things whose masks they overlap.

    With `by` text: `words` to choose from, `image_text`, `each`, `top` and `q_value`. With `by` mask: `words` of the
    probe set's masks, `quantile` and `least_iou`.
    """

    probe: str
    by: Literal["text", "mask"] = "text"
    models: list[str] | None = Field(None, description="names; else all that were mined on the probe set")
    words: list[str] | None = Field(None, description="else the built-in ones, or all that there are masks of")
    image_text: str | None = Field(None, description="the image-text model; else the only one")
    each: int | None = Field(None, description=f"words a unit at most; else {submit_labels.EACH}")
    top: int | None = Field(None, description="images of a unit that count; else a twentieth of all, 10 to 100")
    q_value: float | None = Field(None, description=f"words below it are kept; else {submit_labels.Q_VALUE}")
    quantile: float | None = Field(None, description=f"a unit is on as rarely; else {submit_labels.QUANTILE}")
    least_iou: float | None = Field(None, description=f"words above it are kept; else {submit_labels.LEAST_IOU}")

    @model_validator(mode="after")
    def _of_one_kind(self) -> FindLabels:
        others = ("quantile", "least_iou") if self.by == "text" else ("image_text", "each", "top", "q_value")
        extra = [name for name in others if getattr(self, name) is not None]
        if extra:
            raise ValueError(f"{extra[0]} goes with labels by {'mask' if self.by == 'text' else 'text'}")
        return self


class Mask(_Body):
    """An uploaded PNG file: where `text` is to be seen on `image`, its name or its position, with or without suffix."""

    text: str = Field(min_length=1, max_length=1000)
    image: str = Field(min_length=1, max_length=1000)
    digest: str


class AddMasks(_Body):
    """Masks of a probe set's images; those of the same things are replaced."""

    masks: list[Mask]


class Correlate(_Body):
    """A unit, and what it may match: `candidates`, or those whose sketches are nearest."""

    unit: str = Field(description="model/layer:channel, or a model and a unit number", examples=["dcgan-faces/213"])
    candidates: list[str] | None = Field(None, description="addresses of units; else `top` of each model by sketch")
    within: str | None = Field(None, alias="in", description="a model, a family or a nickname; else every model")
    probe: str | None = Field(None, description="the probe set; else the one on which the model was last mined")
    top: int = Field(10, ge=1, le=submit_correlate.LARGEST_TOP, description="candidates in each model")


class Sql(_Body):
    """One SQL statement for the reading role."""

    query: str = Field(examples=["SELECT * FROM analytics.models"])
    limit: int = Field(DEFAULT_ROWS, ge=1, le=LARGEST_ROWS, description="rows at most")


class FindConcepts(_Body):
    """The concepts to find: among best buddies below a q-value, sets whose mean r exceeds the resolution."""

    probe: str
    resolution: float = Field(submit_cluster.RESOLUTION, description="the least mean r inside a concept")
    q_value: float = Field(submit_cluster.Q_VALUE, description="only best buddies below it count")
    k: int | None = Field(None, description=f"best buddies are among the other's k best; else {submit_cluster.K}")
    seed: int = Field(submit_cluster.SEED, description="of the communities")


class MakeMap(_Body):
    """The map to make, by UMAP over the sketches of all live units of a probe set."""

    probe: str
    n_neighbors: int = Field(submit_map.N_NEIGHBORS, description="of each unit that are kept near")
    min_dist: float = Field(submit_map.MIN_DIST, description="how near points may lie, from 0 to below 1")
    seed: int = Field(submit_map.SEED, description="of the layout")


class Missing(_Body):
    """Which of these were not uploaded yet? Of weights the references `<sha256>/<filename>`, of images the sha256."""

    kind: Literal["weights", "images"]
    digests: list[str]
