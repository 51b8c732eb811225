"""Steering: from a recipe to what inversion works on, images, targets, and where to start."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from rosetta.edits import Align, ChangeUnit, CopyPaste, Edit, ImageReference, Shift, Zoom
from rosetta.errors import InvalidRequest
from rosetta.recipes import Recipe, RecipePair, edit_of
from service.pictures.reading import read_image
from service.queries import translations
from service.queries.probe_images import probe_image
from service.uploads import uploaded_image
from workers.pipelines import inputs, perceptual
from workers.pipelines.context import Context
from workers.probes import GeneratorProbes
from workers.translation import edits
from workers.translation.coordinates import Coordinates
from workers.translation.identity import elsewhere
from workers.translation.inversion import Inversion
from workers.translation.objective import ImageTerm, Objective
from workers.translation.responses import make
from workers.translation.search import Search
from workers.translation.targets import Pair, Side, Targets, look_at
from workers.zoo.base import Latents, Network

Frame = tuple[int, int]

_AT_ONCE = 64  # images of so many pixels; of larger ones fewer, as each takes memory for all its activations
_PIXELS = 64 * 64 * 64
# Part of all weights that a changed unit gets: else one pair among hundreds would be overruled by the others.
_SHARE = 0.5
_STAYS = 100.0  # weight of the picture where no changed unit fires


def chunks(images: int, frame: Frame) -> list[range]:
    """Images in parts that are worked on at once: a part of the recipe's meaning, as batches round differently."""
    size = max(1, min(_AT_ONCE, _PIXELS // (frame[0] * frame[1])))
    return [range(start, min(start + size, images)) for start in range(0, images, size)]


class Steering:
    """A recipe's networks, and what they are shown.

    Attributes:
        frame: height and width of the generator's images.
    """

    def __init__(self, context: Context, recipe: Recipe, networks: Sequence[Network], device: torch.device) -> None:
        """Takes the generator and the models of the recipe, in its order, to the device."""
        self._context, self._recipe, self._device = context, recipe, device
        self._generator, self._models = networks[0], networks[1:]
        if self._generator.latents is None:
            raise InvalidRequest(f"{recipe.generator.name} is no generator: there is nothing to steer")
        self.frame: Frame = (self._generator.latents.height, self._generator.latents.width)
        for network in networks:
            network.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._pairs = [
            [_pair(pair) for pair in recipe.pairs if pair.model == place] for place in range(len(self._models))
        ]

    def begin(self, chunk: range) -> tuple[Inversion, Tensor]:
        """The inversion of some of the recipe's images at its first step, and these images, float32 [N, 3, H, W]."""
        recipe = self._recipe
        start = self._start(chunk)
        if start is None:
            images = self._images([recipe.images[position] for position in chunk])
        else:
            with torch.inference_mode():
                images = make(self._generator, start.to(self._device))[0].cpu()
        targets = self._targets(images)
        wanted, steps = recipe.optimiser, [edit_of(step) for step in recipe.edits]
        kept = self._kept(targets, images, steps)
        for step in steps:
            targets = self._edited(targets, step)
        terms = [ImageTerm(images.to(self._device), wanted.pixel)] if wanted.pixel > 0 else []
        if wanted.perceptual > 0:
            distance = perceptual.load(self._context.settings, self._device)
            terms.append(ImageTerm(images.to(self._device), wanted.perceptual, distance))
        objective = Objective(self._generator, targets, [*terms, *kept], self._device)
        coordinates = Coordinates(
            self._generator,
            recipe.space,
            seed=recipe.seed,
            class_index=recipe.class_index,
            truncation=recipe.truncation,
            device=self._device,
        )
        search = Search(
            steps=wanted.steps,
            rate=wanted.rate,
            draws=wanted.draws,
            starts=wanted.starts,
            scouting=wanted.scouting,
            prior=wanted.prior,
            keep=wanted.keep,
        )
        return Inversion(objective, coordinates, search, start), images

    def _start(self, chunk: range) -> Latents | None:
        recipe = self._recipe
        if recipe.latents is None:
            return None
        values = np.frombuffer(base64.b64decode(recipe.latents), "<f4").reshape(recipe.shape)[chunk.start : chunk.stop]
        classes = torch.tensor(recipe.classes[chunk.start : chunk.stop]) if recipe.classes else None
        return Latents(torch.from_numpy(values.copy()), recipe.space, classes, recipe.truncation)

    def _targets(self, images: Tensor) -> list[Targets]:
        """What each model that has pairs sees in images."""
        return [
            look_at(network, images.to(self._device), pairs)
            for network, pairs in zip(self._models, self._pairs, strict=True)
            if pairs
        ]

    def _edited(self, targets: list[Targets], edit: Edit) -> list[Targets]:
        frame = self.frame
        match edit:
            case Shift():
                return [edits.shift(one, frame, edit.dx, edit.dy) for one in targets]
            case Zoom():
                return [edits.zoom(one, frame, edit.factor, edit.centre) for one in targets]
            case CopyPaste():
                sources = [None] * len(targets) if edit.image is None else self._targets(self._images([edit.image]))
                return [
                    edits.copy_paste(one, frame, edit.box, edit.to, source)
                    for one, source in zip(targets, sources, strict=True)
                ]
            case Align():
                others = self._targets(self._images([edit.image]))
                return [edits.align(one, other, edit.strength) for one, other in zip(targets, others, strict=True)]
            case ChangeUnit():
                return self._changed(targets, edit)

    def _kept(self, targets: list[Targets], images: Tensor, steps: Sequence[Edit]) -> list[ImageTerm]:
        """Where only units change, the picture that is to stay: all of it where none of them fires."""
        if not steps or not all(isinstance(step, ChangeUnit) for step in steps):
            return []
        where = torch.ones(len(images), 1, *self.frame, device=self._device)
        for step in steps:
            assert isinstance(step, ChangeUnit)
            for one, chosen in zip(targets, self._chosen(step), strict=True):
                where = torch.minimum(where, elsewhere(one, self.frame, chosen, step.box))
        return [ImageTerm(images.to(self._device), _STAYS, where=where)]

    def _chosen(self, edit: ChangeUnit) -> list[Callable[[Pair], bool]]:
        """For each model that has pairs, which of these an edit is about."""
        wanted, generator = set(edit.units), self._recipe.generator.name

        def of(name: str) -> Callable[[Pair], bool]:
            def chosen(pair: Pair) -> bool:
                own = f"{generator}/{pair.generator.layer}:{pair.generator.channel}"
                return own in wanted or f"{name}/{pair.model.layer}:{pair.model.channel}" in wanted

            return chosen

        return [of(model.name) for model, pairs in zip(self._recipe.models, self._pairs, strict=True) if pairs]

    def _changed(self, targets: list[Targets], edit: ChangeUnit) -> list[Targets]:
        """The targets with some units raised, lowered or removed, in the models that have pairs with them."""
        changed = []
        for one, chosen in zip(targets, self._chosen(edit), strict=True):
            if any(chosen(pair) for layer in one.layers for pair in layer.pairs):
                one = edits.change_units(
                    one, self.frame, chosen, edit.action, amount=edit.amount, box=edit.box, share=_SHARE
                )
            changed.append(one)
        return changed

    def _images(self, references: Sequence[ImageReference]) -> Tensor:
        """Images float32 [N, 3, H, W] in [0, 1], at the generator's size."""
        found: list[Tensor] = []
        for kind, group in groupby(references, key=lambda one: (one.probe, one.digest is not None)):
            some = list(group)
            if kind[0] is not None:
                found += self._of_probe(kind[0], [one.position or 0 for one in some])
            else:
                found += [self._of_file(one) for one in some]
        return torch.stack([self._fitted(image) for image in found])

    def _of_file(self, reference: ImageReference) -> Tensor:
        if reference.digest is not None:
            path = uploaded_image(self._context.settings, reference.digest)
            return _tensor(read_image(path, max(self.frame)))
        with self._context.engine.connect() as connection:
            file = translations.read_picture(connection, reference.translation or 0, reference.position or 0, "picture")
        with Image.open(io.BytesIO(file)) as image:
            return _tensor(np.asarray(image.convert("RGB")))

    def _of_probe(self, name: str, positions: Sequence[int]) -> list[Tensor]:
        with self._context.engine.connect() as connection:
            row = inputs.probe_row(connection, name)
            for position in positions:
                probe_image(connection, row, position)
            probes = inputs.load_probes(self._context, connection, row)
        if isinstance(probes, GeneratorProbes):
            probes.network.module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.inference_mode():
                images = make(probes.network, probes.latents(positions).to(self._device))[0].cpu()
        else:
            images = probes.images(positions)
        # As people see them: in 8 bits a colour.
        return list(images.mul(255).round().clamp(0, 255) / 255)

    def _fitted(self, image: Tensor) -> Tensor:
        if tuple(image.shape[1:]) == self.frame:
            return image
        resized = F.interpolate(image[None], size=self.frame, mode="bilinear", align_corners=False, antialias=True)
        return resized[0].clamp(0, 1)


def _pair(pair: RecipePair) -> Pair:
    return Pair(
        Side(pair.layer, pair.channel, pair.mean, pair.std),
        Side(pair.model_layer, pair.model_channel, pair.model_mean, pair.model_std, pair.model_minimum),
        pair.weight,
    )


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
