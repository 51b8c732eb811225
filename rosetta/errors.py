"""Errors that users see: each has a stable code, and its docstring is its default message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class RosettaError(Exception):
    """Something went wrong in Rosetta."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500  # HTTP status of this error
    exit_code: ClassVar[int] = 1  # exit code of the command line

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message: str = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.details: dict[str, Any] = details
        super().__init__(self.message)


class InvalidRequest(RosettaError):  # noqa: N818 - the names of INTERFACE are a contract
    """The request cannot be carried out as it stands."""

    code = "invalid_request"
    status = 422


class NotFound(RosettaError):  # noqa: N818
    """There is nothing of that name."""

    code = "not_found"
    status = 404

    @property
    def suggestions(self) -> tuple[str, ...]:
        """The nearest names that exist, best first."""
        return tuple(self.details.get("suggestions", ()))


class Conflict(RosettaError):  # noqa: N818
    """That name is taken, or that thing is in use."""

    code = "conflict"
    status = 409


class Unauthorized(RosettaError):  # noqa: N818
    """This service needs an API key: set ROSETTA_API_KEY."""

    code = "unauthorized"
    status = 401


class Unavailable(RosettaError):  # noqa: N818
    """The service cannot be reached: start it with `rosetta up`."""

    code = "unavailable"
    status = 503
    exit_code = 3


class JobFailed(RosettaError):  # noqa: N818
    """The job failed."""

    code = "job_failed"
    status = 500


ERRORS: Mapping[str, type[RosettaError]] = {
    error.code: error
    for error in (RosettaError, InvalidRequest, NotFound, Conflict, Unauthorized, Unavailable, JobFailed)
}


def from_body(code: str, message: str, details: Mapping[str, Any]) -> RosettaError:
    """The error that an HTTP error body stands for."""
    return ERRORS.get(code, RosettaError)(message, **details)
