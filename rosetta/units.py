"""A unit, as the client hands it out: it can be asked for its matches, its exemplars and its heat maps."""

from __future__ import annotations

from rosetta import html, operations, pictures, results, strips
from rosetta.client_labels import list_labels
from rosetta.handles import AsyncJobHandle, JobHandle
from rosetta.interventions import Action, Effects, list_effects
from rosetta.labels import Label, LabelKind
from rosetta.pictures import Format, Measure, Picture
from rosetta.results import Exemplar, Match, UnitStatistics
from rosetta.rows import Rows
from rosetta.transport import AsyncTransport, Transport

_IMAGES_IN_HTML, _CELL_IN_HTML = 6, 144


class _UnitHandle:
    """A unit of a model.

    Attributes:
        model: its name.
        number: model-wide, 0-based, layers in forward order.
        layer: module path.
        channel: in the layer.
        address: `model/layer:channel`.
        height: of its activation map.
        width: of its activation map.
        statistics: its response on every probe set that its model was mined on.
    """

    def __init__(self, transport: Transport | AsyncTransport, unit: results.Unit) -> None:
        self._pictures = transport.pictures
        self.model = unit.model
        self.number = unit.number
        self.layer = unit.layer
        self.channel = unit.channel
        self.address = unit.address
        self.height = unit.height
        self.width = unit.width
        self.statistics: Rows[UnitStatistics] = Rows(unit.statistics, UnitStatistics, "statistics")

    def __repr__(self) -> str:
        return f"<unit {self.number} of {self.model}: {self.layer}:{self.channel}, {self.height}x{self.width}>"

    def _repr_html_(self) -> str:
        path = f"{operations.models_path(self.model)}/units/{self.number}/grid"
        params = {"images": _IMAGES_IN_HTML, "size": _CELL_IN_HTML}
        figure = strips.figure(self._pictures, path, params, f"{self.address} and its best matches on the same images")
        return html.text(repr(self).strip("<>")) + figure + self.statistics._repr_html_()


class UnitHandle(_UnitHandle):
    """A unit of a model, which can be asked for its matches and pictures."""

    def __init__(self, transport: Transport, unit: results.Unit) -> None:
        super().__init__(transport, unit)
        self._transport = transport

    def matches(
        self,
        model: str | None = None,
        top: int | None = None,
        *,
        best_buddies: bool = False,
        approximate: bool = False,
        probe: str | None = None,
    ) -> Rows[Match]:
        """The unit's matches, in each model by rank.

        Args:
            model: where to look: a model, a family or a nickname; all models when left out.
            top: how many in each model; 10 when left out, or as many as mining kept.
            best_buddies: only matches whose own best match is this unit.
            approximate: estimate from sketches, also in models that it was never compared with; `correlate` makes
                these matches exact.
            probe: a probe set; the newest one of each pair of models, or of the unit's model when approximate.

        Raises:
            NotFound: when a name is unknown, with the nearest ones, or the models were not mined.
            InvalidRequest: when the unit is dead, or best buddies are to be approximate.

        Example:
            >>> client.unit("dcgan-faces", 813).matches(model="efficientnet-lite0", top=3)
        """
        operation = operations.find_matches(
            self.model, self.number, model, probe, top=top, best_buddies=best_buddies, approximate=approximate
        )
        return self._transport.run(operation)

    def correlate(self, model: str | None = None, top: int = 10, *, probe: str | None = None) -> JobHandle:
        """The job that correlates the unit exactly with its approximate matches; its `matches` are the rows.

        Args:
            model: where to look: a model, a family or a nickname; all models with sketches when left out.
            top: candidates in each model.
            probe: a probe set; the one on which the unit's model was mined last when left out.

        Raises:
            NotFound: when a name is unknown, with the nearest ones, or there are no sketches.
            InvalidRequest: when the unit is dead.

        Example:
            >>> client.unit("dcgan-faces", 813).correlate(model="mobilenet").wait().matches
        """
        operation = operations.correlate(self.address, None, into=model, probe=probe, top=top)
        return JobHandle(self._transport, self._transport.run(operation))

    def exemplars(self, probe: str | None = None, by: Measure = "maximum") -> Rows[Exemplar]:
        """The images of a probe set on which the unit fires most, best first; of a dead unit none.

        Args:
            probe: a probe set; the one on which the unit's model was mined last when left out.
            by: the maximum of its activation map, or the mean.

        Raises:
            NotFound: when the probe set is unknown, or the model was not mined there.
        """
        return self._transport.run(pictures.exemplars(self.model, self.number, probe, by))

    def labels(self, kind: LabelKind | None = None) -> Rows[Label]:
        """What the unit answers to, in words, newest first: said by people, or measured by jobs.

        Args:
            kind: `person`, `text` or `mask`; all when left out.

        Example:
            >>> client.unit("dcgan-faces", 813).labels()
        """
        return self._transport.run(list_labels(self.address, {"kind": kind}, None))

    def effects(self, probe: str | None = None, action: Action | None = None) -> Effects:
        """What a generator's unit causes in its matches, or what causes it, as `Client.effects` says."""
        return self._transport.run(list_effects(self.address, {"probe": probe, "action": action}, None))

    def heatmap(
        self,
        image: int,
        probe: str | None = None,
        *,
        overlay: bool = True,
        quantile: float | None = None,
        size: int | None = None,
        format: Format = "png",
    ) -> Picture:
        """The unit's activation map on an image, in colours from its mean to its high values there, as a file.

        Args:
            image: its place in the probe set, from 0, such as an exemplar's `image`.
            probe: a probe set; the one on which the unit's model was mined last when left out.
            overlay: over the image; else colours alone.
            quantile: of the map's values, which the contour follows; 0: no contour.
            size: the longer side, pixels; the probe set's own when left out.
            format: `png` or `webp`.

        Raises:
            NotFound: when there is no such image, or the model was not mined there.
            Unavailable: when no worker is at work, or it takes longer than a request waits.

        Example:
            >>> client.unit("dcgan-faces", 813).heatmap(image=3, size=256).save("unit.png")
        """
        operation = pictures.heatmap(
            self.model, self.number, image, probe, overlay=overlay, quantile=quantile, size=size, form=format
        )
        return self._transport.run(operation)

    def grid(
        self,
        model: str | None = None,
        top: int = 1,
        *,
        best_buddies: bool = False,
        probe: str | None = None,
        by: Measure = "maximum",
        images: int | None = None,
        size: int | None = None,
        format: Format = "png",
    ) -> Picture:
        """The figure of the unit and its best matches in other models, on the images that it fires on most.

        Args:
            model: where to look: a model, a family or a nickname; every model that it was compared with when left out.
            top: matches in each model.
            best_buddies: only matches whose own best match is this unit.
            probe: a probe set; the one on which the unit's model was mined last when left out.
            by: which images: of the greatest maximum or mean of its activation map.
            images: how many; 8 when left out.
            size: the longer side of a cell, pixels; 192 when left out. All else is in proportion.
            format: `png` or `webp`.

        Raises:
            NotFound: when a name is unknown, or the model was not mined there.
            InvalidRequest: when the unit is dead, or the figure would be too large.
            Unavailable: when no worker is at work.

        Example:
            >>> client.unit("dcgan-faces", 813).grid().save("unit.png")
        """
        operation = pictures.unit_grid(
            self.model,
            self.number,
            model,
            top,
            best_buddies=best_buddies,
            probe=probe,
            by=by,
            images=images,
            size=size,
            form=format,
        )
        return self._transport.run(operation)


class AsyncUnitHandle(_UnitHandle):
    """A unit of a model, which can be asked for its matches and pictures without blocking."""

    def __init__(self, transport: AsyncTransport, unit: results.Unit) -> None:
        super().__init__(transport, unit)
        self._transport = transport

    async def matches(
        self,
        model: str | None = None,
        top: int | None = None,
        *,
        best_buddies: bool = False,
        approximate: bool = False,
        probe: str | None = None,
    ) -> Rows[Match]:
        """As `UnitHandle.matches`."""
        operation = operations.find_matches(
            self.model, self.number, model, probe, top=top, best_buddies=best_buddies, approximate=approximate
        )
        return await self._transport.run(operation)

    async def correlate(self, model: str | None = None, top: int = 10, *, probe: str | None = None) -> AsyncJobHandle:
        """As `UnitHandle.correlate`."""
        operation = operations.correlate(self.address, None, into=model, probe=probe, top=top)
        return AsyncJobHandle(self._transport, await self._transport.run(operation))

    async def exemplars(self, probe: str | None = None, by: Measure = "maximum") -> Rows[Exemplar]:
        """As `UnitHandle.exemplars`."""
        return await self._transport.run(pictures.exemplars(self.model, self.number, probe, by))

    async def labels(self, kind: LabelKind | None = None) -> Rows[Label]:
        """As `UnitHandle.labels`."""
        return await self._transport.run(list_labels(self.address, {"kind": kind}, None))

    async def effects(self, probe: str | None = None, action: Action | None = None) -> Effects:
        """As `UnitHandle.effects`."""
        return await self._transport.run(list_effects(self.address, {"probe": probe, "action": action}, None))

    async def heatmap(
        self,
        image: int,
        probe: str | None = None,
        *,
        overlay: bool = True,
        quantile: float | None = None,
        size: int | None = None,
        format: Format = "png",
    ) -> Picture:
        """As `UnitHandle.heatmap`."""
        operation = pictures.heatmap(
            self.model, self.number, image, probe, overlay=overlay, quantile=quantile, size=size, form=format
        )
        return await self._transport.run(operation)

    async def grid(
        self,
        model: str | None = None,
        top: int = 1,
        *,
        best_buddies: bool = False,
        probe: str | None = None,
        by: Measure = "maximum",
        images: int | None = None,
        size: int | None = None,
        format: Format = "png",
    ) -> Picture:
        """As `UnitHandle.grid`."""
        operation = pictures.unit_grid(
            self.model,
            self.number,
            model,
            top,
            best_buddies=best_buddies,
            probe=probe,
            by=by,
            images=images,
            size=size,
            form=format,
        )
        return await self._transport.run(operation)
