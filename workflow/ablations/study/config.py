"""config.yaml, validated once and turned into typed values.

Knows nothing about Snakemake or torch. It reads no files but those of a user's own folders: a
model's config.json, a tokenizer's ids.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, structs

from ablations.errors import UserError
from ablations.study import checks, dataset_checks, door, grid, outline, settings
from ablations.study.dataset import Generated, Texts, in_full
from ablations.study.dimensions import Dimensions, from_config_json, width_errors
from ablations.study.door import ConfigError, refuse
from ablations.study.entries import (
    Config,
    ModelEntry,
    Options,
    Published,
    Question,
    RowEntry,
    Tokenizer,
    options,
)
from ablations.study.folder import CONFIG, missing, vocab_size
from ablations.study.grid import Grid
from ablations.study.messages import unknown
from ablations.study.models import Folder, Hub, HubTokenizer, Model, Pretrain
from ablations.study.outline import Line, Outline
from ablations.study.settings import OPTIONS, Choices, Settings, Training

VOCABULARY_SIZE = {"gpt2": 50257, "bytes": 257}


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
    tokenizer: Tokenizer
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
        pretrained = [row.model] if row.settings.weights == "pretrained" else []
        return [*outline.stand_in_data(self.dataset), *outline.about_models(pretrained)]

    @property
    def outline(self) -> Outline:
        """What aggregation needs to know about the study.

        Nothing published is said of a row whose model is not GPT-2 as published.
        """
        other = {row.id for row in self.rows if not row.model.is_gpt2}
        other |= {grid.id for grid in self.grids if other & grid.rows.keys()}
        published = any(row.published for row in self.rows)
        any_published = published or any(asked.claim for asked in self.questions)
        return Outline(
            title=self.title,
            data=self.dataset.description,
            notes=(
                *outline.about_texts(self.dataset, any_published),
                *outline.about_tokenizer(self.tokenizer, self.dataset),
            ),
            models=tuple(outline.about_models(row.model for row in self.rows)),
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
        found = {**found, "dataset": in_full(found["dataset"])}
    config = door.read(found, Config)
    refuse([*checks.cache(config), *checks.row_ids(config.rows), *checks.grids(config.rows)])
    models = {name: _model(name, entry, config.tokenizer) for name, entry in config.models.items()}
    refuse([*checks.model_names(models), *dataset_checks.mistakes(config.dataset)])
    rows = _rows(config, models)
    refuse(checks.questions(config.comparisons, config.rows))
    return Study(
        title=config.title,
        seeds=config.seeds,
        tokenizer=config.tokenizer,
        mirror=config.mirror,
        cache_dir=config.cache_dir,
        cache_gb=config.cache_gb,
        dataset=config.dataset,
        models=models,
        rows=rows,
        grids=_grids(config),
        questions=config.comparisons,
        margin=config.margin,
    )


def _grids(config: Config) -> tuple[Grid, ...]:
    return tuple(made for row in config.rows if (made := grid.of(row)))


def _rows(config: Config, models: Mapping[str, Model]) -> tuple[Row, ...]:
    """The rows of the table: what one leaves out is the baseline's, of `training`, or default."""
    own = {row.id: options(row) for row in config.rows}
    required = [name for name in settings.names(Choices) if name not in settings.defaults()]
    refuse(
        f"rows: baseline: {name} is missing; the baseline names every one of {', '.join(required)}"
        for name in required
        if name not in own["baseline"]
    )
    shared = settings.defaults() | structs.asdict(config.training) | own["baseline"]
    chosen = {
        id: (written, shared | own[written.id] | values)
        for written in config.rows
        for id, values in _combinations(written)
    }
    grids = _grids(config)
    unnamed = ((id, found["model"]) for id, (_, found) in chosen.items())
    refuse(
        checks.by_row(
            (
                (id, f"model: {unknown(model, models)}")
                for id, model in unnamed
                if model not in models
            ),
            grids,
        )
    )
    rows = {
        id: Row(
            _settings(id, found, models[found["model"]]),
            models[found["model"]],
            written.published,
            written.save_model,
        )
        for id, (written, found) in chosen.items()
    }
    found = {id: row.settings for id, row in rows.items()}
    wrong = (
        (id, error)
        for id, row in found.items()
        for error in (*checks.together(row), *checks.batch(row, config.dataset))
    )
    refuse(checks.by_row(wrong, grids))
    refuse(message for each in grids for message in checks.equal_rows(each, found))
    return tuple(rows.values())


def _combinations(written: RowEntry) -> Iterator[tuple[str, dict[str, Any]]]:
    """The ids of the rows that an entry becomes, and what each sets beside the entry's own."""
    made = grid.of(written)
    if made is None:
        yield written.id, {}
        return
    for id, values in made.combinations():
        yield id, options(msgspec.convert(values, Options))  # 1 becomes 1.0 where it is a fraction


def _settings(id: str, chosen: Mapping[str, Any], model: Model) -> Settings:
    """A row file's content; options that belong to another one's value count only with it."""
    unset = {
        name: settings.defaults()[name]
        for name, option in OPTIONS.items()
        if any(chosen[other] != value for other, value in option.part_of.items())
    }
    chosen = {**chosen, **unset}
    return Settings(
        row=id,
        dimensions=model.dimensions,
        training=Training(**{name: chosen[name] for name in settings.names(Training)}),
        **{name: chosen[name] for name in settings.names(Choices)},
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


def _model(name: str, entry: ModelEntry, tokenizer: Tokenizer) -> Model:
    if isinstance(entry, Folder):
        return Model(name, _folder_dimensions(name, entry, tokenizer), folder=entry)
    stated = entry.vocab_size if isinstance(entry, Hub) else None
    dimensions = Dimensions(
        n_layer=entry.n_layer,
        n_head=entry.n_head,
        n_embd=entry.n_embd,
        n_positions=entry.n_positions,
        vocab_size=stated or _tokens_of(tokenizer),
    )
    refuse(f"models: {name}: {error}" for error in width_errors(dimensions))
    refuse(_vocabulary_errors(f"models: {name}", dimensions, tokenizer))
    if isinstance(entry, Pretrain):
        return Model(name, dimensions, pretrain=entry)
    return Model(name, dimensions, hub=entry)


def _folder_dimensions(name: str, folder: Folder, tokenizer: Tokenizer) -> Dimensions:
    where = f"models: {name}: path: {folder.path}"
    try:
        if wrong := missing(Path(folder.path)):
            raise ConfigError(f"{where} {wrong}")
        where += f"/{CONFIG}"
        dimensions = from_config_json(Path(folder.path) / CONFIG, where)
    except UserError as error:
        raise ConfigError(str(error)) from None
    refuse(_vocabulary_errors(where, dimensions, tokenizer))
    return dimensions


def _vocabulary_errors(where: str, dimensions: Dimensions, tokenizer: Tokenizer) -> Iterator[str]:
    """A model may have more tokens than the tokenizer (added words, padding), but not fewer."""
    tokens = _tokens_of(tokenizer)
    if dimensions.vocab_size < tokens:
        name = tokenizer if isinstance(tokenizer, str) else f"of {tokenizer.source}"
        yield (
            f"{where}: vocab_size: {dimensions.vocab_size} does not fit the tokenizer {name}, which"
            f" has {tokens} tokens"
        )


def _tokens_of(tokenizer: Tokenizer) -> int:
    """How many tokens a tokenizer has; raises ConfigError for a folder without one."""
    if isinstance(tokenizer, str):
        return VOCABULARY_SIZE[tokenizer]
    if isinstance(tokenizer, HubTokenizer):
        return tokenizer.vocab_size
    try:
        return vocab_size(Path(tokenizer.path))
    except UserError as error:
        raise ConfigError(f"tokenizer: path: {error}") from None
