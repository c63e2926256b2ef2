"""config.yaml, validated once and turned into typed values.

Knows nothing about Snakemake or torch. It reads no files but those of a user's own folders: a
model's config.json, a tokenizer's ids.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from ablations.errors import UserError
from ablations.study import checks, dataset_checks, door, grid, outline, settings
from ablations.study.config_json import from_config_json
from ablations.study.dataset import in_full, numbered
from ablations.study.dimensions import Dimensions, width_errors
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
from ablations.study.folder import CONFIG, missing
from ablations.study.grid import Grid
from ablations.study.models import Hub, HubTokenizer, Model, ModelFolder, Pretrain
from ablations.study.outline import Line, Outline
from ablations.study.settings import OPTIONS, Choices, Settings, Training
from ablations.study.tokenizer_files import vocab_size

GPT2_POSITIONS = 1024
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

    title: str
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
        is_gpt2 = row.model.dimensions.is_gpt2  # of another, nobody takes it for GPT-2
        pretrained = [row.model] if is_gpt2 and row.settings.weights == "pretrained" else []
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
        notes = tuple(outline.about_texts(self.dataset, any_published))
        if any(row.model.dimensions.is_gpt2 for row in self.rows):  # others have their own
            notes += tuple(outline.about_tokenizer(self.tokenizer, self.dataset))
        other = {row.id for row in self.rows if notes or not row.model.is_published}
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
    models, vocabulary = {}, _Vocabulary(config.tokenizer)
    for name, entry in config.models.items():
        try:
            model = _model(name, entry, vocabulary)
            own = _name_of(config.tokenizer) if model.dimensions.is_gpt2 else model.slug
            models[name] = structs.replace(model, tokenizer=own)
        except UserError as error:
            wrong.append(str(error))
    wrong += [*checks.model_names(config.models), *checks.tokenizer_names(models.values())]
    refuse([*wrong, *checks.row_entries(config.rows, config.models)])
    grids = tuple(made for row in config.rows if (made := grid.of(row)))
    rows = tuple(_rows(config, models))
    wrong = [*checks.rows([row.settings for row in rows], grids, config.dataset)]
    wrong += checks.references(config.references, config.rows)
    wrong += checks.questions(config.comparisons, config.rows, grids, config.references)
    refuse(wrong)
    return Study(
        **{name: getattr(config, name) for name in settings.names(Shared)},
        title=config.title or _title(models.values()),
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


def _title(models: Iterable[Model]) -> str:
    """What stands above the table where the study does not say."""
    of_gpt2 = all(model.dimensions.is_gpt2 for model in models)
    return f"Finetuning ablations{' of GPT-2' if of_gpt2 else ''}"


@dataclass(frozen=True)
class _Vocabulary:
    """The tokenizer of GPT-2s. Its file is read once, and only where there is one of them."""

    tokenizer: Tokenizer

    @cached_property
    def size(self) -> int:
        """How many tokens it has; raises UserError for a folder without one."""
        if isinstance(self.tokenizer, str):
            return VOCABULARY_SIZE[self.tokenizer]
        if isinstance(self.tokenizer, HubTokenizer):
            return self.tokenizer.vocab_size
        try:
            return vocab_size(Path(self.tokenizer.path))
        except UserError as error:
            raise UserError(f"tokenizer: path: {error}") from None

    def errors(self, where: str, dimensions: Dimensions) -> Iterator[str]:
        """A model may have more tokens (added words, padding), but not fewer."""
        if dimensions.vocab_size < self.size:
            used = self.tokenizer
            name = used if isinstance(used, str) else f"of {used.source}"
            yield (
                f"{where}: vocab_size: {dimensions.vocab_size} does not fit the tokenizer {name},"
                f" which has {self.size} tokens"
            )


def _model(name: str, entry: ModelEntry, vocabulary: _Vocabulary) -> Model:
    where = f"models: {name}"
    if isinstance(entry, ModelFolder):
        return Model(name, _of_folder(where, entry, vocabulary), folder=entry)
    if isinstance(entry, Pretrain):
        return Model(name, _of_gpt2(where, entry, vocabulary, vocabulary.size), pretrain=entry)
    refuse(f"{where}: {error}" for error in checks.hub(entry))
    if entry.type != "gpt2":
        return Model(name, _stated(entry), hub=entry)
    size = entry.vocab_size or vocabulary.size
    return Model(name, _of_gpt2(where, entry, vocabulary, size), hub=entry)


def _of_gpt2(
    where: str, entry: Hub | Pretrain, vocabulary: _Vocabulary, vocab_size: int
) -> Dimensions:
    dimensions = Dimensions(
        n_layer=entry.n_layer,
        n_head=entry.n_head,
        n_embd=entry.n_embd,
        n_positions=entry.n_positions or GPT2_POSITIONS,
        vocab_size=vocab_size,
    )
    refuse(f"{where}: {error}" for error in width_errors(dimensions))
    refuse(vocabulary.errors(where, dimensions))
    return dimensions


def _stated(entry: Hub) -> Dimensions:
    """Of another model than a GPT-2, whose entry says all."""
    return Dimensions(**{key: getattr(entry, key) for key in settings.names(Dimensions)})


def _of_folder(where: str, entry: ModelFolder, vocabulary: _Vocabulary) -> Dimensions:
    path = Path(entry.path)
    if wrong := missing(path):
        raise UserError(f"{where}: path: {path} {wrong}")
    name = f"{where}: path: {path}/{CONFIG}"
    dimensions = from_config_json(path / CONFIG, name, n_positions=entry.n_positions)
    refuse(f"{where}: {error}" for error in checks.folder(entry, dimensions))
    if dimensions.is_gpt2:
        refuse(vocabulary.errors(name, dimensions))
    return structs.replace(
        dimensions,
        encoder=entry.encoder,
        n_positions=entry.n_positions or dimensions.n_positions,
        block_weights=entry.block_weights,
    )


def _name_of(tokenizer: Tokenizer) -> str:
    # interned, since what is not the very default is not left out of files
    return sys.intern(tokenizer) if isinstance(tokenizer, str) else "own"
