"""What each call of the client asks of the service, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from rosetta import results
from rosetta.addresses import UnitReference, check_model_name, format_address, parse_address, parse_unit
from rosetta.dictionaries import Dictionary
from rosetta.effects import Operation, Request
from rosetta.errors import InvalidRequest, Unavailable
from rosetta.results import (
    Answer,
    Check,
    Concept,
    CorrelatedMatch,
    Job,
    Match,
    ModelPair,
    Module,
    Page,
    ProbeSet,
    SketchMatch,
    Table,
    Unit,
)
from rosetta.rows import Rows, SqlRows
from rosetta.uploads import upload_images, upload_weights
from rosetta.wire import decode, send

T = TypeVar("T")

_PAGE = 500
# The schemes whose reference is a file: one that lies here is sent, any other path is the service's own.
_FILE_SCHEMES = frozenset({"onnx", "stylegan", "export", "recording"})


def list_all(
    path: str, kind: type[T], noun: str, params: Mapping[str, Any] | None = None, limit: int | None = None
) -> Operation[Rows[T]]:
    """All items of a list, or the first `limit`, page by page."""
    items: list[T] = []
    cursor: str | None = None
    while limit is None or len(items) < limit:
        page_size = _PAGE if limit is None else min(_PAGE, limit - len(items))
        query = {**(params or {}), "limit": page_size, "cursor": cursor}
        response = yield from send(Request("GET", path, params=query))
        page = decode(response, Page[kind])  # type: ignore[valid-type]  # known at run time alone
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return Rows(items, kind, noun)


def get(path: str, kind: type[T]) -> Operation[T]:
    """One thing."""
    return decode((yield from send(Request("GET", path))), kind)


def remove(path: str) -> Operation[None]:
    """Nothing: the thing is gone."""
    yield from send(Request("DELETE", path, repeatable=False))


def health() -> Operation[Rows[Check]]:
    """What the service needs, and whether it works; that some of it does not is no error here."""
    try:
        response = yield from send(Request("GET", "/readyz", repeatable=False))
        checks = decode(response, _Readiness).checks
    except Unavailable as error:
        if "checks" not in error.details:
            raise
        checks = msgspec.convert(error.details["checks"], list[Check])
    return Rows(checks, Check, "checks")


class _Readiness(msgspec.Struct):
    checks: list[Check]


def models_path(name: str | None = None) -> str:
    """The path of a model, or of all."""
    return "/v1/models" if name is None else f"/v1/models/{_segment(name)}"


def probes_path(name: str | None = None) -> str:
    """The path of a probe set, or of all."""
    return "/v1/probes" if name is None else f"/v1/probes/{_segment(name)}"


def _segment(text: str) -> str:
    if not text:
        raise InvalidRequest("a name is empty")
    return quote(text, safe=":")


def register_model(
    name: str,
    source: str,
    *,
    layers: Sequence[str] | str | None,
    weights: str | Path | None,
    family: str | None,
    aliases: Sequence[str],
    progress: bool,
) -> Operation[Job]:
    """The job that registers a model; local files were sent."""
    check_model_name(name)
    source, reference = yield from _send_files(source, weights, progress=progress)
    body = {
        "name": name,
        "source": source,
        "layers": _names(layers),
        "weights": reference,
        "family": family,
        "aliases": list(aliases),
    }
    return decode((yield from send(Request("POST", "/v1/models", body=body, repeatable=False))), Job)


def inspect_source(
    source: str, *, layers: Sequence[str] | str | None, weights: str | Path | None, progress: bool
) -> Operation[Job]:
    """The job that says what every module of a network gives; local files were sent."""
    source, reference = yield from _send_files(source, weights, progress=progress)
    body = {"source": source, "layers": _names(layers), "weights": reference}
    return decode((yield from send(Request("POST", "/v1/sources/layers", body=body))), Job)


def modules(job: Job) -> Rows[Module]:
    """What an inspection found, once it is done."""
    return Rows(msgspec.convert((job.result or {})["modules"], list[Module]), Module, "modules")


def _send_files(source: str, weights: str | Path | None, *, progress: bool) -> Operation[tuple[str, str | None]]:
    """Source and weights as the service knows them; those of their files that lie here were sent."""
    scheme, _, reference = source.partition(":")
    file, mark, options = reference.partition("?")  # such as onnx:FILE?size=224
    if scheme in _FILE_SCHEMES and (path := Path(file).expanduser()).is_file():
        source = f"{scheme}:{yield from upload_weights(path, progress=progress)}{mark}{options}"
    if weights is not None and (path := Path(weights).expanduser()).is_file():
        weights = yield from upload_weights(path, progress=progress)
    return source, None if weights is None else str(weights)


def _names(several: Sequence[str] | str | None) -> list[str] | None:
    """Names that may be one or none."""
    return [several] if isinstance(several, str) else list(several) if several is not None else None


def add_probe(
    name: str,
    *,
    images: str | Path | None,
    generator: str | None,
    count: int | None,
    seed: int,
    class_index: int | None,
    truncation: float | None,
    size: int | None,
    skip_broken: bool,
    progress: bool,
) -> Operation[ProbeSet]:
    """The probe set, made or stored before; local images were sent."""
    check_model_name(name)
    body: dict[str, Any] = {"name": name}
    if generator is not None and images is None:
        if count is None:
            raise InvalidRequest(f"how many images should {generator} make? Give a count, such as 100")
        if size is not None or skip_broken:
            raise InvalidRequest("size and skip_broken go with a folder of images, not with a generator")
        body |= {"generator": generator, "count": count, "seed": seed}
        body |= {"class_index": class_index, "truncation": truncation}
    elif images is not None and generator is None:
        if count is not None or class_index is not None or truncation is not None or seed:
            raise InvalidRequest("count, seed, class and truncation go with a generator, not with a folder")
        folder = Path(images).expanduser()
        found = yield from upload_images(folder, skip_broken=skip_broken, progress=progress)
        body["images"] = [{"name": image.name, "digest": image.digest} for image in found]
        if size is not None:
            body["size"] = size
    else:
        raise InvalidRequest("a probe set is made of a folder of images or of a generator's samples: name one")
    return decode((yield from send(Request("POST", "/v1/probes", body=body))), ProbeSet)


def mine(probe: str, models: Sequence[str] | str | None, keep: int, *, sketch_only: bool, parts: int) -> Operation[Job]:
    """The job that mines; the same inputs give the same job, so asking twice is safe."""
    names = [models] if isinstance(models, str) else list(models) if models is not None else None
    body = {"probe": probe, "models": names, "keep": keep, "sketch_only": sketch_only, "parts": parts}
    return decode((yield from send(Request("POST", "/v1/mine", body=body))), Job)


def change_job(job_id: int, change: str) -> Operation[Job]:
    """The job, after `cancel` or `retry`."""
    if change == "cancel":
        request = Request("DELETE", f"/v1/jobs/{job_id}")
    else:
        request = Request("POST", f"/v1/jobs/{job_id}/{change}", repeatable=False)
    return decode((yield from send(request)), Job)


def locate(model: str, unit: int | str | None) -> tuple[str, UnitReference]:
    """The model and unit of `"dcgan-faces", 214`, of `"dcgan-faces", "main.8:45"`, or of one whole address.

    Raises:
        InvalidRequest: when it is neither.
    """
    if unit is None:
        return parse_address(model)
    return model, parse_unit(unit)


def get_unit(model: str, unit: int | str | None) -> Operation[Unit]:
    """A unit and its statistics."""
    name, reference = locate(model, unit)
    return (yield from get(f"{models_path(name)}/units/{_segment(str(reference))}", Unit))


def find_matches(
    model: str,
    number: int,
    into: str | None,
    probe: str | None,
    *,
    top: int | None,
    best_buddies: bool,
    approximate: bool,
) -> Operation[Rows[Match]]:
    """A unit's matches, in each model by rank."""
    params = {"in": into, "probe": probe, "top": top, "best_buddies": "true" if best_buddies else None}
    params["approximate"] = "true" if approximate else None
    return (yield from list_all(f"{models_path(model)}/units/{number}/matches", Match, "matches", params))


def correlate(
    unit: str, candidates: Sequence[str | Match | SketchMatch] | None, *, into: str | None, probe: str | None, top: int
) -> Operation[Job]:
    """The job that correlates a unit with its candidates; asking twice gives the same job."""
    parse_address(unit)
    named = None if candidates is None else [_neighbour(candidate) for candidate in candidates]
    body = {"unit": unit, "candidates": named, "in": into, "probe": probe, "top": top}
    return decode((yield from send(Request("POST", "/v1/correlate", body=body))), Job)


def _neighbour(candidate: str | Match | SketchMatch) -> str:
    """The address of a candidate."""
    if isinstance(candidate, str):
        parse_address(candidate)
        return candidate
    return format_address(candidate.neighbour_model, candidate.neighbour_layer, candidate.neighbour_channel)


def correlated(job: Job) -> Rows[CorrelatedMatch]:
    """What correlating found, once it is done."""
    found = (job.result or {}).get("matches", [])
    return Rows(msgspec.convert(found, list[CorrelatedMatch]), CorrelatedMatch, "matches")


def list_pairs(model: str | None, into: str | None, probe: str | None) -> Operation[Rows[ModelPair]]:
    """How much models share, pair by pair."""
    params = {"model": model, "in": into, "probe": probe}
    return (yield from list_all("/v1/pairs", ModelPair, "pairs of models", params))


def list_concepts(
    probe: str | None, *, version: int | None, min_models: int, model: str | None, order: str, limit: int | None
) -> Operation[Rows[Concept]]:
    """Concepts, without their members."""
    params = {"probe": probe, "version": version, "min_models": min_models, "model": model, "order": order}
    return (yield from list_all("/v1/concepts", Concept, "concepts", params, limit))


def find_concepts(probe: str, numbers: Mapping[str, float | int | None]) -> Operation[Job]:
    """The job that finds concepts; what is None is the service's choice."""
    body = {"probe": probe, **{name: value for name, value in numbers.items() if value is not None}}
    return decode((yield from send(Request("POST", "/v1/concepts", body=body))), Job)


def dictionary(
    generator: str,
    models: Sequence[str] | str,
    *,
    probe: str | None,
    k: int,
    strict: bool,
    q_value: float | None,
    limit: int | None,
) -> Operation[Dictionary]:
    """The tuples of a generator and of models."""
    named = models if isinstance(models, str) else ",".join(models)
    params: dict[str, Any] = {"generator": generator, "models": named, "probe": probe, "k": k, "limit": limit}
    params |= {"strict": "true" if strict else None, "q": "all" if q_value is None else q_value}
    response = yield from send(Request("GET", "/v1/dictionary", params=params))
    return Dictionary(decode(response, results.Dictionary))


def ask(question: str, probe: str | None) -> Operation[Answer]:
    """What the service understood and found."""
    body = {"question": question, "probe": probe}
    return decode((yield from send(Request("POST", "/v1/ask", body=body))), Answer)


def query(sql: str) -> Operation[SqlRows]:
    """The rows of a SQL query."""
    return SqlRows(decode((yield from send(Request("POST", "/v1/sql", body={"query": sql}))), Table))
