"""config.yaml, validated once at the door and turned into typed values.

Knows nothing of Snakemake, torch or files beyond the config's own schema and, for models given as
a folder, that folder's config.json.
"""

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from ablations.cut import Dimensions
from ablations.errors import UserError

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"

VOCABULARY_SIZE = {"gpt2": 50257, "bytes": 257}
GPT2_POSITIONS = 1024


class ConfigError(UserError):
    """What is wrong with the configuration: one line for each mistake."""


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face hub at a fixed revision."""

    repo: str
    revision: str
    sha256: str | None


@dataclass(frozen=True)
class Folder:
    """A folder that holds config.json and model.safetensors; relative to the working directory."""

    path: str


@dataclass(frozen=True)
class Pretrain:
    """A model that the workflow pretrains as a language model on the training texts."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Model:
    """A named GPT-2: its shape, and where its checkpoint comes from."""

    name: str
    dimensions: Dimensions
    source: Hub | Folder | Pretrain

    @property
    def slug(self) -> str:
        """The name as a file name: `gpt2-small (124M)` → `gpt2-small-124M`."""
        return slug(self.name)


@dataclass(frozen=True)
class Training:
    """The hyperparameters of one row; see config.yaml."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    eval_every: int
    eval_batches: int
    precision: str
    micro_batch: int | None = None

    def settings(self) -> dict[str, Any]:
        """What is set: a key that is not leaves the row files, and so the results, as they are."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Published:
    """What was published for a row; accuracies are fractions."""

    train: float
    validation: float
    test: float
    training_time_min: float | None = None
    device: str | None = None


@dataclass(frozen=True)
class Row:
    """One configuration of the table, with what it left out taken from the baseline."""

    id: str
    model: Model
    weights: str
    trainable_token: str
    trainable_layers: str
    context_length: str | int
    training: Training
    published: Published | None = None

    def settings(self) -> dict[str, Any]:
        """Everything that decides this row's results and nothing else: the row file's content."""
        return {
            "row": self.id,
            "model": self.model.name,
            "dimensions": asdict(self.model.dimensions),
            "weights": self.weights,
            "trainable_token": self.trainable_token,
            "trainable_layers": self.trainable_layers,
            "context_length": self.context_length,
            "training": self.training.settings(),
        }


@dataclass(frozen=True)
class Comparison:
    """A question that two rows answer; `claim` is what was published about the variant."""

    id: str
    question: str
    baseline: Row
    variant: Row
    claim: str | None = None


@dataclass(frozen=True)
class Split:
    """Fractions of the balanced collection, the seed of its shuffles; the test set is the rest."""

    train: float
    validation: float
    seed: int


@dataclass(frozen=True)
class Collection:
    """The SMS Spam Collection's archive."""

    urls: tuple[str, ...]
    sha256: str
    member_sha256: str | None


@dataclass(frozen=True)
class Generated:
    """A generated stand-in for the collection."""

    messages: int
    seed: int


@dataclass(frozen=True)
class Study:
    """A whole configuration."""

    title: str
    seeds: tuple[int, ...]
    tokenizer: str
    mirror: str | None
    cache_gb: float
    dataset: Collection | Generated
    split: Split
    models: dict[str, Model]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]

    def row(self, id: str) -> Row:
        """The row with this id."""
        return next(row for row in self.rows if row.id == id)


ROW_KEYS = ("model", "weights", "trainable_token", "trainable_layers", "context_length")


def parse(found: object) -> Study:
    """Validates a configuration as YAML gives it.

    Raises ConfigError with a line for each mistake, naming the key, the row, what was found and
    what is allowed.
    """
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    _refuse(_describe(error, found) for error in _schema_errors(schema, found))
    config = _one_spelling(found)
    _refuse(_row_id_errors(config["rows"]))
    models = {
        name: _model(name, entry, config["tokenizer"]) for name, entry in config["models"].items()
    }
    _refuse(_model_name_errors(models))
    _refuse(_split_errors(config["dataset"]["split"]))

    baseline = next(row for row in config["rows"] if row["id"] == "baseline")
    _refuse(
        f"rows: baseline: {key} is missing; the baseline names every one of {', '.join(ROW_KEYS)}"
        for key in ROW_KEYS
        if key not in baseline
    )
    inherited = {key: value for key, value in baseline.items() if key != "published"}
    resolved = [config["training"] | inherited | row for row in config["rows"]]
    _refuse(message for row in resolved for message in _row_errors(row, models))
    rows = {row["id"]: _row(row, models) for row in resolved}
    entries = config.get("comparisons", [])
    _refuse(_comparison_errors(entries, rows))
    dataset = config["dataset"]
    return Study(
        title=config.get("title", "Finetuning ablations of GPT-2"),
        seeds=tuple(config["seeds"]),
        tokenizer=config["tokenizer"],
        mirror=config.get("mirror"),
        cache_gb=float(config.get("cache_gb", 10)),
        dataset=Generated(**dataset["generated"])
        if "generated" in dataset
        else Collection(
            urls=tuple(dataset["urls"]),
            sha256=dataset["sha256"],
            member_sha256=dataset.get("member_sha256"),
        ),
        split=Split(
            train=float(dataset["split"]["train"]),
            validation=float(dataset["split"]["validation"]),
            seed=dataset["split"]["seed"],
        ),
        models=models,
        rows=tuple(rows.values()),
        comparisons=tuple(
            Comparison(**entry | {end: rows[entry[end]] for end in ("baseline", "variant")})
            for entry in entries
        ),
    )


def typed(value: Any) -> Any:
    """A list or mapping with the text in it read as YAML: `["1", "auto"]` → `[1, "auto"]`."""

    def read(entry: Any) -> Any:
        return yaml.safe_load(entry) if isinstance(entry, str) else typed(entry)

    if isinstance(value, Mapping):
        return {key: read(entry) for key, entry in value.items()}
    return list(map(read, value)) if isinstance(value, list) else value


def slug(name: str) -> str:
    """A name as a file name: letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")


def _refuse(messages: Iterable[str]) -> None:
    found = dict.fromkeys(messages)  # each once, in order
    if found:
        raise ConfigError("\n".join(found))


def _one_spelling(node: Any) -> Any:
    """A copy in which whole numbers are integers: YAML's 8 and 8.0 must give the same row file."""
    if isinstance(node, Mapping):
        return {key: _one_spelling(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_one_spelling(value) for value in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


# --- names, types and ranges: the schema's errors in plain words


def _schema_errors(
    schema: Mapping[str, Any], config: object
) -> list[jsonschema.exceptions.ValidationError]:
    draft = jsonschema.Draft202012Validator
    finite = draft.TYPE_CHECKER.redefine("number", _is_finite)  # YAML's .nan passes every range
    extend: Any = jsonschema.validators.extend  # untyped
    validator = extend(draft, type_checker=finite)(schema)
    return sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))


def _is_finite(_: object, value: object) -> bool:
    try:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(float(value))
        )
    except OverflowError:  # an integer of more than 308 digits
        return False


def _describe(error: jsonschema.exceptions.ValidationError, config: Any) -> str:
    where = _where(list(error.absolute_path), config) or "the configuration: "
    found: Any = error.instance
    rule: Any = error.validator_value
    schema: Any = error.schema
    allowed = schema.get("description")  # in the schema where the rule itself says too little
    match error.validator:
        case "additionalProperties":
            known = sorted(schema["properties"])
            unknown = [key for key in found if key not in known]
            return "; ".join(f"{where}unknown key {_unknown(key, known)}" for key in unknown)
        case "required":
            missing = [key for key in rule if key not in found]
            return f"{where}missing key {' and '.join(missing)}"
        case "enum":
            return f"{where}{_unknown(found, rule)}{' or ' + allowed if allowed else ''}"
        case "type":
            hint = "" if not _looks_numeric(found) else "; write it as a number, such as 5.0e-5"
            return (
                f"{where}{_short(found)} is not allowed; allowed: {allowed or _kinds(rule)}{hint}"
            )
        case "pattern":
            return f"{where}{found!r} is not allowed; allowed: {allowed}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            return f"{where}{found!r} is out of range; {_range(schema)}"
        case "uniqueItems":
            return f"{where}{found!r} names a value twice; each may stand once"
        case "minItems" | "minProperties" | "minLength":
            return f"{where}{found!r} is empty; at least {rule} is needed"
        case "maxLength":
            return f"{where}{found!r} has {len(found)} characters; allowed: at most {rule}"
        case _:
            return f"{where}{error.message}"


def _where(path: list[Any], config: Any) -> str:
    """`rows: first-token: learning_rate: `, with list entries named by id where they have one."""
    parts, node = [], config
    for key in path:
        node = node[key]
        named = isinstance(key, int) and isinstance(node, Mapping) and "id" in node
        parts.append(str(node["id"]) if named else f"[{key}]" if isinstance(key, int) else str(key))
    return "".join(f"{part if part.isprintable() else repr(part)}: " for part in parts)


def _unknown(found: object, allowed: Iterable[Any]) -> str:
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(found), names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{found!r}{hint}; allowed: {', '.join(names)}"


def _looks_numeric(found: object) -> bool:
    try:
        return isinstance(found, str) and float(found) is not None
    except ValueError:
        return False


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _kinds(types: Any) -> str:
    words = {
        "object": "a mapping of keys to values",
        "array": "a list",
        "string": "a text",
        "integer": "a whole number",
        "number": "a finite number",
        "null": "nothing",
    }
    return " or ".join(words[kind] for kind in ([types] if isinstance(types, str) else types))


def _range(schema: Any) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    bounds = (f"{word} {schema[key]}" for key, word in words.items() if key in schema)
    return f"allowed: {' and '.join(bounds)}"


# --- what needs more than one key at a time


def _row_id_errors(rows: list[Mapping[str, Any]]) -> Iterable[str]:
    ids = [row["id"] for row in rows]
    for id in sorted({id for id in ids if ids.count(id) > 1}):
        yield f"rows: {id}: the id stands {ids.count(id)} times; each row needs an id of its own"
    if "baseline" not in ids:
        yield f"rows: no row has the id baseline, which is required; found: {', '.join(ids)}"


def _split_errors(split: Mapping[str, Any]) -> Iterable[str]:
    if split["train"] + split["validation"] >= 1:
        yield (
            f"dataset: split: train {split['train']} and validation {split['validation']} leave"
            " nothing for the test set; allowed: a sum below 1"
        )


def _model(name: str, entry: Mapping[str, Any], tokenizer: str) -> Model:
    if "path" in entry:
        dimensions = _folder_dimensions(name, entry["path"], tokenizer)
        return Model(name, dimensions, Folder(entry["path"]))
    dimensions = Dimensions(
        n_layer=entry["n_layer"],
        n_head=entry["n_head"],
        n_embd=entry["n_embd"],
        n_positions=entry.get("n_positions", GPT2_POSITIONS),
        vocab_size=VOCABULARY_SIZE[tokenizer],
    )
    _refuse(_width_errors(f"models: {name}", dimensions))
    if "pretrain" not in entry:
        return Model(name, dimensions, Hub(entry["repo"], entry["revision"], entry.get("sha256")))
    pretrain = entry["pretrain"]
    return Model(
        name,
        dimensions,
        Pretrain(
            steps=pretrain["steps"],
            batch_size=pretrain["batch_size"],
            learning_rate=float(pretrain["learning_rate"]),
            seed=pretrain["seed"],
        ),
    )


def _width_errors(where: str, dimensions: Dimensions) -> Iterable[str]:
    if dimensions.n_embd % dimensions.n_head:
        yield (
            f"{where}: n_embd: {dimensions.n_embd} is out of range; allowed: a multiple of"
            f" n_head, which is {dimensions.n_head}"
        )


def _folder_dimensions(name: str, path: str, tokenizer: str) -> Dimensions:
    where = f"models: {name}: path: {path}"
    for file in ("config.json", "model.safetensors"):
        if not _is_file(Path(path) / file):
            raise ConfigError(
                f"{where} holds no {file}; expected a folder in the Hugging Face layout,"
                " relative to the working directory, with config.json and model.safetensors"
            )
    where += "/config.json"
    names = [field.name for field in fields(Dimensions)]
    try:
        found = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not readable JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{where} holds {_short(found)}; expected keys {', '.join(names)}")
    _refuse(
        f"{where}: {key}: {_short(found.get(key))} is not allowed; allowed: a whole number above 0"
        for key in names
        if type(found.get(key)) is not int or found[key] < 1
    )
    dimensions = Dimensions(**{key: found[key] for key in names})
    _refuse(_width_errors(where, dimensions))
    if dimensions.vocab_size != VOCABULARY_SIZE[tokenizer]:
        raise ConfigError(
            f"{where}: vocab_size: {dimensions.vocab_size} does not fit the tokenizer {tokenizer},"
            f" which has {VOCABULARY_SIZE[tokenizer]} tokens"
        )
    return dimensions


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or not one
        return False


def _model_name_errors(models: Mapping[str, Model]) -> Iterable[str]:
    slugs: dict[str, str] = {}
    for name, model in models.items():
        if not model.slug:
            yield f"models: {name!r} has no letter or digit to name its files by"
        elif model.slug.lower() in slugs:  # some file systems take A and a for one
            yield (
                f"models: {slugs[model.slug.lower()]!r} and {name!r} would share the files named"
                f" {model.slug}; give one another name"
            )
        slugs[model.slug.lower()] = name


def _row_errors(row: Mapping[str, Any], models: Mapping[str, Model]) -> Iterable[str]:
    where = f"rows: {row['id']}: "
    model, length = models.get(row["model"]), row["context_length"]
    if model is None:
        yield f"{where}model: {_unknown(row['model'], models)}"
        return
    if row["trainable_layers"] == "last_two_blocks" and model.dimensions.n_layer < 2:
        yield (
            f"{where}trainable_layers: last_two_blocks needs a model with two blocks, and"
            f" {model.name} has one; allowed: last_layer, last_block, all"
        )
    if isinstance(length, int) and length > model.dimensions.n_positions:
        yield (
            f"{where}context_length: {length} is out of range; allowed: at most"
            f" {model.dimensions.n_positions}, the positions of {model.name}"
        )


def _row(row: Mapping[str, Any], models: Mapping[str, Model]) -> Row:
    return Row(
        id=row["id"],
        model=models[row["model"]],
        weights=row["weights"],
        trainable_token=row["trainable_token"],
        trainable_layers=row["trainable_layers"],
        context_length=row["context_length"],
        training=Training(
            epochs=row["epochs"],
            batch_size=row["batch_size"],
            learning_rate=float(row["learning_rate"]),
            weight_decay=float(row["weight_decay"]),
            eval_every=row["eval_every"],
            eval_batches=row["eval_batches"],
            precision=row["precision"],
            micro_batch=row.get("micro_batch"),
        ),
        published=Published(**row["published"]) if "published" in row else None,
    )


def _comparison_errors(entries: list[Mapping[str, Any]], rows: Mapping[str, Row]) -> Iterable[str]:
    ids = [entry["id"] for entry in entries]
    for id in sorted({id for id in ids if ids.count(id) > 1}):
        yield f"comparisons: {id}: the id stands {ids.count(id)} times; each needs one of its own"
    for entry in entries:
        where = f"comparisons: {entry['id']}: "
        for end in ("baseline", "variant"):
            if entry[end] not in rows:
                yield f"{where}{end}: names no row: {_unknown(entry[end], rows)}"
        if entry["baseline"] == entry["variant"]:
            yield f"{where}baseline and variant are both {entry['variant']}; name two rows"
