"""Recipes from requests: names become digests, choices become pairs of units with their statistics."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import sqlalchemy as sa

from rosetta.addresses import format_address, parse_address
from rosetta.edits import Align, ChangeUnit, CopyPaste, Edit, ImageReference, PairChoice
from rosetta.errors import InvalidRequest, NotFound
from rosetta.recipes import Optimiser, Recipe, RecipePair, Weights
from service.queries import concepts, names, translations
from service.queries.generators import compared_models, mined_probe_set, one_generator
from service.queries.matched_pairs import matched_pairs
from service.recipe_checks import Frame, check_edit, check_image_reference, check_optimiser, check_seed
from service.settings import Settings

Space = Literal["z", "w", "w+"]

MOST_IMAGES, MOST_EDITS = 256, 16
_ALL, _USUAL = PairChoice(), Optimiser()


def inversion(
    conn: sa.Connection,
    settings: Settings,
    *,
    generator: str,
    images: Sequence[ImageReference],
    models_: Sequence[str] | None = None,
    probe: str | None = None,
    pairs: PairChoice = _ALL,
    optimiser: Optimiser = _USUAL,
    space: Space | None = None,
    seed: int = 0,
    class_index: int | None = None,
) -> Recipe:
    """The recipe that makes a generator follow what models see in images.

    Args:
        conn: where to look.
        settings: say where uploads lie.
        generator: a name, or a nickname that stands for one generator.
        images: what it is to make.
        models_: whose eyes; None: all that share units with it.
        probe: the probe set on which they were mined; None: the newest of the generator's.
        pairs: which units steer.
        optimiser: how.
        space: of the latents; None: w where the generator has styles, else z.
        seed: of all draws.
        class_index: None: of a generator with classes, they are searched.

    Raises:
        NotFound: when a name or an image is unknown, or they were not mined together, with the mine that would.
        InvalidRequest: when a number is none, no pair of units is left, or a model makes no images.
    """
    row = one_generator(conn, generator)
    check_optimiser(optimiser)
    if not 1 <= len(images) <= MOST_IMAGES:
        raise InvalidRequest(f"name 1 to {MOST_IMAGES} images, not {len(images)}")
    for image in images:
        check_image_reference(conn, settings, image)
    latents = row.details.get("latents") or {}
    space = space or ("w" if latents.get("styles") else "z")
    if space != "z" and not latents.get("styles"):
        raise InvalidRequest(f"{row.name} has no {space}, which only generators with styles have: invert in z")
    classes = latents.get("classes")
    if class_index is not None and not 0 <= class_index < (classes or 0):
        has = f"classes 0 to {classes - 1}" if classes else "no classes"
        raise InvalidRequest(f"{row.name} has {has}: class {class_index} is none of it", class_index=class_index)
    probe_set = mined_probe_set(conn, row, probe)
    chosen = compared_models(conn, row, probe_set, models_)
    found = _pairs(conn, row, chosen, probe_set, pairs, named=models_ is not None)
    return Recipe(
        kind="inversion",
        generator=Weights(row.name, row.weights_digest),
        probe_set=probe_set.name,
        models=tuple(Weights(model.name, model.weights_digest) for model in chosen),
        pairs=tuple(found),
        images=tuple(images),
        space=space,
        optimiser=optimiser,
        seed=check_seed(seed),
        class_index=class_index,
        truncation=probe_set.truncation if space == "z" else None,
    )


def edit(
    conn: sa.Connection,
    settings: Settings,
    translation: int,
    edits: Sequence[Edit],
    *,
    positions: Sequence[int] | None = None,
    optimiser: Optimiser | None = None,
) -> Recipe:
    """The recipe that changes what a translation made, one edit after the other.

    Args:
        conn: where to look.
        settings: say where uploads lie.
        translation: an inversion, or an edit.
        edits: at least one.
        positions: of its images; None: all.
        optimiser: how; None: as the translation was made, from where it ended.

    Raises:
        NotFound: when there is no such translation or image, unit or concept.
        InvalidRequest: when there are no edits, or a number is none.
    """
    made = translations.get_translation(conn, translation)
    base = Recipe.from_json(made.recipe)
    if not 1 <= len(edits) <= MOST_EDITS:
        raise InvalidRequest(f"an edit has 1 to {MOST_EDITS} steps, not {len(edits)}")
    chosen = list(range(made.images)) if positions is None else list(dict.fromkeys(positions))
    if not chosen or not all(0 <= position < made.images for position in chosen):
        raise NotFound(f"translation {translation} has images 0 to {made.images - 1}, not {chosen}")
    frame = _frame(conn, base.generator.name)
    for one in edits:
        check_edit(one, frame)
    latents = translations.read_latents(conn, translation)[chosen]
    classes = [made.items[position].class_index for position in chosen]
    # A change of units keeps the rest of the picture, which is all that holds the latent.
    prior = 0.0 if all(isinstance(one, ChangeUnit) for one in edits) else base.optimiser.prior
    wanted = optimiser or replace(base.optimiser, starts=1, draws=1, pixel=0.0, perceptual=0.0, prior=prior)
    check_optimiser(wanted)
    return replace(
        base,
        kind="edit",
        parent=translation,
        images=tuple(ImageReference(translation=translation, position=position) for position in chosen),
        optimiser=wanted,
        latents=base64.b64encode(latents.astype("<f4").tobytes()).decode(),
        shape=latents.shape,
        classes=tuple(index for index in classes if index is not None),
        edits=tuple(asdict(_resolved(conn, settings, base, one)) for one in edits),
    )


def _frame(conn: sa.Connection, generator: str) -> Frame:
    """Width and height of a generator's images."""
    latents = names.model_row(conn, generator).details["latents"]
    return latents["width"], latents["height"]


def _pairs(
    conn: sa.Connection,
    generator: sa.Row[Any],
    chosen: list[sa.Row[Any]],
    probe_set: sa.Row[Any],
    choice: PairChoice,
    *,
    named: bool,
) -> list[RecipePair]:
    """The pairs of all models; of models that were not named, those without any are passed over."""
    found: list[RecipePair] = []
    reasons: list[InvalidRequest] = []
    for place, model in enumerate(chosen):
        try:
            pairs = matched_pairs(conn, generator, model, probe_set, **asdict(choice))
        except InvalidRequest as error:
            if named:
                raise
            reasons.append(error)
            continue
        found += [
            RecipePair(
                pair.layer,
                pair.channel,
                pair.mean,
                pair.std,
                place,
                pair.neighbour_layer,
                pair.neighbour_channel,
                pair.neighbour_mean,
                pair.neighbour_std,
                pair.neighbour_minimum,
                pair.correlation**2,
            )
            for pair in pairs
            if pair.correlation > 0
        ]
    if not found:
        raise reasons[0] if reasons else InvalidRequest("no pair of units with r above 0 is left: choose others")
    return found


def _resolved(conn: sa.Connection, settings: Settings, recipe: Recipe, one: Edit) -> Edit:
    """The edit with what it names looked up: images are there, a concept is its units."""
    if isinstance(one, Align):
        check_image_reference(conn, settings, one.image)
    if isinstance(one, CopyPaste) and one.image is not None:
        check_image_reference(conn, settings, one.image)
    if not isinstance(one, ChangeUnit):
        return one
    if (one.unit is None) == (one.concept is None):
        raise InvalidRequest("a change of units names a unit or a concept, one of the two")
    if one.concept is not None:
        members = concepts.get_concept(conn, one.concept).members
        units = [format_address(member.model, member.layer, member.channel) for member in members]
    else:
        name, reference = parse_address(one.unit or "")
        model = names.model_row(conn, name)
        unit = names.unit_row(conn, model, reference)
        units = [format_address(model.name, unit.layer, unit.channel)]
    steering = {format_address(recipe.generator.name, pair.layer, pair.channel) for pair in recipe.pairs}
    steering |= {
        format_address(recipe.models[pair.model].name, pair.model_layer, pair.model_channel) for pair in recipe.pairs
    }
    if not steering & set(units):
        what = one.unit if one.concept is None else f"concept {one.concept}"
        raise InvalidRequest(
            f"none of the {len(recipe.pairs)} pairs that steer has a unit of {what}: invert with more pairs, such as a "
            "greater k or q_value"
        )
    return replace(one, units=tuple(units))
