"""Schemas of parameters: what each of them takes, for messages and for the OpenAPI document."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from candlewax.runtime.times import EXPECTED_ANY


@cache
def fields(parameters_type: type[Struct]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the JSON schema of each parameter, and the names of those that are required."""
    (_,), schemas = msgspec.json.schema_components([parameters_type], ref_template="{name}")
    schema = schemas[parameters_type.__name__]
    properties = {name: _with_type(field) for name, field in schema["properties"].items()}
    return properties, schema.get("required", [])


def _with_type(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with the type of its values, which msgspec leaves out for fixed ones."""
    typed = {"type": "string", **schema}
    if "items" in typed:
        typed["items"] = _with_type(typed["items"])
    return typed


def described(parameters_type: type[Struct]) -> list[dict[str, Any]]:
    """Return the query parameters of a request in OpenAPI's form."""
    properties, required = fields(parameters_type)
    parameters = []
    for name, schema in properties.items():
        about: dict[str, Any] = {"name": name, "in": "query", "required": name in required}
        if schema.get("type") == "array":
            about |= {"style": "form", "explode": False}
        parameters.append({**about, "schema": schema})
    return parameters


def expectation(schema: Mapping[str, Any]) -> str:
    """Return what a parameter takes, as part of a sentence."""
    if schema.get("type") == "array":
        items = schema["items"]
        names = f" of {', '.join(items['enum'])}" if "enum" in items else ""
        return f"takes 1 to {schema['maxItems']} names{names}, with commas between them"
    if "enum" in schema:
        return f"takes one of {', '.join(schema['enum'])}"
    if schema["type"] == "boolean":
        return "takes true or false"
    if schema["type"] == "integer":
        most = f" to {schema['maximum']}" if "maximum" in schema else " on"
        return f"takes a whole number from {schema['minimum']}{most}"
    if schema.get("format") == "date-time":
        return EXPECTED_ANY
    return f"takes text of {schema.get('minLength', 0)} to {schema['maxLength']} characters"
