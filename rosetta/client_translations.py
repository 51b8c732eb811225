"""What a client does with translations, blocking and with an event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rosetta import steering
from rosetta.connection import Connection
from rosetta.edits import PairChoice
from rosetta.errors import InvalidRequest
from rosetta.handles import AsyncJobHandle, JobHandle
from rosetta.operations import list_all, remove
from rosetta.recipes import Optimiser
from rosetta.rows import Rows
from rosetta.steering import Target
from rosetta.translation_handles import AsyncTranslationHandle, TranslationHandle
from rosetta.translations import Translation
from rosetta.transport import AsyncTransport

Kind = Literal["inversion", "edit"]
Space = Literal["z", "w", "w+"]


def _number(translation: int | JobHandle | AsyncJobHandle) -> int:
    """The number of a translation, or of the one that a job made."""
    if isinstance(translation, int):
        return translation
    made = (translation.result or {}).get("translation")
    if made is None:
        raise InvalidRequest(f"job {translation.id} made no translation: wait for it, or name the translation")
    return int(made)


class TranslationCalls(Connection):
    """The calls that steer generators through the units they share with other models."""

    def invert(
        self,
        generator: str,
        images: Target | Sequence[Target],
        *,
        models: Sequence[str] | str | None = None,
        probe: str | None = None,
        pairs: PairChoice | None = None,
        optimiser: Optimiser | None = None,
        space: Space | None = None,
        seed: int = 0,
        class_index: int | None = None,
    ) -> JobHandle:
        """The job that has a generator make images that models see as they see the given ones.

        Args:
            generator: a name, or a nickname that stands for one generator.
            images: one or several: files, bytes, pictures of Pillow, or `ImageReference(probe="faces", position=3)`.
            models: whose eyes to borrow; all that share units with the generator when left out.
            probe: the probe set on which they were mined; the generator's newest when left out.
            pairs: which pairs of units steer; all significant ones when left out.
            optimiser: steps, rate, starts, and weights of further terms.
            space: of the latents; `w` where the generator has styles, else `z`, when left out.
            seed: of all draws.
            class_index: of a generator with classes; searched when left out.

        Raises:
            NotFound: when a name is unknown, or they were not mined together, with the mine that would.
            InvalidRequest: when a number is none, an image is none, or no pair of units is left.

        Example:
            >>> job = client.invert("dcgan-faces", "me.jpg", models="efficientnet-lite0").wait()
            >>> client.translation(job).picture().save("like-me.png")
        """
        operation = steering.invert(
            generator,
            images,
            models=models,
            probe=probe,
            pairs=pairs,
            optimiser=optimiser,
            space=space,
            seed=seed,
            class_index=class_index,
        )
        return JobHandle(self._transport, self._run(operation))

    def translation(self, translation: int | JobHandle) -> TranslationHandle:
        """A translation with its images, by its number or by the job that made it.

        Raises:
            NotFound: when there is none.
            InvalidRequest: when the job is not done.
        """
        number = _number(translation)
        return TranslationHandle(self._transport, self._run(steering.get_translation(number)))

    def translations(
        self, generator: str | None = None, *, kind: Kind | None = None, limit: int | None = None
    ) -> Rows[Translation]:
        """Translations, newest first, without their images.

        Args:
            generator: a model, a family or a nickname; any when left out.
            kind: `inversion` or `edit`; both when left out.
            limit: how many; all when left out.
        """
        params = {"generator": generator, "kind": kind}
        return self._run(list_all("/v1/translations", Translation, "translations", params, limit))

    def run_recipe(self, recipe: Mapping[str, Any], *, again: bool = False) -> JobHandle:
        """The job that carries out a recipe; on the same device it makes the same images, bit for bit.

        Args:
            recipe: of a translation, here or elsewhere.
            again: do it though it was done here.

        Raises:
            InvalidRequest: when it is none, or a model here has other weights.
        """
        return JobHandle(self._transport, self._run(steering.run_recipe(recipe, again=again)))

    def remove_translation(self, translation: int) -> None:
        """Removes a translation; edits of it stay.

        Raises:
            NotFound: when there is none of that number.
        """
        self._run(remove(steering.path_of(translation)))


class AsyncTranslationCalls:
    """`TranslationCalls`, awaited."""

    _transport: AsyncTransport

    async def invert(
        self,
        generator: str,
        images: Target | Sequence[Target],
        *,
        models: Sequence[str] | str | None = None,
        probe: str | None = None,
        pairs: PairChoice | None = None,
        optimiser: Optimiser | None = None,
        space: Space | None = None,
        seed: int = 0,
        class_index: int | None = None,
    ) -> AsyncJobHandle:
        """As `Client.invert`."""
        operation = steering.invert(
            generator,
            images,
            models=models,
            probe=probe,
            pairs=pairs,
            optimiser=optimiser,
            space=space,
            seed=seed,
            class_index=class_index,
        )
        return AsyncJobHandle(self._transport, await self._transport.run(operation))

    async def translation(self, translation: int | AsyncJobHandle) -> AsyncTranslationHandle:
        """As `Client.translation`."""
        number = _number(translation)
        return AsyncTranslationHandle(self._transport, await self._transport.run(steering.get_translation(number)))

    async def translations(
        self, generator: str | None = None, *, kind: Kind | None = None, limit: int | None = None
    ) -> Rows[Translation]:
        """As `Client.translations`."""
        params = {"generator": generator, "kind": kind}
        return await self._transport.run(list_all("/v1/translations", Translation, "translations", params, limit))

    async def run_recipe(self, recipe: Mapping[str, Any], *, again: bool = False) -> AsyncJobHandle:
        """As `Client.run_recipe`."""
        return AsyncJobHandle(self._transport, await self._transport.run(steering.run_recipe(recipe, again=again)))

    async def remove_translation(self, translation: int) -> None:
        """As `Client.remove_translation`."""
        await self._transport.run(remove(steering.path_of(translation)))
