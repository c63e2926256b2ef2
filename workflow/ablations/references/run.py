"""Trains one reference on each fold, and writes for each what it reaches and what it answers.

    python -m ablations.references.run --reference words --texts results/data/texts.csv …

All folds are one job, since its start takes longer than a fold.
"""

import argparse
import platform
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from ablations import cli
from ablations.data import collection
from ablations.data.collection import Collection, Cut
from ablations.errors import UserError
from ablations.files import read_json, write_json
from ablations.references import classifier
from ablations.references.metrics import Metrics
from ablations.sources import manifest
from ablations.study import paths
from ablations.study.dataset import column
from ablations.study.references import REFERENCES, Reference
from ablations.training import predictions
from ablations.training.metrics import Accuracy
from ablations.training.predictions import Predictions


def train(
    reference: Reference, read: Collection, cut: Cut, classes: Sequence[str]
) -> tuple[dict[str, Predictions], float]:
    """What a reference answers to each split's texts, and its training seconds.

    Raises UserError where the training texts lack a class.
    """
    lines = collection.lines(cut)
    labels = read.labels[lines["train"]]
    for label, name in enumerate(classes):
        if label not in labels:
            raise UserError(f"no training text is of the class {name!r}; expected some of each")
    texts = {split: [read.texts[line] for line in found] for split, found in lines.items()}
    begin = perf_counter()
    answer = classifier.train(reference, texts["train"], labels)
    seconds = perf_counter() - begin
    answers = {
        split: Predictions.of(found, read.labels[found], answer(texts[split]))
        for split, found in lines.items()
    }
    return answers, seconds


def main(arguments: argparse.Namespace) -> None:
    """Trains the reference on every fold; a fold's metrics.json is its last file."""
    reference = REFERENCES[arguments.reference]
    read = collection.read(arguments.texts)
    classes = read_json(arguments.classes, tuple[str, ...])
    dataset = manifest.sha256(arguments.collection)
    for name, cut in read.cuts.items():
        fold = None if name == column(None) else int(name.removeprefix("fold-"))
        try:
            answers, seconds = train(reference, read, cut, classes)
        except UserError as error:
            raise UserError(f"{arguments.texts}: {name}: {error}") from None
        right = {split: found.predicted == found.labels for split, found in answers.items()}
        accuracy = Accuracy(**{split: int(r.sum()) / len(r) for split, r in right.items()})
        cli.log.info(
            "%s: trained in %.1f s: train accuracy %.2f%%, validation accuracy %.2f%%, test"
            " accuracy %.2f%%",
            *(name, seconds, 100 * accuracy.train, 100 * accuracy.validation, 100 * accuracy.test),
        )
        folder = arguments.output_dir / paths.in_fold("", fold)
        predictions.write(folder / "predictions.csv", answers)
        metrics = Metrics(
            reference=arguments.reference,
            fold=fold,
            classes=classes,
            accuracy=accuracy,
            training_time_seconds=seconds,
            dataset_sha256=dataset,
            versions={"scikit-learn": classifier.VERSION, "python": platform.python_version()},
        )
        write_json(folder / "metrics.json", metrics)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--reference", choices=REFERENCES, required=True)
    parser.add_argument("--texts", type=Path, required=True, help="…/texts.csv")
    parser.add_argument("--classes", type=Path, required=True, help="…/classes.json")
    parser.add_argument(
        "--collection", type=Path, required=True, help="…/collection.json; its checksum is kept"
    )
    parser.add_argument("--output-dir", type=Path, required=True, help="of this reference")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
