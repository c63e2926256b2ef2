"""What must hold between two keys of config.yaml: a line for each mistake."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from ablations.study import grid, paths
from ablations.study.dataset import PUBLISHED_MESSAGES, Generated, Texts
from ablations.study.dimensions import Dimensions
from ablations.study.entries import Config, Question, RowEntry, options
from ablations.study.folder import CONFIG
from ablations.study.grid import Grid
from ablations.study.messages import unknown
from ablations.study.models import Hub, Model, ModelFolder
from ablations.study.references import REFERENCES
from ablations.study.settings import Choices, NamedLayers, Settings, defaults, names

# More would be too long for the command line that writes results/study.json, and slow in Snakemake.
MOST_ROWS = 1000


def cache(config: Config) -> Iterator[str]:
    """A cache that is emptied must not be another study's."""
    if config.cache_gb == 0 and config.cache_dir != paths.CACHE:
        yield (
            f"cache_gb: 0 empties the cache after each run, and cache_dir: {config.cache_dir} may"
            " be another study's; allowed: more than 0, or no cache_dir"
        )


def model_names(names: Iterable[str]) -> Iterator[str]:
    """Each model has files of its own name."""
    slugs: dict[str, str] = {}
    for name in names:
        own = paths.slug(name)
        if not own:
            yield f"models: {name!r} has no letter or digit, which the names of its files need"
        elif own.lower() in slugs:  # some file systems do not tell A from a
            yield (
                f"models: {slugs[own.lower()]!r} and {name!r} would share the files named {own};"
                " give one another name"
            )
        slugs[own.lower()] = name


def tokenizer_names(models: Iterable[Model]) -> Iterator[str]:
    """Another model's tokenizer, which is its own, is called as the model is."""
    for model in models:
        if not model.dimensions.is_gpt2 and model.slug.lower() in ("gpt2", "bytes", "own"):
            yield (
                f"models: {model.name!r} is of type {model.dimensions.type}, and its tokenizer"
                " would have the name of another one; give it another name"
            )


def hub(entry: Hub) -> Iterator[str]:
    """A GPT-2's entry says nothing that only others need, and another's says all."""
    if entry.type == "gpt2":
        yield from _only_others(entry)
        return
    needed = ("n_positions", "vocab_size")
    if lacking := [key for key in needed if getattr(entry, key) is None]:
        yield (
            f"missing key {' and '.join(lacking)}, which a model of type {entry.type} needs;"
            f" python -m ablations.model.describe {entry.repo} prints its lines"
        )


def folder(entry: ModelFolder, found: Dimensions) -> Iterator[str]:
    """What a folder's entry says beside its path, where `found` is what config.json says."""
    if found.is_gpt2:
        yield from _only_others(entry)
        if entry.n_positions:
            yield "n_positions: is not allowed of a GPT-2, whose config.json says it"
    elif entry.n_positions and entry.n_positions > found.n_positions:
        yield (
            f"n_positions: {entry.n_positions} is out of range; allowed: at most"
            f" {found.n_positions}, as its {CONFIG} says"
        )


def _only_others(entry: Hub | ModelFolder) -> Iterator[str]:
    for key in ("encoder", "block_weights"):
        if value := getattr(entry, key):
            yield (
                f"{key}: {str(value).lower()} is not allowed of a GPT-2; allowed: with a model of"
                " another type"
            )


# --- rows


def row_entries(entries: Sequence[RowEntry], models: Collection[str]) -> Iterator[str]:
    """Ids differ, one row is the baseline and whole, models are there, grids can be made."""
    yield from _twice("rows", (row.id for row in entries))
    yield from _baseline(entries)
    for row in entries:
        own, listed = options(row).get("model"), options(row.grid).get("model", ())
        for where, model in [("model", own), *(("grid: model", each) for each in listed)]:
            if model is not None and model not in models:
                yield f"rows: {row.id}: {where}: {unknown(model, models)}"
    yield from _grids(entries)


def _baseline(entries: Sequence[RowEntry]) -> Iterator[str]:
    found = [row for row in entries if row.id == "baseline"]
    if not found:
        ids = ", ".join(row.id for row in entries)
        yield f"rows: no row has the id baseline, which is required; found: {ids}"
    required = [name for name in names(Choices) if name not in defaults()]
    for name in required:
        if found and name not in options(found[0]):
            yield (
                f"rows: baseline: {name} is missing; the baseline names every one of"
                f" {', '.join(required)}"
            )


def _grids(entries: Sequence[RowEntry]) -> Iterator[str]:
    wrong = [message for row in entries for message in _grid(row)]
    made = [each for row in entries if (each := grid.of(row))]
    number = len(entries) + sum(len(each) - 1 for each in made)
    if not wrong and number > MOST_ROWS:
        sizes = "".join(f"; the grid {each.id} makes {len(each):,}" for each in made)
        wrong = [f"rows: {number:,} rows are too many{sizes}; allowed: at most {MOST_ROWS:,}"]
    yield from wrong or _grid_ids(entries, made)


def _grid(row: RowEntry) -> Iterator[str]:
    where = f"rows: {row.id}: "
    if row.grid is None:
        if row.choose:
            yield f"{where}choose: needs a grid, and this row has none; allowed: with a grid"
        return
    lists, own = options(row.grid), options(row)
    if not lists:
        yield f"{where}grid: {{}} is empty; at least 1 is needed"
    if row.id == "baseline":
        yield (
            f"{where}grid: is not allowed: the baseline is one row, from which others take what"
            " they leave out; allowed: a grid in another row"
        )
    if row.published:
        yield (
            f"{where}published: is not allowed with a grid, which is several rows; allowed: in a"
            " row without a grid"
        )
    for key in [key for key in lists if key in own]:
        yield (
            f"{where}{key}: is set both in the row, {own[key]!r}, and in its grid; allowed: one of"
            " the two"
        )


def _grid_ids(entries: Sequence[RowEntry], made: Sequence[Grid]) -> Iterator[str]:
    """Ids of grids' rows that another row has too."""
    owners = {row.id: "another row" for row in entries}
    for each in made:
        for id, values in each.combinations():
            if id in owners:
                yield (
                    f"rows: {each.id}: grid: {grid.in_words(values)} gives a row the id {id}, which"
                    f" {owners[id]} has already; allowed: a different id for each row"
                )
            owners[id] = f"another row of {each.id}"


def rows(
    found: Sequence[Settings], made: Sequence[Grid], texts: Texts | Generated
) -> Iterator[str]:
    """Each row can be trained; for a grid the first wrong one, and how many are wrong."""
    of_grid = {row: each for each in made for row in each.rows}
    results = {row.row: tuple(row.result().items()) for row in found}
    wrong: dict[str, dict[str, str]] = {each.id: {} for each in made}
    for row in found:
        for error in (*together(row), *_batch(row, texts)):
            if row.row in of_grid:
                wrong[of_grid[row.row].id].setdefault(row.row, error)
            else:
                yield f"rows: {row.row}: {error}"
    for each in made:
        if errors := wrong[each.id]:
            id, error = next(iter(errors.items()))
            more = f" ({len(errors)} of the {len(each)} combinations)" if len(errors) > 1 else ""
            combination = grid.in_words(each.rows[id])
            yield f"rows: {each.id}: grid: {combination}: {error}{more}"
        yield from _equal_rows(each, results)


def together(row: Settings) -> Iterator[str]:
    """What is wrong with settings that are right one by one: with this model, with one another."""
    positions, length = row.dimensions.n_positions, row.context_length
    blocks = row.dimensions.n_layer
    if row.trainable_layers == "last_two_blocks" and blocks < 2:
        others = [layers for layers in get_args(NamedLayers) if layers != "last_two_blocks"]
        yield (
            f"trainable_layers: last_two_blocks needs a model with two blocks, and {row.model} has"
            f" one; allowed: {', '.join(others)}"
        )
    for key in ("trainable_layers", "lora_blocks"):
        if isinstance(number := getattr(row, key), int) and number > blocks:
            most = f"allowed: at most {blocks}, the blocks of {row.model}"
            yield f"{key}: {number} is out of range; {most}"
    if row.train_size and row.train_size < row.training.batch_size:
        yield (
            f"train_size: {row.train_size} does not fill a batch; allowed: at least batch_size,"
            f" {row.training.batch_size}, since an epoch leaves out a batch that is not full"
        )
    if isinstance(length, int) and length > positions:
        yield (
            f"context_length: {length} is out of range; allowed: at most {positions}, the"
            f" positions of {row.model}"
        )
    if length == "variable" and row.training.batch_size != 1:
        yield (
            "context_length: variable has no padding to make a batch of, and batch_size is"
            f" {row.training.batch_size}; allowed: batch_size 1 (accumulation_steps adds up"
            " several)"
        )
    if row.average_embeddings and row.trainable_token == "flexible":
        yield (
            "average_embeddings: True reads every position, and trainable_token: flexible"
            " names one; allowed: one of the two"
        )


def _batch(row: Settings, texts: Texts | Generated) -> Iterator[str]:
    """A batch or a size beyond the training set, where that is known before texts are read."""
    if isinstance(texts, Generated):
        count = texts.generated.messages  # fewer, once balanced
    elif texts.published and texts.balance:
        count = PUBLISHED_MESSAGES
    else:
        return
    share = (texts.split and texts.split.training) or 1
    most = int(share * count) + (1 if texts.split and texts.split.folds else 0)
    for key, found in (("batch_size", row.training.batch_size), ("train_size", row.train_size)):
        if found and found > most:
            yield (
                f"{key}: {found} is out of range; allowed: at most the training texts, which are no"
                f" more than {most} ({share:g} of {count})"
            )


def _equal_rows(each: Grid, results: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    """Combinations that differ only in settings without effect, such as the rank without LoRA."""
    first: dict[tuple[Any, ...], dict[str, Any]] = {}
    for id, values in each.combinations():
        other = first.setdefault(results[id], values)
        if other != values:
            idle = [key for key in values if values[key] != other[key]]
            yield (
                f"rows: {each.id}: grid: {grid.in_words(other)} and {grid.in_words(values)} are the"
                f" same row: {' and '.join(idle)} makes no difference there; allowed:"
                " combinations that differ"
            )
            return


# --- references and questions


def references(named: Collection[str], entries: Iterable[RowEntry]) -> Iterator[str]:
    """No row has a reference's name, since a question may name either."""
    for row in entries:
        if row.id in named:
            yield (
                f"rows: {row.id}: is the name of a reference; allowed: another id, or references"
                f" without {row.id}"
            )


def questions(
    asked: Sequence[Question],
    entries: Sequence[RowEntry],
    made: Sequence[Grid],
    references: Collection[str],
) -> Iterator[str]:
    """Questions name two rows, or a row and a grid or a reference, and have different ids."""
    wrong = list(_twice("comparisons", (question.id for question in asked)))
    known = [*(row.id for row in entries), *references]
    of_grid = {row: each for each in made for row in each.rows}
    for question in asked:
        found = [*_sides(question, known, of_grid), *_pair(question, made, references)]
        wrong += [f"comparisons: {question.id}: {each}" for each in found]
    yield from wrong or _asked(asked, made)


def _sides(
    question: Question, known: Collection[str], of_grid: Mapping[str, Grid]
) -> Iterator[str]:
    """What is wrong with what a question names as its baseline and as its variant."""
    for side, row in (("baseline", question.baseline), ("variant", question.variant)):
        if row in of_grid and of_grid[row].choose:
            yield (
                f"{side}: {row} belongs to the grid {of_grid[row].id}, whose chosen row alone is in"
                f" the table; allowed: {of_grid[row].id}"
            )
        elif row not in of_grid and row not in known:
            hint = f", or list {row} in references" if row in REFERENCES else ""
            yield f"{side}: names no row: {unknown(row, known)}{hint}"


def _pair(question: Question, made: Sequence[Grid], references: Collection[str]) -> Iterator[str]:
    """What is wrong with the two together."""
    several = {each.id for each in made if not each.choose}
    both = f"baseline {question.baseline} and variant {question.variant} are both"
    counting = [each for each in (question.baseline, question.variant) if each in references]
    if question.baseline == question.variant:
        yield f"baseline and variant are both {question.variant}; name two rows"
    elif {question.baseline, question.variant} <= several:
        yield f"{both} grids; allowed: one grid, or grids with choose"
    elif len(counting) == 2:
        yield f"{both} references; allowed: one reference and one row"
    if counting and question.claim:
        yield (
            f"claim: {question.claim!r} about the reference {counting[0]}, of which nothing was"
            " published; allowed: a claim about two rows"
        )


def _asked(asked: Iterable[Question], made: Sequence[Grid]) -> Iterator[str]:
    """What is wrong once questions about grids are questions about rows: none, or one id twice."""
    owners: dict[str, str] = {}
    for question in asked:
        named = [each for each in made if each.id in (question.baseline, question.variant)]
        ids = [each.id for each in grid.ask([question], named, {})]
        if not ids:
            yield (
                f"comparisons: {question.id}: baseline {question.baseline} and variant"
                f" {question.variant} are one row, the only one of the grid; name two rows"
            )
        if taken := [id for id in ids if id in owners]:
            yield (
                f"comparisons: {question.id}: asks a question with the id {taken[0]}, and so does"
                f" {owners[taken[0]]} (about a grid, it asks one for each row); allowed: a"
                " different id for each question"
            )
        owners |= dict.fromkeys(ids, question.id)


def _twice(where: str, ids: Iterable[str]) -> Iterator[str]:
    for id, times in sorted(Counter(ids).items()):
        if times > 1:
            yield f"{where}: {id}: the id appears {times} times; allowed: once"
