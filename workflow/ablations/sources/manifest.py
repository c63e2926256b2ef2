"""A small file that lists the files with the texts: collection.json.

Those may be large, and anywhere in the working directory. Snakemake compares their names and
checksums instead. Written by sources.collection or data.generate.
"""

from pathlib import Path

from msgspec import Struct

from ablations import files
from ablations.study.dataset import Format


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its name in messages, its path, and which split it holds, or `all`."""

    name: str
    path: str
    sha256: str
    format: Format
    split: str


def read(path: Path) -> tuple[File, ...]:
    """The files in order; raises UserError where the manifest is missing or something else."""
    return files.read_json(path, tuple[File, ...])


def sha256(path: Path) -> str:
    """One checksum of all files; raises UserError as `read` does."""
    return files.joint_sha256([file.sha256 for file in read(path)])
