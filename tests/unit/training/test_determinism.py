"""The same bytes again: from another run, and wherever the hidden states came from."""

import shutil
from pathlib import Path

import pytest

import programs
import runs
from commands import environment


@pytest.fixture
def study(tmp_path: Path) -> Path:
    runs.tokens_file(tmp_path)
    return tmp_path


@pytest.mark.parametrize("threads", [1, 2])
def test_two_runs_give_the_same_bytes(study: Path, threads: int) -> None:
    runs.row(study, layers="all")
    found = []
    for _ in range(2):
        arguments = runs.arguments(study, threads=threads)
        done = programs.run("ablations.training.run", *arguments, environment=environment())
        assert done.returncode == 0, done.stderr
        found.append(runs.results(study / "run"))
    assert found[0] == found[1]


@pytest.mark.parametrize(("layers", "token"), [("last_block", "last"), ("last_layer", "first")])
def test_it_makes_no_difference_where_the_hidden_states_come_from(
    study: Path, token: str, layers: str
) -> None:
    """Computed, read, computed again, not kept at all, or going on from a shallower trunk's."""

    def trained(layers: str, cache_gb: float = 1) -> dict[str, object]:
        runs.row(study, layers=layers, token=token, batch_size=2, learning_rate=0.1)
        return runs.train(study, cache_gb=cache_gb)

    def entries() -> list[Path]:
        return [path for path in study.glob("cache/*") if path.is_dir()]

    computed = trained(layers)
    assert trained(layers) == computed and len(entries()) == 1
    shutil.rmtree(study / "cache")
    assert trained(layers) == computed and len(entries()) == 1
    shutil.rmtree(study / "cache")
    assert trained(layers, cache_gb=0) == computed and not entries()
    shallower = trained("last_two_blocks")
    assert trained(layers) == computed and len(entries()) == 2
    assert trained("last_two_blocks") == shallower
