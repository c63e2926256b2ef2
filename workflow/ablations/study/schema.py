"""The JSON schema of config.yaml, for editors: from the types in entries.py.

    python -m ablations.study.schema --output workflow/schemas/config.schema.json

The door itself does not read it.
"""

import argparse
import json
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import structs

from ablations import cli
from ablations.files import write_text
from ablations.study import extends
from ablations.study.entries import Config
from ablations.study.kinds import kinds

TEMPLATE = "#/$defs/{name}"


def schema() -> dict[str, Any]:
    """The JSON schema of config.yaml (draft 2020-12)."""
    parts: dict[str, Any] = {}
    fields = structs.fields(Config)
    whole = {
        "properties": {field.name: _schema(field.type, parts) for field in fields},
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": Config.__doc__,
        "type": "object",
        "if": {"required": [extends.KEY]},
        "then": _in_part(whole, parts),
        "else": whole,
        "$defs": parts,
    }


def _in_part(schema: Any, parts: dict[str, Any]) -> Any:
    """A schema of which keys may be missing, since another file has them; but not within lists."""
    if isinstance(schema, list):
        return [_in_part(each, parts) for each in schema]
    if not isinstance(schema, dict) or schema.get("type") == "array":
        return schema
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(TEMPLATE.format(name=""))
        parts[f"{name}InPart"] = _in_part(parts[name], parts)
        return schema | {"$ref": TEMPLATE.format(name=f"{name}InPart")}
    found = {key: _in_part(value, parts) for key, value in schema.items() if key != "required"}
    if "properties" in found:  # null takes a key away
        found["properties"] = {
            key: {"anyOf": [value, {"type": "null"}]} for key, value in found["properties"].items()
        }
    return found


def _schema(declared: Any, parts: dict[str, Any]) -> dict[str, Any]:
    """A type's schema; those of the entries in it are added to `parts`."""
    found = list(kinds(declared))
    if len(found) > 1:  # msgspec has none of several kinds of entries
        return {"anyOf": [_schema(kind.declared, parts) for kind in found]}
    (kind,) = found
    if kind.shape == "mapping":
        values = _schema(get_args(kind.type)[1], parts)
        return {"type": "object", "additionalProperties": values}
    (schema,), more = msgspec.json.schema_components((kind.declared,), ref_template=TEMPLATE)
    parts |= {name: _plain(part) for name, part in more.items()}
    return _plain(schema)


def _plain(part: Any) -> Any:
    """msgspec's schema without null, which is no value: a key that is not wanted is left out."""
    if isinstance(part, list):
        return [_plain(item) for item in part if item != {"type": "null"}]
    if not isinstance(part, dict):
        return part
    part = {key: _plain(value) for key, value in part.items() if (key, value) != ("default", None)}
    if len(part.get("anyOf", ())) == 1:
        part |= part.pop("anyOf")[0]
    return part


def main(arguments: argparse.Namespace) -> None:
    """Writes the schema."""
    write_text(arguments.output, json.dumps(schema(), indent=1) + "\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
