"""Check the body of a request with Datadog's own typed models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datadog_api_client.configuration import Configuration
from datadog_api_client.model_utils import (
    ModelComposed,
    ModelNormal,
    OpenApiModel,
    validate_and_convert_types,
)


def problems(model: type[OpenApiModel], body: Mapping[str, Any]) -> list[str]:
    """Return what the model does not know: keys, values of enumerations, whole objects.

    Wrong types and missing keys raise, as the client itself does.
    """
    found = validate_and_convert_types(  # type: ignore[no-untyped-call]
        body,
        (model,),
        ["body"],
        True,  # keys are as in JSON
        True,
        configuration=Configuration(),  # type: ignore[no-untyped-call]
    )
    return list(_unknown(found, "body"))


def _unknown(found: Any, where: str) -> Iterator[str]:
    if isinstance(found, list):
        for place, one in enumerate(found):
            yield from _unknown(one, f"{where}[{place}]")
    if isinstance(found, OpenApiModel) and found._unparsed:
        yield f"{where}: not understood"
    if isinstance(found, ModelComposed):
        one_of = found.get_oneof_instance()  # type: ignore[no-untyped-call]
        yield from _unknown(one_of, where)
    elif isinstance(found, ModelNormal):
        for key, value in found._data_store.items():
            if key not in found.openapi_types:
                yield f"{where}.{key}: not known"
            yield from _unknown(value, f"{where}.{key}")
