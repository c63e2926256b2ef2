"""Studies that share, and studies that are large: two with one cache of hidden states."""

from pathlib import Path

import tiny
from commands import snakemake

FROZEN = tiny.ROWS[:2]


def entries(folder: Path) -> dict[str, int]:
    """The cache's arrays, and when each was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/states.npy")}


def test_a_study_uses_anothers_hidden_states(tmp_path: Path) -> None:
    first = tiny.config(tmp_path / "first", rows=FROZEN)
    second = tiny.config(tmp_path / "second", rows=FROZEN, cache_dir="../first/results/cache")
    snakemake(first.parent, "--cores", 1, "--configfile", first)
    computed = entries(tmp_path / "first/results/cache")
    assert len(computed) == 3  # one for each split

    snakemake(second.parent, "--cores", 1, "--configfile", second)
    assert entries(tmp_path / "first/results/cache") == computed
    assert not (tmp_path / "second/results/cache").exists()
    kept = "results/runs/baseline/seed-123/predictions.csv"
    assert (tmp_path / "first" / kept).read_bytes() == (tmp_path / "second" / kept).read_bytes()
    for file in (tmp_path / "second/results/rows").iterdir():
        assert "cache" not in file.read_text()
