"""Path prefix of all addresses, for a reverse proxy that serves other things beside them."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from candlewax.web.problem import Problem, answer


class Prefix:
    """Middleware that serves everything below a path, and nothing beside it.

    The proxy passes paths on as they are. `prefix` begins with `/` and does not end with one; empty
    for none.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._prefix or scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(f"{self._prefix}/"):
            inner = {**scope, "root_path": scope.get("root_path", "") + self._prefix}
            await self._app(inner, receive, send)
        elif scope["path"] == self._prefix and scope["type"] == "http":
            # Addresses in the page are relative, so its own ends with a slash.
            query = scope["query_string"].decode("latin-1")
            address = f"{self._prefix}/?{query}" if query else f"{self._prefix}/"
            await RedirectResponse(address, 308)(scope, receive, send)
        else:
            missing = Problem(
                404,
                "not_found",
                f"there is nothing at {scope['path']}; all is below {self._prefix}/",
            )
            await answer(missing)(scope, receive, send)
