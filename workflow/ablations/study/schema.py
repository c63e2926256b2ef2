"""The shape of config.yaml, declared once: its JSON schema, for validation and for editors.

    python -m ablations.study.schema --output workflow/schemas/config.schema.json

Names, types and ranges. Checks of more than one key at a time (a row that names a model, a
comparison that names rows) are in config.py. In the schema, `allowed` is what the message about a
wrong value says after "allowed:".
"""

import argparse
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from ablations import cli
from ablations.files import write_text
from ablations.study.dataset import Format, Generated, Texts
from ablations.study.models import Entry, Folder, Hub, HubTokenizer, Pretrain, Seed, Text
from ablations.study.settings import (
    Choices,
    ContextLength,
    Precision,
    Settings,
    TrainableLayers,
    TrainableToken,
    Training,
    Weights,
    names,
)


def _text(pattern: str, allowed: str) -> Meta:
    # \Z, because $ accepts a line break at the end; a length, because names become file names
    return Meta(pattern=pattern + r"\Z", max_length=100, extra_json_schema={"allowed": allowed})


Id = Annotated[
    str, _text("^[a-z0-9][a-z0-9-]*", "small letters, digits and dashes, a letter or digit first")
]
Dir = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]+\Z",
        extra_json_schema={"allowed": "a folder, relative to the working directory"},
    ),
]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Tokenizer = Literal["gpt2", "bytes"]
Claim = Literal["better", "worse", "similar"]


# --- the rows and the questions


class Published(Entry, frozen=True, kw_only=True):
    """What was published for a row; accuracies are fractions."""

    train: Fraction
    validation: Fraction
    test: Fraction
    training_time_min: Annotated[float, Meta(gt=0)] | None = None
    device: Text | None = None


class Question(Entry, frozen=True, kw_only=True):
    """A question that two rows answer; `claim` is what was published about the variant."""

    id: Id
    question: Text
    baseline: str
    variant: str
    claim: Claim | None = None


class Config(Entry, frozen=True, kw_only=True):
    """The keys of config.yaml."""

    title: Text = "Finetuning ablations of GPT-2"
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1, extra_json_schema={"uniqueItems": True})]
    tokenizer: Any
    mirror: Annotated[str | None, Meta(extra_json_schema={"nullable": True})] = None
    cache_dir: Dir = "results/cache"
    cache_gb: Annotated[float, Meta(ge=0)] = 10
    dataset: Any
    training: Training
    models: Annotated[dict[str, Any], Meta(min_length=1)]
    rows: Annotated[tuple[Any, ...], Meta(min_length=1)]
    comparisons: tuple[Question, ...] = ()
    margin: Annotated[float, Meta(gt=0, le=100)] = 2


ROW_KEYS = names(Choices)
SAVE_MODEL = {
    "type": "boolean",
    "description": "Whether the trained model is kept. It does not change the results.",
}
# msgspec sorts the words of a choice; a message lists them as they are declared
CHOICES = (Weights, TrainableToken, TrainableLayers, get_args(ContextLength)[0], Precision)
DECLARED = {frozenset(words): words for words in map(get_args, (*CHOICES, Claim, Format))}


def schema() -> dict[str, Any]:
    """The JSON schema of config.yaml (draft 2020-12)."""
    kinds = (Config, Texts, Generated, Hub, Folder, HubTokenizer, Pretrain, Published, Settings)
    _, found = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    parts = {name: _plain(part) for name, part in found.items()}
    options, training = parts.pop("Settings")["properties"], parts["Training"]["properties"]
    own = {name: options[name] for name in ROW_KEYS} | training
    published = {"$ref": "#/$defs/Published"}
    grid = {
        "description": "Lists of values of settings; the row becomes one row per combination.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            name: {"type": "array", "minItems": 1, "uniqueItems": True, "items": option}
            for name, option in own.items()
            if name != "micro_batch"  # decides no result
        },
    }
    choose = {
        "description": "With a grid: only its row with the best accuracy there is in the table.",
        "enum": ["validation"],
    }
    parts["Row"] = parts["Question"] | {
        "title": "Row",
        "description": "One row of the table; what it leaves out is the baseline's.",
        "properties": {
            "id": parts["Question"]["properties"]["id"],
            **own,
            "grid": grid,
            "choose": choose,
            "published": published,
            "save_model": SAVE_MODEL,
        },
        "required": ["id"],
    }
    config = parts.pop("Config")
    config["properties"] |= {
        "tokenizer": {
            "if": {"type": "object"},
            "then": _by_key(parts, path="Folder", _="HubTokenizer"),
            "else": {"enum": list(get_args(Tokenizer))},
        },
        "dataset": {"type": "object", **_by_key(parts, generated="Generated", _="Texts")},
        "models": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {
                "type": "string",
                "pattern": r"^[^\x00-\x1f\x7f]+\Z",
                "maxLength": 100,
                "allowed": "a text on one line, in quotes where YAML would read a number or a"
                " truth value",
            },
            "additionalProperties": {
                "type": "object",
                **_by_key(parts, path="Folder", pretrain="Pretrain", _="Hub"),
            },
        },
        "rows": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Row"}},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **config, "$defs": parts}


def _by_key(parts: dict[str, Any], _: str, **kinds: str) -> dict[str, Any]:
    """A schema that picks an entry's kind by a key that only this kind has; without one, `_`."""
    last: dict[str, Any] = {"$ref": f"#/$defs/{_}"}
    for key, kind in reversed(kinds.items()):
        last = {"if": {"required": [key]}, "then": {"$ref": f"#/$defs/{kind}"}, "else": last}
    return last


def _plain(part: Any) -> Any:
    """A part of msgspec's schema in which the type picks the choice: a mistake gives one message.

    Null is no value unless the part is `nullable`: a key that is not wanted is left out.
    """
    if isinstance(part, list):
        return [_plain(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: _plain(value) for key, value in part.items() if key != "default"}
    if "enum" in part:
        part["enum"] = list(DECLARED[frozenset(part["enum"])])
    if "anyOf" not in part:
        return part
    nullable = part.pop("nullable", False)
    choices = [choice for choice in part.pop("anyOf") if choice != {"type": "null"}]
    if nullable:
        return part | choices[0] | {"type": [choices[0]["type"], "null"], "minLength": 1}
    if len(choices) == 1:
        return part | choices[0]
    told = {"allowed": part["allowed"]} if "allowed" in part else {}
    # a value of no such type is checked by the last choice, so that is neither a mapping nor a list
    *others, last = (choice | told for choice in sorted(choices, key=_is_plain_value))
    for choice in reversed(others):
        kind = choice.get("type", "object" if "$ref" in choice else "string")
        last = {"if": {"type": kind}, "then": choice, "else": last}
    return part | last


def _is_plain_value(choice: dict[str, Any]) -> bool:
    return "$ref" not in choice and choice.get("type") != "array"


def main(arguments: argparse.Namespace) -> None:
    """Writes the schema, for editors."""
    write_text(arguments.output, json.dumps(schema(), indent=1) + "\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
