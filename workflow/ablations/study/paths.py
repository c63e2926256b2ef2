"""Where a study keeps what: the only place that spells its layout.

The paths have Snakemake's wildcards and are relative to the study's folder. Snakemake's rules take
them as they are; `at` gives a program the file of a study. Logs and benchmarks that no program
reads are spelt in their rules alone.
"""

import re
from collections.abc import Mapping
from pathlib import Path

RESULTS = "results"
LOGS = "logs"
BENCHMARKS = "benchmarks"
OF_RUN = "{row}/{run}"  # the part that tells a run's files from another run's; see `run`

# what is asked
OUTLINE = f"{RESULTS}/study.json"
ROW = f"{RESULTS}/rows/{{row}}.json"
STATED = f"{RESULTS}/{{stated}}.json"  # states one value, of which the name says what it is
STATED_LOG = f"{LOGS}/stated/{{stated}}.log"  # keeps what was written there
CHECKED = f"{RESULTS}/rows.checked.json"
CODE = f"{RESULTS}/code/{{program}}-{{sha256}}.json"

# the texts
COLLECTION = f"{RESULTS}/data/collection.json"
TEXTS = f"{RESULTS}/data/texts.csv"
CLASSES = f"{RESULTS}/data/classes.json"
NOTES = f"{RESULTS}/data/notes.json"
TOKENS = f"{RESULTS}/data/tokens/{{tokenizer}}.safetensors"
TOKENIZER = f"{RESULTS}/tokenizers/{{tokenizer}}/manifest.json"

# models and trunks
MODEL = f"{RESULTS}/checkpoints/{{model}}.json"
CHECKPOINT = f"{RESULTS}/checkpoints/{{model}}/manifest.json"
TRUNK_SETTINGS = f"{RESULTS}/trunks/{{trunk}}.settings.json"
TRUNK = f"{RESULTS}/trunks/{{trunk}}.json"
CACHE = f"{RESULTS}/cache"  # unless the config names another folder

# runs
RUN = f"{RESULTS}/runs/{OF_RUN}/{{file}}"
METRICS = f"{RESULTS}/runs/{OF_RUN}/metrics.json"
PREDICTIONS = f"{RESULTS}/runs/{OF_RUN}/predictions.csv"
HISTORY = f"{RESULTS}/runs/{OF_RUN}/history.csv"
TRAINED = f"{RESULTS}/runs/{OF_RUN}/trained.safetensors"
STATE = f"{RESULTS}/state/{OF_RUN}.safetensors"
RUN_LOG = f"{LOGS}/train/{OF_RUN}.log"
KEPT = f"{RESULTS}/models/{OF_RUN}/{{file}}"

# references
REFERENCES = f"{RESULTS}/references/{{reference}}"
REFERENCE = f"{REFERENCES}/{{file}}"

# what is answered
ANSWER = f"{RESULTS}/{{file}}"

# Snakemake's own folder
SNAKEMAKES = ".snakemake"
RECORDS = ".snakemake/ablations/{file}"
LOCKS = ".snakemake/locks"  # files of it exist while Snakemake runs in the folder


def slug(name: str) -> str:
    """A name as a file name: letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")


def is_of_cache(name: str) -> bool:
    """Whether a cache, which may be a folder of the user's, has a file or folder of this name.

    >>> list(map(is_of_cache, ("0123456789abcdef0123", "0123456789abcdef0123.lock", "mine")))
    [True, True, False]
    """
    return bool(re.fullmatch(r"[0-9a-f]{20}(\.lock|\.partial)?", name))


def run(seed: int, fold: int | None) -> str:
    """The part of a run's paths that tells it from the other runs of its row.

    >>> run(123, None), run(123, 2)
    ('seed-123', 'fold-2/seed-123')
    """
    return in_fold(f"seed-{seed}", fold)


def in_fold(name: str, fold: int | None) -> str:
    """A file or folder in the fold's own folder, where there are several folds.

    >>> in_fold("metrics.json", None), in_fold("metrics.json", 2)
    ('metrics.json', 'fold-2/metrics.json')
    """
    return name if fold is None else f"fold-{fold}/{name}"


def at(results: Path, pattern: str, **wildcards: object) -> Path:
    """A file of the study that keeps its results in the folder `results`.

    >>> at(Path("demo/results"), METRICS, row="baseline", run=run(1, None)).as_posix()
    'demo/results/runs/baseline/seed-1/metrics.json'
    >>> at(Path("demo/results"), RUN_LOG, row="baseline", run="seed-1").as_posix()
    'demo/logs/train/baseline/seed-1.log'
    """
    top, _, rest = pattern.format(**wildcards).partition("/")
    return (results if top == RESULTS else results.parent / top) / rest


def beside(path: str, pattern: str, wanted: str, wildcards: Mapping[str, str]) -> str:
    """Another file of the study in which `path` is what the pattern names, also below a prefix.

    >>> beside("a/prefix/results/trunks/some.json", TRUNK, CACHE, {"trunk": "some"})
    'a/prefix/results/cache'
    """
    study = Path(path).parents[pattern.format_map(wildcards).count("/")]
    return (study / wanted.format_map(wildcards)).as_posix()


def stated(path: str) -> str:
    """The wildcard of a file that states a value.

    >>> stated("results/rows/baseline.json")
    'rows/baseline'
    """
    before, after = STATED.split("{stated}")
    return path.removeprefix(before).removesuffix(after)


def read(path: str, pattern: str) -> dict[str, str]:
    """The wildcards of a path, as far as it follows the pattern.

    >>> read("results/runs/baseline", METRICS)
    {'row': 'baseline'}
    """
    wildcards: dict[str, str] = {}
    for part, expected in zip(path.split("/"), pattern.split("/"), strict=False):
        named = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(expected))
        found = re.fullmatch(named, part)
        if not found:
            break
        wildcards |= found.groupdict()
    return wildcards
