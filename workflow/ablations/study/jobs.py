"""The jobs of a study, without Snakemake: runs, trunks and kept models, and what each needs."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablations.study import cut, needs, paths
from ablations.study.config import Row, Study
from ablations.study.entries import Tokenizer
from ablations.study.folder import HEAD
from ablations.study.models import Folder, HubTokenizer, Model
from ablations.study.needs import Needs, Size
from ablations.study.tokenizer_files import TOKENIZER_FILES

# The files of a kept model, beside its tokenizer's and, if it is no GPT-2, its head's. The manifest
# is written last.
KEPT_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer_config.json",
    "ablations.json",
    "README.md",
    "manifest.json",
)
OLD_FILES = sorted({*KEPT_FILES, HEAD, *TOKENIZER_FILES})
REFERENCE_FILES = ("metrics.json", "predictions.csv")


@dataclass(frozen=True)
class Run:
    """One row trained with one seed, on one fold."""

    row: Row
    seed: int
    fold: int | None  # None where the texts are cut once
    trunk: str | None  # the trunk's name; None where the row freezes nothing

    @property
    def name(self) -> str:
        """What tells it from the other runs of its row: `fold-2/seed-123`."""
        return paths.run(self.seed, self.fold)

    @property
    def in_words(self) -> str:
        """The same for people: `fold 2, seed 123`."""
        return self.name.replace("/", ", ").replace("-", " ")

    @property
    def wildcards(self) -> dict[str, str]:
        """What tells it from the other runs, as paths name it."""
        return {"row": self.row.id, "run": self.name}

    @property
    def options(self) -> str:
        """The same for the programs."""
        return f"--seed {self.seed}" + (f" --fold {self.fold}" if self.fold else "")

    def path(self, pattern: str) -> str:
        """One of its files."""
        return pattern.format_map(self.wildcards)


@dataclass(frozen=True)
class Total:
    """What all jobs of a study need: the seconds of two CPU cores, memory and disk."""

    seconds: float
    memory_mb: int  # of the largest run
    largest: str  # whose row this is
    hidden_states_bytes: int
    state_bytes: int  # of the run that saves most, at most
    state_of: str  # whose row this is
    download_bytes: int  # of checkpoints


@dataclass(frozen=True)
class Jobs:
    """The jobs of a study."""

    study: Study
    rows: dict[str, Row]  # by id
    models: dict[str, Model]  # by the names of their files
    runs: dict[str, Run]  # by what tells them apart in paths: OF_RUN
    trunks: dict[str, cut.Trunk]  # by name
    texts: Size  # as far as they are known before they are read
    assumed: bool  # whether they may be more, or longer

    def kept_files(self) -> list[str]:
        """The files of every model that is kept."""
        kept = [run for run in self.runs.values() if run.row.save_model]
        return [
            paths.KEPT.format(file=file, **run.wildcards) for run in kept for file in KEPT_FILES
        ]

    @property
    def reference_files(self) -> list[str]:
        """The files of one reference in its folder: two for each fold."""
        return [paths.in_fold(file, fold) for fold in self.study.folds for file in REFERENCE_FILES]

    def of_references(self) -> list[str]:
        """The files of all references."""
        return [
            paths.REFERENCE.format(reference=reference, file=file)
            for reference in self.study.references
            for file in self.reference_files
        ]

    @property
    def starts_from(self) -> list[Model]:
        """The models whose checkpoints are needed."""
        rows = self.rows.values()
        used = [row.model for row in rows if _checkpoint(row.model, row.settings.weights)]
        return list({model.name: model for model in used}.values())

    def run(self, wildcards: Mapping[str, str]) -> Run:
        """The run that wildcards name."""
        return self.runs[paths.OF_RUN.format_map(wildcards)]

    def of_runs(self, pattern: str) -> list[str]:
        """This file of every run."""
        return [run.path(pattern) for run in self.runs.values()]

    @property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """Where the tokenizers of the models come from, by name; `bytes` has no files."""
        return {model.tokenizer: self._tokenizer_of(model) for model in self.models.values()}

    def _tokenizer_of(self, model: Model) -> Tokenizer:
        if model.dimensions.is_gpt2:
            return self.study.tokenizer
        if hub := model.hub:
            size = model.dimensions.vocab_size
            return HubTokenizer(repo=hub.repo, revision=hub.revision, vocab_size=size)
        assert model.folder is not None  # only GPT-2s are pretrained
        return Folder(path=model.folder.path)

    def model(self, wildcards: Mapping[str, str]) -> Model:
        """The model that wildcards name, or their run's, or their trunk's."""
        if name := wildcards.get("model"):
            return self.models[name]
        if name := wildcards.get("trunk"):
            return self.study.models[self.trunks[name].model]
        return self.run(wildcards).row.model

    def model_file(self, wildcards: Mapping[str, str]) -> str:
        """The file that states this model."""
        return paths.MODEL.format(model=self.model(wildcards).slug)

    def tokens(self, wildcards: Mapping[str, str]) -> str:
        """The texts as this model reads them."""
        return _tokens(self.model(wildcards))

    def tokens_of_rows(self) -> list[str]:
        """The same of each row, in the order of their ids."""
        return [_tokens(self.rows[id].model) for id in sorted(self.rows)]

    def tokenizer(self, wildcards: Mapping[str, str]) -> list[str]:
        """The manifest of a tokenizer, named or this model's; none where it has no files."""
        name = wildcards.get("tokenizer") or self.model(wildcards).tokenizer
        return [] if name == "bytes" else [paths.TOKENIZER.format(tokenizer=name)]

    def tokenizer_of_gpt2(self, wildcards: Mapping[str, str]) -> list[str]:
        """The same of a GPT-2, which may have come with another; none for other models."""
        return self.tokenizer(wildcards) if self.model(wildcards).dimensions.is_gpt2 else []

    def checkpoint(self, wildcards: Mapping[str, str]) -> list[str]:
        """The manifest of what a run or a trunk starts from; of a GPT-2, none if random."""
        trunk = self.trunks.get(wildcards.get("trunk", ""))
        weights = (trunk or self.run(wildcards).row.settings).weights
        return _checkpoint(self.model(wildcards), weights)

    def trunk_of_run(self, wildcards: Mapping[str, str]) -> list[str]:
        """The trunk's manifest; none where a row freezes nothing."""
        name = self.run(wildcards).trunk
        return [paths.TRUNK.format(trunk=name)] if name else []

    def stated(self) -> dict[str, Any]:
        """The values that jobs read from files, by the files."""
        rows = {paths.ROW.format(row=id): row.settings for id, row in self.rows.items()}
        trunks = {paths.TRUNK_SETTINGS.format(trunk=name): t for name, t in self.trunks.items()}
        models = {paths.MODEL.format(model=name): model for name, model in self.models.items()}
        return {**rows, **trunks, **models}

    def needs_of_run(self, wildcards: Mapping[str, str]) -> Needs:
        """What a run needs, with its trunk's work, since the cache may not hold that."""
        return needs.of_run(self.run(wildcards).row.settings, self.texts)

    def needs_of_trunk(self, wildcards: Mapping[str, str]) -> Needs:
        """What a trunk's job needs."""
        return needs.of_trunk(self.trunks[wildcards["trunk"]], self.texts)

    def needs_of_pretraining(self, wildcards: Mapping[str, str]) -> Needs:
        """What pretraining a stand-in needs."""
        return needs.of_pretraining(self.models[wildcards["model"]])

    def work(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """The seconds of each job that computes, by its rule and its wildcards."""
        found: dict[tuple[str, tuple[str, ...]], float] = {}
        for model in self.starts_from:
            if model.pretrain:
                found["pretrain", (model.slug,)] = needs.of_pretraining(model).seconds
        for name, trunk in self.trunks.items():
            found["trunk", (name,)] = needs.trunk_seconds(trunk, self.texts)
        for run in self.runs.values():
            rule = "train_and_keep" if run.row.save_model else "train"
            seconds = needs.training_seconds(run.row.settings, self.texts)
            found[rule, tuple(run.wildcards.values())] = seconds
        for reference in self.study.references:
            seconds = needs.reference_seconds(self.texts) * len(self.study.folds)
            found["reference", (reference,)] = seconds
        return found

    def total(self) -> Total:
        """What the study needs without any result yet; shared hidden states count once."""
        rows, work = self.rows.values(), self.work()
        memory_mb, largest = max(
            (needs.of_run(row.settings, self.texts).resident_mb, row.id) for row in rows
        )
        saved, state_of = max((needs.trained_weights(row.settings), row.id) for row in rows)
        trunks = {needs.shared(each, self.texts): each for each in self.trunks.values()}
        seconds = [needs.trunk_seconds(each, self.texts) for each in trunks.values()]
        seconds += [of_job for (rule, _), of_job in work.items() if rule != "trunk"]
        floats = sum(needs.hidden_states(each, self.texts) for each in trunks.values())
        return Total(
            seconds=sum(seconds) + len(work) * needs.JOB_SECONDS,
            memory_mb=memory_mb,
            largest=largest,
            hidden_states_bytes=needs.FLOAT * floats,
            state_bytes=needs.FLOAT * needs.FLOATS_PER_SAVED_WEIGHT * saved,
            state_of=state_of,
            download_bytes=sum(needs.file_bytes(each) for each in self.starts_from if each.hub),
        )


def _checkpoint(model: Model, weights: str) -> list[str]:
    """Random weights need none, but only a GPT-2 is made without its config.json."""
    needed = weights != "random" or not model.dimensions.is_gpt2
    return [paths.CHECKPOINT.format(model=model.slug)] if needed else []


def _tokens(model: Model) -> str:
    return paths.TOKENS.format(tokenizer=model.tokenizer)


def of_study(study: Study) -> Jobs:
    """The jobs of a study."""
    runs, trunks = [], {}
    for row, seed in itertools.product(study.rows, study.seeds):
        name = None
        if trunk := cut.trunk(row.settings, seed):
            name = trunk.name
            trunks[name] = trunk
        runs += [Run(row, seed, fold, name) for fold in study.folds]
    texts, assumed = needs.expected(study)
    return Jobs(
        study=study,
        rows={row.id: row for row in study.rows},
        models={model.slug: model for model in study.models.values()},
        runs={run.path(paths.OF_RUN): run for run in runs},
        trunks=trunks,
        texts=texts,
        assumed=assumed,
    )
