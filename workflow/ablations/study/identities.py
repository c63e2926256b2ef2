"""Checksums of what a user's own files hold, as reasons for a rerun.

Snakemake compares large files by date alone. `memory` is the file that remembers the checksums of
large ones: a dry run needs them too, and must write nothing else.
"""

from pathlib import Path

from ablations.files import contents_sha256, joint_sha256
from ablations.study import tokenizer_files
from ablations.study.config import Study
from ablations.study.entries import Tokenizer
from ablations.study.folder import CONFIG, weight_files
from ablations.study.models import Folder, Model
from ablations.study.text_folders import text_files


def of_model(model: Model, memory: Path) -> str | None:
    """Of a model in a folder."""
    if model.folder is None:
        return None
    folder = Path(model.folder.path)
    content = contents_sha256([folder / CONFIG, *weight_files(folder)], memory)
    return f"content of its folder: {content}"


def of_texts(study: Study, memory: Path) -> str | None:
    """Of texts in files."""
    if not study.dataset.local:
        return None
    found, names = [], []
    for path in study.dataset.local:
        texts = text_files(path, study.dataset.reading) if path.is_dir() else [path]
        names += [each.as_posix() for each in texts] if path.is_dir() else []
        found += texts
    content = contents_sha256(found, memory)
    # a text that moves to another folder has another label
    return f"content of dataset: files: {joint_sha256([content, *names])}"


def of_tokenizer(source: Tokenizer, memory: Path) -> str | None:
    """Of a tokenizer in a folder; one of the hub is at a fixed revision."""
    if not isinstance(source, Folder):
        return None
    files = tokenizer_files.of(Path(source.path))
    return f"content of tokenizer: {contents_sha256(files, memory)}"
