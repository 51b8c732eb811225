"""Failures: whatever goes wrong, the answer is one error body, and tells no more than its reader may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from rosetta.errors import Conflict, InvalidRequest, NotFound, RosettaError, Unavailable
from service.api.encoding import encode

REQUEST_ID = "x-request-id"


@dataclass(frozen=True)
class Failure:
    """What went wrong: a stable code, one clear line that names the thing and the mend, and what a program may use."""

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True)
class ErrorBody:
    """The body of every answer that is an error."""

    error: Failure


def failure_response(
    error: RosettaError, request_id: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that an error gives."""
    body = ErrorBody(Failure(error.code, error.message, error.details, request_id))
    return Response(encode(body), status_code=status or error.status, headers=headers, media_type="application/json")


def install(app: FastAPI) -> None:
    """Makes every failure of the application an error body."""
    app.add_exception_handler(RosettaError, _rosetta_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(sa.exc.SQLAlchemyError, _database_error)


def request_id(request: Request) -> str:
    """The id under which the log tells more about the request."""
    return str(request.scope.get("state", {}).get("request_id", ""))


async def _rosetta_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RosettaError)
    again = error.details.get("retry_after_s")
    headers = None if again is None else {"retry-after": str(again)}
    return failure_response(error, request_id(request), headers=headers)


def of_validation(error: RequestValidationError) -> InvalidRequest:
    """The error that a request which does not fit its route makes."""
    problems = [_problem(problem) for problem in error.errors()]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidRequest(f"{problems[0]}{more}", problems=problems)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return failure_response(of_validation(error), request_id(request))


def _problem(problem: Mapping[str, Any]) -> str:
    """One line about a part of the request that does not fit; what came is not repeated, for it may be long."""
    kind, *place = problem["loc"]
    named = ".".join(str(part) for part in place)
    if problem["type"] == "json_invalid":
        return f"the body is not JSON: {problem.get('ctx', {}).get('error', problem['msg'])}"
    if problem["type"] == "extra_forbidden":
        return f"'{named}' is not a field of this request"
    if problem["type"] == "missing":
        return f"'{named}' is missing" if named else "the body is missing: send JSON"
    if problem["type"] in {"model_attributes_type", "dict_type"} and not named:
        return "the body is not a JSON object: send one, with Content-Type: application/json"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not named:
        return message if kind == "body" else f"{kind}: {message}"
    return f"'{named}': {message[:1].lower()}{message[1:]}"


async def http_error(request: Request, error: Exception) -> Response:
    """The error body of an address or a method that is none."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    refused: RosettaError
    if isinstance(error.__cause__, RosettaError):  # raised while FastAPI read the body
        return failure_response(error.__cause__, request_id(request))
    if error.status_code == HTTPStatus.NOT_FOUND:
        refused = NotFound(f"there is no {request.url.path}: /openapi.json lists what there is")
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        refused = InvalidRequest(f"{what} is not possible: /openapi.json lists what is")
    else:
        refused = InvalidRequest(f"{what}: {error.detail}")
    return failure_response(refused, request_id(request), status=error.status_code, headers=error.headers)


def of_database(error: sa.exc.SQLAlchemyError) -> RosettaError:
    """What the database refuses although the request looked well.

    Raises:
        SQLAlchemyError: the error itself, when it is a fault of ours.
    """
    match error:
        case sa.exc.DataError():
            return InvalidRequest("a value of the request is out of range, or holds a character that no text may")
        case sa.exc.IntegrityError():
            return Conflict("something this request refers to changed meanwhile: try again")
        case sa.exc.TimeoutError():
            return Unavailable("the service is busy: all its database connections are in use; try again")
        case sa.exc.OperationalError() | sa.exc.InterfaceError():
            return Unavailable("the database does not answer: see `rosetta doctor`")
        case _:
            raise error


async def _database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, sa.exc.SQLAlchemyError)
    return failure_response(of_database(error), request_id(request))
