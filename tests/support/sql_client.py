"""A client of SQL over HTTP."""

from tests.support.web_server import Answer, Client

COUNT = 12


def post(client: Client, query: str, **parameters: str) -> Answer:
    return client.ask("/", parameters, method="POST", body=query.encode())


def code(answer: Answer) -> str:
    assert answer.status >= 400
    return answer.headers["x-clickhouse-exception-code"]
