"""Files of a model hub: from the local cache where they are, else downloaded, else one line with the mend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from rosetta.errors import InvalidRequest

_TIMEOUT_S = 10.0


def repository_file(repository: str, names: Sequence[str], mend: str) -> Path:
    """The first of these files that a hub repository has; no network is used when one is in the cache.

    Args:
        repository: `owner/name`.
        names: files that would do, best first.
        mend: what a user can do when neither cache nor hub has them.

    Raises:
        InvalidRequest: when they are not cached and cannot be downloaded.
    """
    for name in names:
        try:
            return Path(hf_hub_download(repository, name, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
    try:
        for name in names:
            try:
                # Asked once, without the library's long retries: an unreachable hub is known at once.
                get_hf_file_metadata(hf_hub_url(repository, name), timeout=_TIMEOUT_S)
            except EntryNotFoundError:
                continue
            return Path(hf_hub_download(repository, name))
        reason = "it has no such file"
    except Exception as error:  # noqa: BLE001 - whatever the hub says, the mend is the same
        reason = " ".join(str(error).split())[:160] or type(error).__name__
    raise InvalidRequest(
        f"the weights '{names[0]}' of {repository} are not in the hub's cache ({constants.HF_HUB_CACHE}) "
        f"and could not be downloaded ({reason}): {mend}",
        repository=repository,
    )


def url_file(url: str, cache: Path, mend: str) -> Path:
    """The file behind a URL, from the cache folder or downloaded into it.

    Raises:
        InvalidRequest: when it is not cached and cannot be downloaded.
    """
    file = cache / url.rpartition("/")[2]
    if file.is_file():
        return file
    try:
        cache.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), progress=False)
    except Exception as error:
        raise InvalidRequest(
            f"the weights {file.name} are not in {cache} and could not be downloaded ({error}): {mend}",
            url=url,
        ) from error
    return file
