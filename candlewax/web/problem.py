"""What is wrong with a request, in the one shape that all errors have."""

from collections.abc import Mapping
from typing import cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response


class Problem(Exception):  # noqa: N818 - it is the client's, not ours
    """A request that is refused: its HTTP status, a fixed word for programs, a reason
    for people, and the parameter it is about if there is one.
    """

    def __init__(self, status: int, code: str, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.parameter = parameter


def bad_parameter(parameter: str, message: str) -> Problem:
    """A parameter that cannot be used."""
    return Problem(400, "bad_parameter", message, parameter)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """{"error": {"code", "message", "parameter"}}; `parameter` only where there is one."""
    content = {"code": problem.code, "message": problem.message}
    if problem.parameter is not None:
        content["parameter"] = problem.parameter
    body = msgspec.json.encode({"error": content})
    return Response(body, problem.status, dict(headers or {}), "application/json")


async def handle(_: Request, error: Exception) -> Response:
    """The answer to a request that raised a Problem."""
    return answer(cast(Problem, error))
