"""Where a source's weight files may lie: the given file, the weights folders, the hub's cache, in that order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from rosetta.errors import InvalidRequest
from workers.zoo import hub


@dataclass(frozen=True)
class Locations:
    """Places to look for weight files.

    Attributes:
        given: the file of `--weights`, which overrides everything.
        folders: the configured weights folders (`ROSETTA_WEIGHTS_DIRS`).
    """

    given: Path | None = None
    folders: tuple[Path, ...] = ()

    def file(self, names: Sequence[str], *, of: str, repository: str | None = None, url: str | None = None) -> Path:
        """The weight file of `of`.

        In a weights folder it lies as the hub keeps it, `FOLDER/<repository>/<name>`, or as `FOLDER/<name>` where
        there is no repository.

        Args:
            names: that the file may have, best first.
            of: what people call the weights, such as `resnet50.a1_in1k`, for the error.
            repository: on the hub, `owner/name`.
            url: where else it is published.

        Raises:
            InvalidRequest: when it is nowhere; says which file to put where.
        """
        if self.given:
            return self.given
        if found := self.in_folders(names, repository):
            return found
        mend = self.mend(names[0], of, repository)
        if repository:
            return hub.repository_file(repository, names, mend)
        if url:
            return hub.url_file(url, Path(torch.hub.get_dir()) / "checkpoints", mend)
        raise InvalidRequest(f"there are no weights of {of} at hand: {mend}")

    def in_folders(self, names: Sequence[str], repository: str | None = None) -> Path | None:
        """The first such file in a weights folder; None: there is none."""
        for folder in self.folders:
            for name in names:
                if (path := folder / (repository or "") / name).is_file():
                    return path
        return None

    def mend(self, name: str, of: str, repository: str | None = None) -> str:
        """What a user can do when a file is nowhere, as the end of a sentence."""
        if self.folders:
            place = f"put the file at {self.folders[0] / (repository or '') / name}"
        else:
            place = f"name a folder in ROSETTA_WEIGHTS_DIRS and put the file there as {Path(repository or '') / name}"
        return f"{place}, or pass --weights FILE with the weights of {of}"
