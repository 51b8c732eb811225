"""The job `label_text`: the words that an image-text model sees in the images that units fire on most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import sqlalchemy as sa
import torch
from torch import Tensor

from workers.labelling.dissection import SETS, Dissection, TopUnits, word_probabilities
from workers.labelling.vocabulary import WORDS
from workers.mining.significance import q_values
from workers.pipelines import inputs, networks
from workers.pipelines.context import Context
from workers.pipelines.inputs import MinedModel
from workers.pipelines.label_store import ConceptMembers, Said, concepts_within, dead_units, store_labels
from workers.pipelines.passes import device_of
from workers.pipelines.sightings import WHOLE, batches, means

_SEED = 0  # of the null's random images


def vocabulary() -> list[str]:
    """The built-in words: the thousand classes of ImageNet, and what names of objects do not say."""
    return list(dict.fromkeys((*WORDS, *open_clip.IMAGENET_CLASSNAMES)))


def run(context: Context) -> None:
    """Labels the units of the part's models, and the concepts within them.

    Raises:
        InvalidRequest: when a model cannot be loaded as it was registered, or gives NaN.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    wanted, payload = context.parameters, context.payload
    context.report(0, payload["images"], "loading the models")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, wanted["probe"])
        loaded = inputs.load_models(context, connection, sorted({*payload["models"], payload["image_text"]}))
        dead = {model: dead_units(connection, probe_set.id, model) for model in payload["models"]}
        concepts = concepts_within(connection, probe_set.id, payload["models"])
    models = [model for model in loaded if model.id in dead]
    guide = next(model for model in loaded if model.id == payload["image_text"])
    words = payload["words"] or vocabulary()
    texts = networks.text_tower(guide.network, device_of(context.settings.device))(words)
    tops, images = _look(context, probe_set, models, guide)
    judge = _Judge(context, words, Dissection(word_probabilities(images, texts), wanted["top"]))
    rows = torch.zeros(len(concepts.ids), len(words), device=images.device)  # of concepts: sums of their members'
    said: list[Said] = []
    for model in models:
        live = np.flatnonzero(~dead[model.id])
        said += judge.units(model.id, live, tops[model.name], concepts, rows)
    said += judge.concepts(concepts, rows)
    with context.publish({"labels": len(said), "words": len(words)}) as connection:
        store_labels(
            connection,
            context,
            kind="text",
            author=guide.name,
            probe_set_id=probe_set.id,
            models=list(dead),
            concepts=concepts.ids.tolist(),
            said=said,
        )


def _look(
    context: Context, probe_set: sa.Row[Any], models: Sequence[MinedModel], guide: MinedModel
) -> tuple[dict[str, Tensor], Tensor]:
    """By model the units' top images, int64 [U, K], and the embeddings of all images, float32 [N, D]."""
    layers = {model.name: [layer.name for layer in model.layout.layers] for model in models}
    passed = {**layers, guide.name: [*layers.get(guide.name, ()), WHOLE]}
    tops = {model.name: TopUnits(context.parameters["top"], device_of(context.settings.device)) for model in models}
    images: list[Tensor] = []
    done, total = 0, probe_set._mapping["count"]  # `.count` is a method of tuples
    everyone = [*models, *([] if guide.name in tops else [guide])]
    for positions, taken in batches(context, probe_set, everyone, passed, means):
        for (model, layer), values in taken.items():
            if layer == WHOLE:
                images.append(values)
            else:
                tops[model].update(layer, values, positions)
        done += len(positions)
        context.report(done, total, f"looking at the images with {len(everyone)} models")
    return {model: tops[model].result(names) for model, names in layers.items()}, torch.cat(images)


class _Judge:
    """Which words units and concepts get: the best ones, where they are better than chance."""

    def __init__(self, context: Context, words: Sequence[str], dissection: Dissection) -> None:
        total = context.payload["images"]
        context.report(total, total, f"{len(words):,} words against chance")
        self._context, self._words, self._dissection = context, words, dissection
        self._each = min(context.parameters["each"], len(words))
        self._null = dissection.chance(_SEED)

    def units(
        self, model_id: int, live: npt.NDArray[np.intp], tops: Tensor, concepts: ConceptMembers, rows: Tensor
    ) -> list[Said]:
        """The labels of a model's live units; their scores are added to the rows of their concepts, [C, T]."""
        places, numbers = (torch.from_numpy(part) for part in concepts.of(model_id))
        member = torch.from_numpy(np.searchsorted(live, numbers.numpy()))  # members are live
        best: list[tuple[Tensor, Tensor]] = []
        chosen = torch.from_numpy(live).to(tops.device)
        for here, scores in self._dissection.scores(tops[chosen]):
            self._context.check()
            best.append(self._best(scores))
            inside = (member >= here.start) & (member < here.stop)
            rows.index_add_(0, places[inside].to(rows.device), scores[(member[inside] - here.start).to(scores.device)])
        if not best:
            return []
        values, words = (torch.cat(part) for part in zip(*best, strict=True))
        return self._say(values, words, lambda row: {"unit": (model_id, int(live[row]))})

    def concepts(self, concepts: ConceptMembers, rows: Tensor) -> list[Said]:
        """The labels of concepts, by the mean of their members' scores."""
        if not len(concepts.ids):
            return []
        sizes = torch.from_numpy(concepts.sizes).to(rows.device)[:, None]
        return self._say(*self._best(rows / sizes), lambda row: {"concept": int(concepts.ids[row])})

    def _best(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        found = scores.topk(self._each, dim=1)
        return found.values.cpu(), found.indices.cpu()

    def _say(self, values: Tensor, words: Tensor, whose: Callable[[int], dict[str, Any]]) -> list[Said]:
        """The words below the q-value, of float32 [U, k] scores and int64 [U, k] words, best first."""
        q = q_values(values, values[:, 0], self._null)
        evidence = {"top_images": self._context.parameters["top"], "words": len(self._words), "random_sets": SETS}
        return [
            Said(
                text=self._words[int(words[row, rank])],
                score=float(values[row, rank]),
                evidence={"q_value": float(q[row, rank]), "rank": rank + 1, **evidence},
                **whose(row),
            )
            for row, rank in (q < self._context.parameters["q_value"]).nonzero().tolist()
        ]
