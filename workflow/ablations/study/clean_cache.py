"""Deletes the hidden states of a study; a folder that other studies may use stays.

python -m ablations.study.clean_cache --directory mine
"""

import argparse
import shutil

from ablations import cli
from ablations.study import command, extends, paths


def main(arguments: argparse.Namespace) -> None:
    """Empties the study's own cache; says where another one is."""
    elsewhere = extends.read_study(arguments.directory).cache_dir
    own = paths.at(arguments.directory / paths.RESULTS, paths.CACHE)
    for entry in own.iterdir() if own.is_dir() else ():
        if not paths.is_of_cache(entry.name):
            print(f"{entry} holds no hidden states; it stays")
        elif entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if elsewhere != paths.CACHE:
        print(
            f"cache_dir: {elsewhere}\n"
            f"This folder, relative to {arguments.directory}, is not deleted: other studies may use"
            " its hidden states.\nDelete it yourself if none does, or run make clean-cache for the"
            " study that it is in."
        )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    command.add_directory(parser)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
