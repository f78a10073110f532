"""The Open Inference Protocol's REST calls as an OpenAPI document, for tests.

After the protocol's own (kserve/open-inference-protocol, specification/protocol/open_inference_rest.yaml), whose paths
have a dollar sign too many, whose calls without a version are missing, whose errors are 400 and may be empty, and where
a request may have no body.
"""

from typing import Any

Json = dict[str, Any]


def _object(required: list[str], **properties: Json) -> Json:
    return {"type": "object", "required": required, "properties": properties}


def _array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


STRING, OBJECT = {"type": "string"}, {"type": "object"}
SHAPE = _array({"type": "integer"})
DATA = _array({"anyOf": [{"type": "number"}, STRING, {"type": "boolean"}, _array({"type": "number"})]})
TENSOR = _object(["name", "datatype", "shape"], name=STRING, datatype=STRING, shape=SHAPE)
SCHEMAS: Json = {
    "error": {**_object(["error"], error={"type": "string", "minLength": 1}), "additionalProperties": False},
    "server": _object(["name", "version", "extensions"], name=STRING, version=STRING, extensions=_array(STRING)),
    "model": _object(
        ["name", "platform", "versions", "inputs", "outputs"],
        name=STRING,
        versions=_array(STRING),
        platform=STRING,
        inputs=_array(TENSOR),
        outputs=_array(TENSOR),
    ),
    "request": _object(
        ["inputs"],
        id=STRING,
        parameters=OBJECT,
        inputs=_array(
            _object(
                ["name", "shape", "datatype", "data"],
                name={"anyOf": [{"enum": ["image"]}, STRING]},
                shape={"anyOf": [{"enum": [[1, 1, 4, 4], [2, 1, 4, 4]]}, SHAPE]},
                datatype={"anyOf": [{"enum": ["FP32"]}, STRING]},
                parameters=OBJECT,
                data={"anyOf": [_array({"type": "number"}, minItems=16, maxItems=16), DATA]},
            )
        ),
        outputs=_array(_object(["name"], name={"anyOf": [{"enum": ["scores"]}, STRING]}, parameters=OBJECT)),
    ),
    "response": _object(
        ["model_name", "model_version", "outputs"],
        model_name=STRING,
        model_version=STRING,
        id=STRING,
        outputs=_array(
            _object(["name", "shape", "datatype", "data"], name=STRING, shape=SHAPE, datatype=STRING, data=DATA)
        ),
    ),
    "index": _array(_object(["name", "version", "state", "reason"], name=STRING, version=STRING, state=STRING)),
}


def _answers(schema: str | None, *errors: int) -> Json:
    def body(name: str) -> Json:
        return {"description": name, "content": {"application/json": {"schema": _schema(name)}}}

    fine = {"description": "fine"} if schema is None else body(schema)
    return {"200": fine, **{str(status): body("error") for status in errors}}


def _call(operation: str, schema: str | None, *errors: int, body: Json | None = None, needed: bool = True) -> Json:
    call: Json = {"operationId": operation, "responses": _answers(schema, *errors)}
    if body is not None:
        call["requestBody"] = {"required": needed, "content": {"application/json": {"schema": body}}}
    return call


def _of(parameter: str, *values: str) -> Json:
    # The model that there is, and any other text.
    return {
        "name": parameter,
        "in": "path",
        "required": True,
        "schema": {"anyOf": [{"enum": list(values)}, {"type": "string", "minLength": 1}]},
    }


def document() -> Json:
    """Make the document."""
    paths: Json = {
        "/v2": {"get": _call("server", "server")},
        "/v2/health/live": {"get": _call("live", None)},
        "/v2/health/ready": {"get": _call("ready", None)},
        "/v2/repository/index": {
            "post": _call("index", "index", 400, body=_object([], ready={"type": "boolean"}), needed=False),
        },
    }
    for kind, ending, parameters in (
        ("", "", [_of("model", "tiny")]),
        ("versioned-", "/versions/{version}", [_of("model", "tiny"), _of("version", "1", "2")]),
    ):
        path = f"/v2/models/{{model}}{ending}"
        paths[path] = {"parameters": parameters, "get": _call(f"{kind}model", "model", 404)}
        paths[f"{path}/ready"] = {"parameters": parameters, "get": _call(f"{kind}model-ready", None, 404)}
        paths[f"{path}/infer"] = {
            "parameters": parameters,
            "post": _call(f"{kind}infer", "response", 400, 404, 413, 415, body=_schema("request")),
        }
    return {
        "openapi": "3.0.3",
        "info": {"title": "Open Inference Protocol", "version": "2.0"},
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }
