"""What a client does with directions, blocking and with an event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rosetta import directions
from rosetta.connection import Connection
from rosetta.directions import Directions, DirectionSets
from rosetta.handles import AsyncJobHandle, JobHandle
from rosetta.pictures import Format, Picture
from rosetta.transport import AsyncTransport


class DirectionCalls(Connection):
    """The calls about directions: along what a generator's images change most."""

    def find_directions(
        self,
        generator: str,
        *,
        layer: str | None = None,
        models: Sequence[str] | str | None = None,
        probe: str | None = None,
        axes: int | None = None,
        samples: int | None = None,
        latents: int | None = None,
        controls: int | None = None,
        class_index: int | None = None,
        seed: int | None = None,
    ) -> JobHandle:
        """The job that finds directions of a generator's latents, and what moves along each.

        Args:
            generator: a name, or a nickname that stands for one generator.
            layer: whose activations are to change most; `w` of a generator with styles, else its first layer.
            models: whose units are watched; all that share units with it when left out.
            probe: its statistics and concepts say what moves; the generator's newest when left out.
            axes: how many; 10 when left out.
            samples: to find them from; ten for each number of a latent, 2,000 at least, when left out.
            latents: from where the movements are measured; 16 when left out.
            controls: random directions beside them; 64 when left out.
            class_index: of all samples; each draws its own when left out.
            seed: of all draws; 0 when left out.

        Raises:
            NotFound: when a name is unknown.
            InvalidRequest: when a number is none.

        Example:
            >>> client.find_directions("dcgan-faces").wait()
            >>> client.directions("dcgan-faces")
        """
        numbers = _numbers(layer, probe, axes, samples, latents, controls, class_index, seed)
        return JobHandle(self._transport, self._run(directions.find_directions(generator, models, numbers)))

    def direction_sets(self, generator: str | None = None, *, limit: int | None = None) -> DirectionSets:
        """Directions that were found, newest first; of one generator when it is named."""
        return self._run(directions.list_directions(generator, limit))

    def directions(self, generator: str | int) -> Directions:
        """The newest directions of a generator, or those of that number, the one that changes most first.

        Raises:
            NotFound: when there are none; with the command that finds them.
        """
        return self._run(directions.get_directions(generator))

    def walk(
        self,
        found: int | Directions,
        axis: int = 0,
        *,
        sigma: tuple[float, float] = (-2.0, 2.0),
        steps: int = 9,
        seed: int | None = None,
        translation: int | None = None,
        position: int | None = None,
        size: int | None = None,
        format: Format = "png",
    ) -> Picture:
        """Images along a direction, side by side; the one in the middle is the image it leads through.

        Args:
            found: directions, or their number.
            axis: which of them, from 0.
            sigma: from where to where, in deviations.
            steps: how many images.
            seed: of the image that it leads through; 0 when left out.
            translation: leads through an image of this translation in its place.
            position: the image's place there; 0 when left out.
            size: height of an image, pixels; the generator's own when left out.
            format: `png` or `webp`.

        Raises:
            NotFound: when there is no such axis, translation or image.
            Unavailable: when no worker is at work.

        Example:
            >>> client.walk(client.directions("dcgan-faces"), axis=2, seed=7).save("walk.png")
        """
        where = _where(axis, sigma, steps, seed, translation, position, size, format)
        return self._run(directions.walk(_id(found), where))


class AsyncDirectionCalls:
    """`DirectionCalls`, awaited."""

    _transport: AsyncTransport

    async def find_directions(
        self,
        generator: str,
        *,
        layer: str | None = None,
        models: Sequence[str] | str | None = None,
        probe: str | None = None,
        axes: int | None = None,
        samples: int | None = None,
        latents: int | None = None,
        controls: int | None = None,
        class_index: int | None = None,
        seed: int | None = None,
    ) -> AsyncJobHandle:
        """As `Client.find_directions`."""
        numbers = _numbers(layer, probe, axes, samples, latents, controls, class_index, seed)
        operation = directions.find_directions(generator, models, numbers)
        return AsyncJobHandle(self._transport, await self._transport.run(operation))

    async def direction_sets(self, generator: str | None = None, *, limit: int | None = None) -> DirectionSets:
        """As `Client.direction_sets`."""
        return await self._transport.run(directions.list_directions(generator, limit))

    async def directions(self, generator: str | int) -> Directions:
        """As `Client.directions`."""
        return await self._transport.run(directions.get_directions(generator))

    async def walk(
        self,
        found: int | Directions,
        axis: int = 0,
        *,
        sigma: tuple[float, float] = (-2.0, 2.0),
        steps: int = 9,
        seed: int | None = None,
        translation: int | None = None,
        position: int | None = None,
        size: int | None = None,
        format: Format = "png",
    ) -> Picture:
        """As `Client.walk`."""
        where = _where(axis, sigma, steps, seed, translation, position, size, format)
        return await self._transport.run(directions.walk(_id(found), where))


def _id(found: int | Directions) -> int:
    return found if isinstance(found, int) else found.about.id


def _numbers(
    layer: str | None,
    probe: str | None,
    axes: int | None,
    samples: int | None,
    latents: int | None,
    controls: int | None,
    class_index: int | None,
    seed: int | None,
) -> dict[str, Any]:
    numbers = {"axes": axes, "samples": samples, "latents": latents, "controls": controls}
    return {"layer": layer, "probe": probe, **numbers, "class_index": class_index, "seed": seed}


def _where(
    axis: int,
    sigma: tuple[float, float],
    steps: int,
    seed: int | None,
    translation: int | None,
    position: int | None,
    size: int | None,
    form: Format,
) -> dict[str, Any]:
    start = {"seed": seed, "translation": translation, "position": position}
    places = f"{sigma[0]:g}..{sigma[1]:g}"
    return {"axis": axis, "sigma": places, "steps": steps, **start, "size": size, "format": form}
