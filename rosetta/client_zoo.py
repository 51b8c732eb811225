"""What a client does with the zoo: models and probe sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

from rosetta import operations
from rosetta.connection import Connection
from rosetta.handles import JobHandle
from rosetta.operations import models_path, probes_path
from rosetta.results import Model, Module, ProbeSet
from rosetta.rows import Rows


class ZooCalls(Connection):
    """The calls about models and probe sets."""

    def models(self, family: str | None = None) -> Rows[Model]:
        """The registered models, without their layers; of one family when it is named."""
        return self._run(operations.list_all(models_path(), Model, "models", {"family": family}))

    def model(self, name: str) -> Model:
        """A model and its layers.

        Raises:
            NotFound: with the nearest names.
        """
        return self._run(operations.get(models_path(name), Model))

    @overload
    def add_model(
        self,
        name: str,
        source: str,
        layers: Sequence[str] | str | None = None,
        weights: str | Path | None = None,
        family: str | None = None,
        aliases: Sequence[str] = (),
        *,
        wait: Literal[True] = True,
        progress: bool = True,
    ) -> Model: ...
    @overload
    def add_model(
        self,
        name: str,
        source: str,
        layers: Sequence[str] | str | None = None,
        weights: str | Path | None = None,
        family: str | None = None,
        aliases: Sequence[str] = (),
        *,
        wait: Literal[False],
        progress: bool = True,
    ) -> JobHandle: ...
    def add_model(
        self,
        name: str,
        source: str,
        layers: Sequence[str] | str | None = None,
        weights: str | Path | None = None,
        family: str | None = None,
        aliases: Sequence[str] = (),
        *,
        wait: bool = True,
        progress: bool = True,
    ) -> Model | JobHandle:
        """The model, registered; with `wait=False` the job that registers it.

        Args:
            name: a slug, such as `clip-rn50`.
            source: a URI, such as `open_clip:RN50/openai`, `timm:resnet50.a1_in1k` or `onnx:net.onnx`. A file that
                lies here is sent to the service.
            layers: globs over module paths, such as `layer?`; the source's own choice when left out.
            weights: a file that lies here (it is sent) or in a weights folder of the service; the source's own
                when left out.
            family: such as `clip`; the source's own when left out.
            aliases: more nicknames that a question may use.
            wait: until it is registered.
            progress: show a bar.

        Raises:
            Conflict: when the name is taken.
            InvalidRequest: when the name, the source or a file cannot be.
            JobFailed: with the reason, such as weights that do not fit.
        """
        operation = operations.register_model(
            name, source, layers=layers, weights=weights, family=family, aliases=aliases, progress=progress
        )
        job = JobHandle(self._transport, self._run(operation))
        if not wait:
            return job
        job.wait(progress=progress)
        return self.model(name)

    @overload
    def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: Literal[True] = True,
        progress: bool = True,
    ) -> Rows[Module]: ...
    @overload
    def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: Literal[False],
        progress: bool = True,
    ) -> JobHandle: ...
    def layers(
        self,
        source: str,
        weights: str | Path | None = None,
        layers: Sequence[str] | str | None = None,
        *,
        wait: bool = True,
        progress: bool = True,
    ) -> Rows[Module] | JobHandle:
        """Every module of a network and what it gives, before anything is registered; with `wait=False` the job.

        Args:
            source: as of `add_model`.
            weights: as of `add_model`.
            layers: globs over module paths, to see which modules they choose; the source's own choice when left out.
            wait: until the service has looked.
            progress: show a bar.

        Raises:
            InvalidRequest: when the source or a file cannot be.
            JobFailed: with the reason, such as weights that do not fit, or a glob that fits no module.

        Example:
            >>> client.layers("timm:resnet50.a1_in1k").where(lambda module: module.chosen)
        """
        operation = operations.inspect_source(source, layers=layers, weights=weights, progress=progress)
        job = JobHandle(self._transport, self._run(operation))
        if not wait:
            return job
        job.wait(progress=progress)
        return operations.modules(job.last_seen)

    def remove_model(self, name: str) -> None:
        """Removes a model and all that was mined of it.

        Raises:
            NotFound: with the nearest names.
            Conflict: when a probe set consists of its samples, or a job is at work on it.
        """
        self._run(operations.remove(models_path(name)))

    def probes(self) -> Rows[ProbeSet]:
        """The probe sets, and which models were mined on each."""
        return self._run(operations.list_all(probes_path(), ProbeSet, "probe sets"))

    def probe(self, name: str) -> ProbeSet:
        """A probe set.

        Raises:
            NotFound: with the nearest names.
        """
        return self._run(operations.get(probes_path(name), ProbeSet))

    def add_probe(
        self,
        name: str,
        *,
        images: str | Path | None = None,
        generator: str | None = None,
        count: int | None = None,
        seed: int = 0,
        class_index: int | None = None,
        truncation: float | None = None,
        size: int | None = None,
        skip_broken: bool = False,
        progress: bool = True,
    ) -> ProbeSet:
        """The probe set of a folder of images, or of a generator's samples; the same inputs give the same one.

        Args:
            name: a slug, such as `faces`.
            images: a folder on this machine; what the service does not have yet is sent.
            generator: a registered model that makes images.
            count: how many samples.
            seed: of the samples.
            class_index: the class, for a generator that has classes.
            truncation: of the latents, above 0 and at most 1.
            size: side of the square that every image is resized and cropped to, pixels; 256 when left out.
            skip_broken: leave out files that are no images, with the warning `BrokenImages`.
            progress: show a bar.

        Raises:
            InvalidRequest: when the folder has no image, or a broken one (the first few are named).
            NotFound: when there is no such generator.
            Conflict: when the name stands for other images, or the same images have another name.

        Example:
            >>> client.add_probe("faces", generator="dcgan-faces", count=100, seed=0)
        """
        return self._run(
            operations.add_probe(
                name,
                images=images,
                generator=generator,
                count=count,
                seed=seed,
                class_index=class_index,
                truncation=truncation,
                size=size,
                skip_broken=skip_broken,
                progress=progress,
            )
        )

    def remove_probe(self, name: str) -> None:
        """Removes a probe set and all that was mined on it.

        Raises:
            NotFound: with the nearest names.
            Conflict: when a job is at work on it.
        """
        self._run(operations.remove(probes_path(name)))
