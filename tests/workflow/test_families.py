"""A study of two families from folders: table, answers, page, kept models and predictions."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import families
import runs
import tiny
from ablations import predict
from commands import ROOT, snakemake, table

pytest.importorskip("transformers")
KINDS = ("llama", "bert")
TEXTS = ["WINNER!! Call now to claim your prize", "are you coming home tonight", "ok see you then"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study of two rows."""
    folder = tmp_path_factory.mktemp("families")
    models: dict[str, Any] = {}
    for kind in KINDS:
        size = families.save_tokenizer(folder / kind, kind, TEXTS)
        families.save(folder / kind, kind, vocab_size=size)
        models[kind] = {"path": kind, "encoder": kind == "bert"}
    rows = [tiny.ROWS[0] | {"model": "llama", "save_model": True}]
    rows += [{"id": "encoder", "model": "bert", "save_model": True}]
    asked = {"question": "Is the encoder better?", "baseline": "baseline", "variant": "encoder"}
    path = tiny.config(
        folder,
        title="Two families",
        models=models,
        rows=rows,
        references=["counts"],
        comparisons=[{"id": "encoder", **asked}],
    )
    snakemake(folder, "--configfile", path, "--cores", 2)
    return folder


@pytest.mark.slow
def test_the_study_of_families_runs_on_tiny_stand_ins_of_each(tmp_path: Path) -> None:
    said: dict[str, Any] = yaml.safe_load((ROOT / "studies/families/config.yaml").read_text())
    models: dict[str, Any] = {"gpt2-small (124M)": tiny.MODEL}
    for number, (name, entry) in enumerate(said["models"].items()):
        if entry is not None:  # of the study that it extends
            folder = tmp_path / str(number)
            size = families.save_tokenizer(folder, entry["type"], TEXTS)
            families.save(folder, entry["type"], vocab_size=size)
            models[name] = {"path": str(number), "encoder": entry.get("encoder", False)}
            # RoBERTa's table of positions has two that no token gets
            models[name]["n_positions"] = families.POSITIONS
    keys = ("title", "rows", "references", "comparisons")
    path = tiny.config(tmp_path, models=models, **{key: said[key] for key in keys})
    snakemake(tmp_path, "--configfile", path, "--cores", 2, timeout=1800)
    lines = [line["id"] for line in table(tmp_path / "results/table.csv")]
    assert lines == [*(row["id"] for row in said["rows"]), *said["references"]]
    answered = [line["id"] for line in table(tmp_path / "results/comparisons.csv")]
    assert answered == [asked["id"] for asked in said["comparisons"]]
    assert "confounded" not in (tmp_path / "results/interpretation.md").read_text()


def test_the_answers_name_the_families_and_one_change_of_model(study: Path) -> None:
    results = study / "results"
    lines = {line["id"]: line for line in table(results / "table.csv")}
    assert list(lines) == ["baseline", "encoder", "counts"]
    said = (results / "table.md").read_text()
    others = "Other models than GPT-2: llama from a folder (llama), bert from a folder (bert, which"
    assert others in said
    assert "GPT-2's tokenizer" not in said
    answers = (results / "interpretation.md").read_text()
    assert "Is the encoder better?" in answers and "confounded" not in answers
    assert "<h1>Two families</h1>" in (results / "index.html").read_text()


@pytest.mark.parametrize("row", ["baseline", "encoder"])
def test_a_kept_model_gives_the_row_s_predictions_and_so_do_its_card_s_lines(
    study: Path, row: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study / f"results/models/{row}/seed-123"
    lines = table(study / f"results/runs/{row}/seed-123/predictions.csv")
    expected = torch.tensor(
        [
            [float(line["logit_0"]), float(line["logit_1"])]
            for line in lines
            if line["split"] == "test"
        ]
    )
    written = table(study / "results/data/texts.csv")
    texts = [line["Text"] for line in written if line["split"] == "test"]
    torch.testing.assert_close(runs.predicted(folder, texts), expected, atol=1e-5, rtol=0)

    assert "GPT-2" not in (folder / "README.md").read_text()
    found = runs.by_the_card(folder, texts)
    torch.testing.assert_close(found, expected.softmax(-1), atol=1e-5, rtol=0)

    capsys.readouterr()
    predict.main(predict.parser().parse_args([str(folder), "call now"]))
    assert len(capsys.readouterr().out.splitlines()) == 2
