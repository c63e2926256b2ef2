"""config.yaml, validated once and turned into typed values.

Knows nothing about Snakemake or torch. It reads no files but those of a user's own folders: a
model's config.json, a tokenizer's ids.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, structs

from ablations.errors import UserError
from ablations.study import combinations, dataset, grid, messages, settings
from ablations.study.dataset import PUBLISHED_MESSAGES, Generated, Texts
from ablations.study.dimensions import Dimensions, from_config_json, width_errors
from ablations.study.folder import CONFIG, missing, vocab_size
from ablations.study.grid import Grid
from ablations.study.messages import unknown
from ablations.study.models import Folder, Hub, HubTokenizer, Model, Pretrain
from ablations.study.outline import Line, Outline
from ablations.study.schema import (
    ROW_KEYS,
    Config,
    Published,
    Question,
    schema,
)
from ablations.study.settings import Settings, Training

STAND_IN_DATA = "Stand-in data: the messages are generated, not the SMS Spam Collection."
OF_ONE_ROW = ("published", "save_model")  # keys that rows do not take from the baseline
VOCABULARY_SIZE = {"gpt2": 50257, "bytes": 257}


class ConfigError(UserError):
    """What is wrong with the configuration: one line for each mistake."""


class Row(Struct, frozen=True):
    """One configuration of the table; keys that it leaves out are filled in from the baseline."""

    settings: Settings
    model: Model
    published: Published | None
    save_model: bool

    @property
    def id(self) -> str:
        """Its name."""
        return self.settings.row


class Study(Struct, frozen=True):
    """A whole configuration."""

    title: str
    seeds: tuple[int, ...]
    tokenizer: str | Folder | HubTokenizer
    mirror: str | None
    cache_dir: str
    cache_gb: float
    dataset: Texts | Generated
    models: dict[str, Model]
    rows: tuple[Row, ...]
    grids: tuple[Grid, ...]
    questions: tuple[Question, ...]
    margin: float  # of equivalence, in percentage points

    def row(self, id: str) -> Row:
        """The row with this id."""
        return next(row for row in self.rows if row.id == id)

    def notes_about(self, row: Row) -> list[str]:
        """A sentence for each thing in this row that is not what was published."""
        generated = [STAND_IN_DATA] if isinstance(self.dataset, Generated) else []
        pretrained = [row.model] if row.settings.weights == "pretrained" else []
        return [*generated, *_model_notes(pretrained)]

    @property
    def outline(self) -> Outline:
        """What aggregation needs to know about the study.

        Nothing published is said of a row whose model is not GPT-2 as published.
        """
        other = {row.id for row in self.rows if not row.model.is_gpt2}
        other |= {grid.id for grid in self.grids if other & grid.rows.keys()}
        return Outline(
            title=self.title,
            data=self.dataset.description,
            notes=tuple(_notes(self)),
            models=tuple(_model_notes(row.model for row in self.rows)),
            seeds=self.seeds,
            rows=tuple(
                Line(row.id, None if row.id in other else row.published) for row in self.rows
            ),
            grids=self.grids,
            questions=tuple(
                structs.replace(asked, claim=None)
                if {asked.baseline, asked.variant} & other
                else asked
                for asked in self.questions
            ),
            margin=self.margin,
        )


def parse(found: object) -> Study:
    """Validates a configuration as YAML gives it.

    Raises ConfigError with a line for each mistake, naming the key, the row, what was found and
    what is allowed.
    """
    if isinstance(found, Mapping) and "dataset" in found:
        found = {**found, "dataset": dataset.in_full(found["dataset"])}
    _refuse(messages.mistakes(schema(), found))
    plain = _one_spelling(found)
    config = msgspec.convert(plain, Config)
    config = structs.replace(config, tokenizer=_tokenizer(config.tokenizer))
    _refuse(_cache_errors(config))
    _refuse(_row_id_errors(plain["rows"]))
    _refuse(grid.mistakes(plain["rows"]))
    grids = [found for row in plain["rows"] if (found := grid.read(row))]
    models = {name: _model(name, entry, config) for name, entry in config.models.items()}
    _refuse(_model_name_errors(models))
    texts = dataset.parse(config.dataset)
    _refuse(dataset.mistakes(texts))

    baseline = next(row for row in plain["rows"] if row["id"] == "baseline")
    required = [key for key in ROW_KEYS if key not in settings.defaults()]
    _refuse(
        f"rows: baseline: {key} is missing; the baseline names every one of {', '.join(required)}"
        for key in required
        if key not in baseline
    )
    inherited = {key: value for key, value in baseline.items() if key not in OF_ONE_ROW}
    shared = settings.defaults() | plain["training"] | inherited
    resolved = [shared | row for entry in plain["rows"] for row in grid.expand(entry)]
    _refuse(
        _by_row(
            (
                (row["id"], f"model: {unknown(row['model'], models)}")
                for row in resolved
                if row["model"] not in models
            ),
            grids,
        )
    )
    rows = {row["id"]: _row(row, models) for row in resolved}
    wrong = (
        (id, error)
        for id, row in rows.items()
        for error in (*combinations.mistakes(row.settings), *_batch_errors(row, texts))
    )
    _refuse(_by_row(wrong, grids))
    _refuse(message for each in grids for message in _equal_row_errors(each, rows))
    _refuse(_question_errors(config.comparisons, [row["id"] for row in plain["rows"]], grids))
    _refuse(_asked_errors(config.comparisons, grids))
    return Study(
        title=config.title,
        seeds=config.seeds,
        tokenizer=config.tokenizer,
        mirror=config.mirror,
        cache_dir=config.cache_dir,
        cache_gb=config.cache_gb,
        dataset=texts,
        models=models,
        rows=tuple(rows.values()),
        grids=tuple(grids),
        questions=config.comparisons,
        margin=config.margin,
    )


def typed(value: Any) -> Any:
    """A list or mapping whose texts are read as YAML does: `["1", "auto"]` → `[1, "auto"]`."""

    def read(entry: Any) -> Any:
        if not isinstance(entry, str):
            return typed(entry)
        try:
            found = yaml.safe_load(entry)
        except (yaml.YAMLError, ValueError):
            return entry
        return entry if isinstance(found, list | dict) else found  # a text with a colon is a text

    if isinstance(value, Mapping):
        return {key: read(entry) for key, entry in value.items()}
    return list(map(read, value)) if isinstance(value, list) else value


def _notes(study: Study) -> Iterator[str]:
    """One sentence for each thing in every row that is not the published study's."""
    if isinstance(study.dataset, Generated):
        yield STAND_IN_DATA
    elif not study.dataset.published and (
        any(row.published for row in study.rows) or any(asked.claim for asked in study.questions)
    ):
        yield (
            f"Your own texts: {study.dataset.description}, not the SMS Spam Collection, so no"
            " published number is about them."
        )
    if not isinstance(study.tokenizer, str):
        yield f"Your own tokenizer: that of {_source(study.tokenizer)}, not GPT-2's."
    elif study.tokenizer == "bytes" and not isinstance(study.dataset, Generated):
        yield "Byte tokenizer: a token for each byte, not GPT-2's tokenizer."


def _model_notes(used: Iterable[Model]) -> Iterator[str]:
    models = {model.name: model for model in used}
    pretrained = [name for name, model in models.items() if model.pretrain]
    if pretrained:
        yield (
            f"Stand-in models: {', '.join(pretrained)} {_were(pretrained)} pretrained by this"
            " workflow on the training messages, not GPT-2."
        )
    sources = {
        name: model.hub.repo if model.hub else "a folder"
        for name, model in models.items()
        if not model.pretrain and not model.is_gpt2
    }
    if sources:
        named = ", ".join(f"{name} from {source}" for name, source in sources.items())
        yield f"Your own models: {named}; not GPT-2 as published."


def _were(names: list[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _refuse(messages: Iterable[str]) -> None:
    found = dict.fromkeys(messages)  # each once, in order
    if found:
        raise ConfigError("\n".join(found))


def _one_spelling(node: Any) -> Any:
    """A copy in which whole numbers are integers: 8 and 8.0 in YAML must give the same row file."""
    if isinstance(node, Mapping):
        return {key: _one_spelling(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_one_spelling(value) for value in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


# --- checks of more than one key at a time


def _cache_errors(config: Config) -> Iterable[str]:
    if config.cache_gb == 0 and config.cache_dir != "results/cache":
        yield (
            f"cache_gb: 0 empties the cache after each run, and cache_dir: {config.cache_dir} may"
            " be another study's; allowed: more than 0, or no cache_dir"
        )


def _row_id_errors(rows: list[Mapping[str, Any]]) -> Iterable[str]:
    ids = [row["id"] for row in rows]
    for id in sorted({id for id in ids if ids.count(id) > 1}):
        yield f"rows: {id}: the id appears {ids.count(id)} times; allowed: once"
    if "baseline" not in ids:
        yield f"rows: no row has the id baseline, which is required; found: {', '.join(ids)}"


def _by_row(errors: Iterable[tuple[str, str]], grids: Sequence[Grid]) -> Iterable[str]:
    """Messages that name the row; for a grid the first wrong row, and how many are wrong."""
    of_grid = {row: each for each in grids for row in each.rows}
    wrong: dict[str, dict[str, str]] = {}
    for row, error in errors:
        if row in of_grid:
            wrong.setdefault(of_grid[row].id, {}).setdefault(row, error)
        else:
            yield f"rows: {row}: {error}"
    for id, found in wrong.items():
        row, error = next(iter(found.items()))
        combination = grid.in_words(of_grid[row].rows[row])
        more = f" ({len(found)} of the {len(of_grid[row])} combinations)" if len(found) > 1 else ""
        yield f"rows: {id}: grid: {combination}: {error}{more}"


def _equal_row_errors(each: Grid, rows: Mapping[str, Row]) -> Iterable[str]:
    """Combinations that differ only in settings without effect, such as the rank without LoRA."""
    first: dict[tuple[Any, ...], dict[str, Any]] = {}
    for id, values in each.rows.items():
        result = settings.result(rows[id].settings.compared())
        other = first.setdefault(tuple(result.items()), values)
        if other != values:
            idle = [key for key in values if values[key] != other[key]]
            yield (
                f"rows: {each.id}: grid: {grid.in_words(other)} and {grid.in_words(values)} are the"
                f" same row: {' and '.join(idle)} has no effect there; allowed: combinations that"
                " differ"
            )
            return


def _model(name: str, entry: Mapping[str, Any], config: Config) -> Model:
    if "path" in entry:
        folder = msgspec.convert(entry, Folder)
        return Model(name, _folder_dimensions(name, folder, config.tokenizer), folder=folder)
    source: Hub | Pretrain
    if "pretrain" in entry:
        source = msgspec.convert(entry, Pretrain)
    else:
        source = msgspec.convert(entry, Hub)
    stated = source.vocab_size if isinstance(source, Hub) else None
    dimensions = Dimensions(
        n_layer=source.n_layer,
        n_head=source.n_head,
        n_embd=source.n_embd,
        n_positions=source.n_positions,
        vocab_size=stated or tokens_of(config.tokenizer),
    )
    _refuse(f"models: {name}: {error}" for error in width_errors(dimensions))
    _refuse(_vocabulary_errors(f"models: {name}", dimensions, config.tokenizer))
    if isinstance(source, Pretrain):
        return Model(name, dimensions, pretrain=source)
    return Model(name, dimensions, hub=source)


def _tokenizer(entry: Any) -> str | Folder | HubTokenizer:
    if isinstance(entry, str):
        return entry
    if "path" in entry:
        return msgspec.convert(entry, Folder)
    return msgspec.convert(entry, HubTokenizer)


def _source(tokenizer: Folder | HubTokenizer) -> str:
    return tokenizer.path if isinstance(tokenizer, Folder) else tokenizer.repo


def _folder_dimensions(
    name: str, folder: Folder, tokenizer: str | Folder | HubTokenizer
) -> Dimensions:
    where = f"models: {name}: path: {folder.path}"
    try:
        if wrong := missing(Path(folder.path)):
            raise ConfigError(f"{where} {wrong}")
        where += f"/{CONFIG}"
        dimensions = from_config_json(Path(folder.path) / CONFIG, where)
    except UserError as error:
        raise ConfigError(str(error)) from None
    _refuse(_vocabulary_errors(where, dimensions, tokenizer))
    return dimensions


def _vocabulary_errors(
    where: str, dimensions: Dimensions, tokenizer: str | Folder | HubTokenizer
) -> Iterator[str]:
    """A model may have more tokens than the tokenizer (added words, padding), but not fewer."""
    tokens = tokens_of(tokenizer)
    if dimensions.vocab_size < tokens:
        name = tokenizer if isinstance(tokenizer, str) else f"of {_source(tokenizer)}"
        yield (
            f"{where}: vocab_size: {dimensions.vocab_size} does not fit the tokenizer {name}, which"
            f" has {tokens} tokens"
        )


def tokens_of(tokenizer: str | Folder | HubTokenizer) -> int:
    """How many tokens a tokenizer has; raises ConfigError for a folder without one."""
    if isinstance(tokenizer, str):
        return VOCABULARY_SIZE[tokenizer]
    if isinstance(tokenizer, HubTokenizer):
        return tokenizer.vocab_size
    try:
        return vocab_size(Path(tokenizer.path))
    except UserError as error:
        raise ConfigError(f"tokenizer: path: {error}") from None


def _model_name_errors(models: Mapping[str, Model]) -> Iterable[str]:
    slugs: dict[str, str] = {}
    for name, model in models.items():
        if not model.slug:
            yield f"models: {name!r} has no letter or digit, which the names of its files need"
        elif model.slug.lower() in slugs:  # some file systems do not tell A from a
            yield (
                f"models: {slugs[model.slug.lower()]!r} and {name!r} would share the files named"
                f" {model.slug}; give one another name"
            )
        slugs[model.slug.lower()] = name


def _row(row: Mapping[str, Any], models: Mapping[str, Model]) -> Row:
    model = models[row["model"]]
    own = {key: row[key] for key in ROW_KEYS}
    if row["trainable_layers"] != "lora":  # then LoRA's settings are as if they were left out
        own |= {key: settings.defaults()[key] for key in settings.OF_LORA}
    own |= {
        "row": row["id"],
        "dimensions": msgspec.to_builtins(model.dimensions),
        "training": {key: row[key] for key in settings.names(Training)},
    }
    published = msgspec.convert(row.get("published"), Published | None)
    return Row(msgspec.convert(own, Settings), model, published, row.get("save_model", False))


def _batch_errors(row: Row, texts: Texts | Generated) -> Iterable[str]:
    """A batch larger than the training set, where that is known before the texts are read."""
    if isinstance(texts, Generated):
        messages = texts.generated.messages  # fewer, once balanced
    elif texts.published and texts.balance:
        messages = PUBLISHED_MESSAGES
    else:
        return
    share = texts.split.train if texts.split and texts.split.train else 1
    most = int(share * messages)
    if row.settings.training.batch_size > most:
        yield (
            f"batch_size: {row.settings.training.batch_size} is out of range; allowed: at most the"
            f" training messages, which are no more than {most} ({share:g} of {messages})"
        )


def _question_errors(
    questions: Iterable[Question], written: list[str], grids: Sequence[Grid]
) -> Iterable[str]:
    """`written`: the ids of rows and grids as config.yaml has them."""
    ids = [question.id for question in questions]
    for id in sorted({id for id in ids if ids.count(id) > 1}):
        yield f"comparisons: {id}: the id appears {ids.count(id)} times; allowed: once"
    of_grid = {row: each for each in grids for row in each.rows}
    several = {each.id for each in grids if not each.choose}
    for question in questions:
        where = f"comparisons: {question.id}: "
        for end, row in (("baseline", question.baseline), ("variant", question.variant)):
            if row in of_grid and of_grid[row].choose:
                yield (
                    f"{where}{end}: {row} belongs to the grid {of_grid[row].id}, whose chosen row"
                    f" alone is in the table; allowed: {of_grid[row].id}"
                )
            elif row not in of_grid and row not in written:
                yield f"{where}{end}: names no row: {unknown(row, written)}"
        if question.baseline == question.variant:
            yield f"{where}baseline and variant are both {question.variant}; name two rows"
        elif {question.baseline, question.variant} <= several:
            yield (
                f"{where}baseline {question.baseline} and variant {question.variant} are both"
                " grids; allowed: one grid, or grids with choose"
            )


def _asked_errors(questions: Iterable[Question], grids: Sequence[Grid]) -> Iterable[str]:
    """What is wrong once questions about grids are questions about rows: none, or one id twice."""
    owners: dict[str, str] = {}
    for question in questions:
        named = [each for each in grids if each.id in (question.baseline, question.variant)]
        asked = [each.id for each in grid.ask([question], named, {})]
        if not asked:
            yield (
                f"comparisons: {question.id}: baseline {question.baseline} and variant"
                f" {question.variant} are one row, the only one of the grid; name two rows"
            )
        if taken := [id for id in asked if id in owners]:
            yield (
                f"comparisons: {question.id}: asks a question with the id {taken[0]}, and so does"
                f" {owners[taken[0]]} (about a grid, it asks one for each row); allowed: a"
                " different id for each question"
            )
        owners |= dict.fromkeys(asked, question.id)
