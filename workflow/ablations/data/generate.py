"""A stand-in for the SMS Spam Collection: messages from a small grammar, in its file format.

For demonstrations and tests without network. Everything is made up; nothing is taken from the
collection. The classes overlap (friends who write about money, prizes and links; spam that sounds
like a friend), so a classifier makes mistakes. Results on these messages say nothing about GPT-2 or
about real spam.
"""

import argparse
import re
import tomllib
from pathlib import Path
from random import Random

from ablations import cli
from ablations.files import from_json, sha256, write_json, write_text
from ablations.sources.manifest import File
from ablations.study.dataset import ALL, Generated

REPEATED_SHARE = 0.03  # of messages that repeat an earlier one, as in the real collection
BYTES = range(20, 111)  # of a message in UTF-8: the longest decides what a model costs

GRAMMAR = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
CHOICES: dict[str, list[str]] = {
    name: lines.splitlines() for name, lines in GRAMMAR["lines"].items()
}
ABBREVIATIONS: dict[str, str] = GRAMMAR["abbreviations"]
USUAL, OTHER = GRAMMAR["shares"]  # the two classes
TYPO_SHARE = 0.01  # of letters


def expand(name: str, random: Random) -> str:
    """One text that the grammar gives for this name."""
    line = random.choice(CHOICES[name])
    text = re.sub(r"\{(\w+)\}", lambda slot: expand(slot[1], random), line)
    return re.sub("#", lambda _: random.choice("123456789"), text)


def typed(text: str, random: Random) -> str:
    """The text as a thumb would type it: abbreviations, typos, missing capitals and spaces."""
    if random.random() < 0.4:
        share = random.random()
        text = re.sub(
            r"\b[A-Za-z]+\b",
            lambda word: (
                ABBREVIATIONS.get(word[0].lower(), word[0]) if random.random() < share else word[0]
            ),
            text,
        )
    style = random.random()
    if style < 0.3:
        text = text.lower()
    elif style < 0.4:
        text = text.upper()
    elif style < 0.8:
        text = text[0].upper() + text[1:]
    if random.random() < 0.15:
        text = re.sub(r"([.,!?]) ", r"\1", text)
    if random.random() < 0.15:
        text = re.sub(r"[.!?]", lambda mark: mark[0] * random.choice((1, 2, 3)), text)
    # a letter is left out or doubled
    return re.sub(
        "[a-z]",
        lambda letter: letter[0] * (random.choice((0, 2)) if random.random() < TYPO_SHARE else 1),
        text,
    )


def message(label: str, random: Random) -> str:
    """One message of this class, of a length within BYTES."""
    while True:
        text = typed(expand(label, random), random)
        if len(text.encode()) in BYTES:
            return text


def generate(messages: int, seed: int) -> list[tuple[str, str]]:
    """This number of pairs of class and text; equal for equal seeds."""
    random = Random(seed)
    written: list[tuple[str, str]] = []
    for _ in range(messages):
        if written and random.random() < REPEATED_SHARE:
            written.append(random.choice(written))
        else:
            label = OTHER if random.random() < GRAMMAR["shares"][OTHER] else USUAL
            written.append((label, message(label, random)))
    return written


def main(arguments: argparse.Namespace) -> None:
    """Writes the messages, as the SMS Spam Collection has them, and collection.json."""
    grammar = from_json(arguments.dataset, Generated, "--dataset").generated
    pairs = generate(grammar.messages, grammar.seed)
    path = arguments.output.with_suffix(".tsv")
    write_text(path, "".join(f"{label}\t{text}\n" for label, text in pairs))
    file = File("generated messages", path.as_posix(), sha256(path), "tsv", ALL)
    write_json(arguments.output, [file])
    cli.log.info("%s: %s generated messages", path, len(pairs))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset", required=True, help="how many, and the seed, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="…/collection.json")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
