"""A schema registry for tests: as much of Confluent's interface as its client uses."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Registry:
    """What was registered: schemas in the order of their ids, and the levels that
    were set. `refuses` lets it answer that a schema is not compatible.
    """

    url: str = ""
    schemas: list[str] = field(default_factory=list)
    subjects: set[str] = field(default_factory=set)
    levels: dict[str, str] = field(default_factory=dict)
    refuses: bool = False


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

        def _answer(self, content: Any, status: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> Any:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def do_PUT(self) -> None:
            registry.levels[self.path.rpartition("/")[2]] = self._body()["compatibility"]
            self._answer({"compatibility": "BACKWARD"})

        def do_POST(self) -> None:
            schema = self._body()["schema"]
            if registry.refuses:
                self._answer({"error_code": 409, "message": "incompatible"}, 409)
                return
            if schema not in registry.schemas:
                registry.schemas.append(schema)
            registry.subjects.add(self.path.split("/")[2])
            self._answer({"id": registry.schemas.index(schema) + 1})

        def do_GET(self) -> None:
            number = int(self.path.partition("?")[0].rpartition("/")[2])
            if 0 < number <= len(registry.schemas):
                self._answer({"schema": registry.schemas[number - 1]})
            else:
                self._answer({"error_code": 40403, "message": "Schema not found"}, 404)

    return Handler


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry on a port of loopback."""
    registry = Registry()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(registry)) as server:
        registry.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()
