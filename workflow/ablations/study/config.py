"""config.yaml, validated once and turned into typed values.

Knows nothing about Snakemake or torch. It reads no files but those of a user's own folders: a
model's config.json, a tokenizer's ids.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from ablations.errors import UserError
from ablations.study import checks, dataset_checks, door, grid, outline, settings
from ablations.study.dataset import in_full, numbered
from ablations.study.dimensions import Dimensions, from_config_json, width_errors
from ablations.study.door import refuse
from ablations.study.entries import (
    Config,
    ModelEntry,
    Published,
    Question,
    Shared,
    Tokenizer,
    options,
)
from ablations.study.folder import CONFIG, missing, vocab_size
from ablations.study.grid import Grid
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


class Study(Shared, frozen=True, kw_only=True):
    """A whole configuration."""

    models: dict[str, Model]
    rows: tuple[Row, ...]
    grids: tuple[Grid, ...]
    questions: tuple[Question, ...]

    @property
    def folds(self) -> tuple[int | None, ...]:
        """The numbers of the folds; one without a number where the texts are cut once."""
        return numbered(self.dataset.split)

    def row(self, id: str) -> Row:
        """The row with this id."""
        return next(row for row in self.rows if row.id == id)

    def notes_about(self, row: Row) -> list[str]:
        """A sentence for each thing in this row that is not what was published."""
        pretrained = [row.model] if row.settings.weights == "pretrained" else []
        folds = self.folds != (None,)
        return [*outline.stand_in_data(self.dataset), *outline.about_models(pretrained, folds)]

    @property
    def outline(self) -> Outline:
        """What the answers need to know about the study.

        Nothing published is said beside stand-ins, nor of a row whose model is not GPT-2 as
        published.
        """
        published = any(row.published for row in self.rows)
        any_published = published or any(asked.claim for asked in self.questions)
        split = self.dataset.split
        notes = (
            *outline.about_texts(self.dataset, any_published),
            *outline.about_tokenizer(self.tokenizer, self.dataset),
        )
        other = {row.id for row in self.rows if notes or not row.model.is_gpt2}
        other |= {grid.id for grid in self.grids if other & grid.rows.keys()}
        return Outline(
            title=self.title,
            data=self.dataset.description,
            notes=notes,
            models=tuple(
                outline.about_models((row.model for row in self.rows), self.folds != (None,))
            ),
            seeds=self.seeds,
            folds=split.folds if split else None,
            may_have_folds=bool(split and split.training),
            keep_together=self.dataset.keep_together,
            rows=tuple(
                Line(row.id, None if row.id in other else row.published) for row in self.rows
            ),
            references=self.references,
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

    Raises UserError with a line for each mistake, naming the key, the row, what was found and what
    is allowed.
    """
    if isinstance(found, Mapping) and "dataset" in found:
        found = {**found, "dataset": in_full(found["dataset"])}
    config = door.read(found, Config)
    wrong = [*checks.cache(config), *dataset_checks.mistakes(config.dataset)]
    models = {}
    for name, entry in config.models.items():
        try:
            models[name] = _model(name, entry, config.tokenizer)
        except UserError as error:
            wrong.append(str(error))
    wrong += checks.model_names(config.models)
    refuse([*wrong, *checks.row_entries(config.rows, config.models)])
    grids = tuple(made for row in config.rows if (made := grid.of(row)))
    rows = tuple(_rows(config, models))
    wrong = [*checks.rows([row.settings for row in rows], grids, config.dataset)]
    wrong += checks.references(config.references, config.rows)
    wrong += checks.questions(config.comparisons, config.rows, grids, config.references)
    refuse(wrong)
    return Study(
        **{name: getattr(config, name) for name in settings.names(Shared)},
        models=models,
        rows=rows,
        grids=grids,
        questions=config.comparisons,
    )


def _rows(config: Config, models: Mapping[str, Model]) -> Iterator[Row]:
    """The rows of the table: what one leaves out is the baseline's, of `training`, or default."""
    baseline = next(row for row in config.rows if row.id == "baseline")
    shared = settings.defaults() | structs.asdict(config.training) | options(baseline)
    for entry in config.rows:
        for id, values in grid.combinations(entry):
            chosen = shared | options(entry) | values
            model = models[chosen["model"]]
            yield Row(_settings(id, chosen, model), model, entry.published, entry.save_model)


def _settings(id: str, chosen: dict[str, Any], model: Model) -> Settings:
    """A row file's content; options that belong to another one's value count only with it."""
    for name, option in OPTIONS.items():
        if any(chosen[other] != value for other, value in option.part_of.items()):
            chosen[name] = settings.defaults()[name]
    return Settings(
        row=id,
        dimensions=model.dimensions,
        training=Training(**{name: chosen[name] for name in settings.names(Training)}),
        **{name: chosen[name] for name in settings.names(Choices)},
    )


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
    if wrong := missing(Path(folder.path)):
        raise UserError(f"{where} {wrong}")
    where += f"/{CONFIG}"
    dimensions = from_config_json(Path(folder.path) / CONFIG, where)
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
    """How many tokens a tokenizer has; raises UserError for a folder without one."""
    if isinstance(tokenizer, str):
        return VOCABULARY_SIZE[tokenizer]
    if isinstance(tokenizer, HubTokenizer):
        return tokenizer.vocab_size
    try:
        return vocab_size(Path(tokenizer.path))
    except UserError as error:
        raise UserError(f"tokenizer: path: {error}") from None
