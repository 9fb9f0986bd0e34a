"""Errors of the API, all in one JSON form."""

from collections.abc import Mapping
from typing import cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response


class Problem(Exception):  # noqa: N818 - an error of the client, not of the server
    """A refused request: HTTP status, fixed code for programs, reason for people.

    `parameter` names the parameter at fault, if there is one.
    """

    def __init__(self, status: int, code: str, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.parameter = parameter


def bad_parameter(parameter: str, message: str) -> Problem:
    """Return the problem of a parameter with a bad value."""
    return Problem(400, "bad_parameter", message, parameter)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as JSON: {"error": {"code", "message", "parameter"}}.

    `parameter` is left out if there is none.
    """
    content = {"code": problem.code, "message": problem.message}
    if problem.parameter is not None:
        content["parameter"] = problem.parameter
    body = msgspec.json.encode({"error": content})
    return Response(body, problem.status, dict(headers or {}), "application/json")


async def handle(_: Request, error: Exception) -> Response:
    """Return the response for a request that raised a Problem."""
    return answer(cast(Problem, error))
