"""How results look to people: the columns of their tables, in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rosetta.image_search import ImageMatch
from rosetta.labels import Label, TextMatch
from rosetta.results import (
    Check,
    Concept,
    ConceptMember,
    CorrelatedMatch,
    Exemplar,
    Job,
    Layer,
    Match,
    Model,
    ModelPair,
    Module,
    ProbeSet,
    SketchMatch,
    UnitStatistics,
)
from rosetta.translations import Translation, TranslationImage


@dataclass(frozen=True)
class Column:
    """A column of a table for people.

    Attributes:
        heading: its first line.
        text: what a row shows in it.
        right: a number, set to the right.
        wraps: a sentence or a list; names and addresses stay in one piece.
        optional: left out first where a terminal is narrow.
    """

    heading: str
    text: Callable[[Any], str]
    right: bool = False
    wraps: bool = False
    optional: bool = False


def number(value: float | None, digits: int = 3) -> str:
    """A number for people: thousands apart, so many digits behind the point; a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.{digits}f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.{digits}g}"


def probability(value: float | None) -> str:
    """A q-value: three digits behind the point, or that it is smaller."""
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def moment(value: datetime | None) -> str:
    """Date and time on this machine's clock."""
    return "-" if value is None else f"{value.astimezone():%Y-%m-%d %H:%M}"


def duration(seconds: float | None) -> str:
    """Some seconds, in the two largest units that matter."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {rest:02} s"
    return f"{rest} s" if seconds >= 1 or seconds == 0 else f"{seconds:.1f} s"


def cell(value: Any) -> str:
    """Any value in a table cell: of SQL, or of JSON."""
    match value:
        case None:
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.6g}"
        case datetime():
            text = moment(value)
        case dict():
            text = ", ".join(f"{key} {cell(item)}" for key, item in value.items() if item is not None)
        case list() | tuple():
            text = ", ".join(map(cell, value))
        case _:
            text = str(value)
    return text


def unit_cell(number_: int, layer: str, channel: int) -> str:
    """A unit in both ways of saying it, without its model."""
    return f"{number_} ({layer}:{channel})"


def progress(job: Job) -> str:
    """How far a job is."""
    if job.state in {"queued", "cancelled", "failed"} or not job.progress_total:
        return "-"
    return f"{100 * job.progress_done / job.progress_total:.0f}%"


def job_note(job: Job) -> str:
    """The most useful sentence about a job."""
    if job.error_message:
        return job.error_message
    if job.state != "running":
        return ""
    left = f"about {duration(job.eta_s)} left" if job.eta_s is not None and job.eta_s >= 0.5 else ""
    return ", ".join(part for part in (left, job.progress_note) if part)


def job_subject(job: Job) -> str:
    """What a job works on."""
    parameters = job.parameters
    subjects = {"register": "name", "inspect": "source", "cluster": "probe", "map": "probe", "walk": "generator"}
    if subject := subjects.get(job.kind, "generator" if job.kind == "directions" else None):
        return str(parameters.get(subject, ""))
    if job.kind == "translate":
        return f"{parameters.get('probe', '')}: {' to '.join(parameters.get('models') or ())}"
    if job.kind == "correlate":
        return f"{parameters.get('probe', '')}: {parameters.get('unit', '')}"
    models = parameters.get("models") or ()
    return f"{parameters.get('probe', '')}: {', '.join(map(str, models)) or 'all models'}"


def maps_cell(module: Module) -> str:
    """What a module gives: channels x height x width, or why it cannot be recorded."""
    if module.channels is None:
        return module.why_not.removeprefix("a tensor of shape ")
    return f"{module.channels} x {module.height} x {module.width}"


def origin(probe_set: ProbeSet) -> str:
    """Where the images of a probe set come from."""
    if probe_set.kind == "images":
        return "images"
    extras = [f"seed {probe_set.seed}"]
    if probe_set.class_index is not None:
        extras.append(f"class {probe_set.class_index}")
    if probe_set.truncation is not None:
        extras.append(f"truncation {probe_set.truncation:g}")
    return f"{probe_set.generator} ({', '.join(extras)})"


def job_time(job: Job) -> str:
    """How long a finished job took."""
    if job.started_at is None or job.finished_at is None:
        return "-"
    return duration((job.finished_at - job.started_at).total_seconds())


def _neighbour(row: Any) -> str:
    return unit_cell(row.neighbour_unit, row.neighbour_layer, row.neighbour_channel)


def _reference(row: TranslationImage) -> str:
    image = row.reference
    if image.digest is not None:
        return f"image {image.digest[:12]}"
    where = image.probe if image.probe is not None else f"translation {image.translation}"
    return f"image {image.position} of {where}"


def _labelled(row: Label | TextMatch) -> str:
    if row.concept is not None:
        return f"concept {row.concept}"
    return f"{row.model} {unit_cell(row.unit or 0, row.layer or '', row.channel or 0)}"


_UNIT = Column("unit", lambda row: f"{row.model} {unit_cell(row.unit, row.layer, row.channel)}")
VIEWS: dict[type, tuple[Column, ...]] = {
    Concept: (
        Column("concept", lambda row: number(row.id), right=True),
        Column("probe set", lambda row: row.probe_set, optional=True),
        Column("models", lambda row: ", ".join(row.models), wraps=True),
        Column("units", lambda row: number(row.units), right=True),
        Column("cohesion", lambda row: number(row.cohesion), right=True),
        Column("stability", lambda row: number(row.stability, 2), right=True),
        Column("q", lambda row: probability(row.q_value), right=True),
    ),
    Label: (
        Column("label", lambda row: str(row.id), right=True),
        Column("of", _labelled),
        Column("text", lambda row: row.text, wraps=True),
        Column("kind", lambda row: row.kind, optional=True),
        Column("by", lambda row: row.author, optional=True),
        Column("score", lambda row: number(row.score), right=True),
    ),
    TextMatch: (
        Column("rank", lambda row: str(row.rank), right=True),
        Column("found", _labelled),
        Column("text", lambda row: row.text, wraps=True),
        Column("by", lambda row: row.by),
        Column("score", lambda row: number(row.score), right=True),
        Column("probe set", lambda row: row.probe_set or "-", optional=True),
    ),
    ImageMatch: (
        Column("rank", lambda row: str(row.rank), right=True),
        _UNIT,
        Column("score", lambda row: number(row.score, 2), right=True),
        Column("inside", lambda row: number(row.inside, 2), right=True),
        Column("outside", lambda row: number(row.outside, 2), right=True),
        Column("peak", lambda row: number(row.peak, 2), right=True, optional=True),
        Column("probe set", lambda row: row.probe_set, optional=True),
    ),
    Translation: (
        Column("translation", lambda row: str(row.id), right=True),
        Column("kind", lambda row: row.kind if row.parent is None else f"{row.kind} of {row.parent}"),
        Column("generator", lambda row: row.generator),
        Column("images", lambda row: number(row.images), right=True),
        Column("pairs", lambda row: number(row.pairs), right=True),
        Column("probe set", lambda row: row.probe_set, optional=True),
    ),
    TranslationImage: (
        Column("image", lambda row: str(row.position), right=True),
        Column("of", _reference, wraps=True),
        Column("r", lambda row: number(row.correlation), right=True),
        Column("PSNR", lambda row: number(row.psnr, 1), right=True),
        Column("SSIM", lambda row: number(row.ssim, 2), right=True),
        Column("start", lambda row: str(row.start), right=True, optional=True),
    ),
    ConceptMember: (
        Column("model", lambda row: row.model),
        Column("unit", lambda row: f"{row.unit} ({row.layer}:{row.channel})"),
        Column("strength", lambda row: number(row.strength), right=True),
    ),
    Model: (
        Column("model", lambda row: row.name),
        Column("family", lambda row: row.family),
        Column("units", lambda row: number(row.units), right=True),
        Column("generator", lambda row: "yes" if row.is_generator else ""),
        Column("source", lambda row: row.source, optional=True),
        Column("registered", lambda row: moment(row.created_at), optional=True),
    ),
    Layer: (
        Column("layer", lambda row: row.name),
        Column("channels", lambda row: number(row.channels), right=True),
        Column("grid", lambda row: f"{row.height}x{row.width}", right=True),
        Column("units", lambda row: f"{row.first_unit}-{row.first_unit + row.channels - 1}", right=True),
    ),
    Module: (
        Column("module", lambda row: row.path),
        Column("class", lambda row: row.class_name, optional=True),
        Column("maps", maps_cell),
        Column("calls", lambda row: number(row.calls), right=True, optional=True),
        Column("layer", lambda row: "yes" if row.chosen else ""),
    ),
    UnitStatistics: (
        Column("probe set", lambda row: row.probe_set),
        Column("mean", lambda row: number(row.mean), right=True),
        Column("std", lambda row: number(row.std), right=True),
        Column("minimum", lambda row: number(row.minimum), right=True),
        Column("maximum", lambda row: number(row.maximum), right=True),
        Column("dead", lambda row: "yes" if row.dead else "no"),
    ),
    Match: (
        _UNIT,
        Column("model", lambda row: row.neighbour_model),
        Column("match", _neighbour),
        Column("r", lambda row: ("~" if row.approximate else "") + number(row.correlation), right=True),
        Column("rank", lambda row: number(row.rank), right=True),
        Column("q", lambda row: probability(row.q_value), right=True),
        Column("best buddy", lambda row: "yes" if row.is_best_buddy else "", optional=True),
        Column("rank back", lambda row: number(row.reciprocal_rank), right=True, optional=True),
        Column("probe set", lambda row: row.probe_set, optional=True),
    ),
    CorrelatedMatch: (
        _UNIT,
        Column("model", lambda row: row.neighbour_model),
        Column("match", _neighbour),
        Column("r", lambda row: number(row.correlation), right=True),
        Column("sketch", lambda row: f"~{number(row.similarity)}", right=True),
        Column("rank", lambda row: number(row.rank), right=True),
        Column("probe set", lambda row: row.probe_set, optional=True),
    ),
    SketchMatch: (
        _UNIT,
        Column("rank", lambda row: number(row.rank), right=True),
        Column("model", lambda row: row.neighbour_model),
        Column("unit like it", _neighbour),
        Column("similarity", lambda row: number(row.similarity), right=True),
        Column("probe set", lambda row: row.probe_set, optional=True),
    ),
    Exemplar: (
        Column("rank", lambda row: number(row.rank), right=True),
        Column("image", lambda row: str(row.image), right=True),
        Column("file", lambda row: row.file or "-"),
        Column("value", lambda row: number(row.value), right=True),
        Column("probe set", lambda row: row.probe_set, optional=True),
    ),
    ModelPair: (
        Column("models", lambda row: f"{row.model}, {row.neighbour_model}"),
        Column("probe set", lambda row: row.probe_set),
        Column("best buddies", lambda row: number(row.best_buddies), right=True),
        Column("q < 0.05", lambda row: number(row.significant_best_buddies), right=True),
        Column("by chance", lambda row: number(row.chance_best_buddies, 1), right=True),
        Column(
            "live units", lambda row: f"{row.live_units:,} and {row.neighbour_live_units:,}", right=True, optional=True
        ),
    ),
    ProbeSet: (
        Column("probe set", lambda row: row.name),
        Column("images", lambda row: number(row.count), right=True),
        Column("size", lambda row: f"{row.height}x{row.width}", right=True),
        Column("from", origin),
        Column("mined models", lambda row: ", ".join(row.mined_models) or "none", wraps=True),
    ),
    Job: (
        Column("job", lambda row: str(row.id), right=True),
        Column("kind", lambda row: row.kind),
        Column("state", lambda row: row.state),
        Column("done", progress, right=True),
        Column("about", job_subject, wraps=True),
        Column("took", job_time, right=True, optional=True),
        Column("note", job_note, wraps=True),
    ),
    Check: (
        Column("check", lambda row: row.name),
        Column("", lambda row: "ok" if row.ok else "FAILS"),
        Column("found", lambda row: row.value, wraps=True),
        Column("mend", lambda row: row.mend, wraps=True),
    ),
}


def text_table(columns: Sequence[Column], rows: Iterable[Any]) -> str:
    """Rows as aligned text, without trailing blanks."""
    lines = [[column.heading for column in columns]]
    lines += [[column.text(row) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]

    def aligned(line: list[str]) -> str:
        parts = (
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        )
        return "  ".join(parts).rstrip()

    return "\n".join(map(aligned, lines))
