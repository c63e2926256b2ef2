import csv
import json
import shutil
import zipfile

import msgspec
import numpy as np
import pandas as pd
import pytest

import synthetic_runs
from ablations import files
from ablations.answers import formats, statistics, write
from ablations.answers.scores import Measured, Part
from ablations.answers.written import numbers, table
from ablations.answers.written.notes import notes
from ablations.data import collection
from ablations.errors import UserError
from ablations.study import config, settings
from ablations.study.dataset import SPLITS
from commands import shared
from synthetic_runs import configuration, disagreeing, eight_rows, load, program, two_rows
from texts import replace_texts


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    eight_rows(folder, seen=range(0, 72, 2))
    return folder


def cells(markdown, table="Every column"):
    """The lines of a table as dictionaries, of the first one or of that under a heading."""
    below = markdown.partition(f"## {table}\n")[2] if table else markdown
    lines = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(split[0], line, strict=True)) for line in split[2:]]


def written(folder):
    return table.markdown(load(folder))


def written_rows(folder):
    return [settings.read(path) for path in sorted(folder.glob("rows/*.json"))]


def write_runs(folder, answers):
    """Writes the runs of two_rows again, after a change of the texts."""
    for row in written_rows(folder):
        synthetic_runs.write_run(folder, row, 100, answers)


# --- the published columns and format


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([23.4], "0.39 min"),
        ([6.0], "0.10 min"),
        ([5.99], "6.0 s"),
        ([4.21], "4.2 s"),
        ([0.034], "0.03 s"),
        ([300.0], "5.00 min"),
        ([60.0, 120.0], "1.50 ± 0.71 min"),
        ([1.0, 2.0, 3.0], "2.0 ± 1.0 s"),
    ],
)
def test_times(seconds, expected):
    found = Measured.of(*seconds)
    assert formats.times([found])(found) == expected


def test_small_formats():
    assert formats.percents(Measured.of(0.95)) == "95.00%"
    assert formats.percents(Measured.of(0.94, 0.96)) == "95.00 ± 1.41%"
    assert [formats.points(x) for x in (0.0167, -0.0133, 0.0, -1e-9)] == [
        *("+1.67", "−1.33", "0.00", "0.00")
    ]
    assert [formats.p_value(p) for p in (1e-9, 0.0312, 0.51, 1.0)] == [
        *("p < 0.0001", "p = 0.0312", "p = 0.51", "p = 1.00")
    ]
    assert [formats.names(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_a_training_setting_in_which_rows_differ_gets_a_column(tmp_path):
    two_rows(tmp_path, *disagreeing(100, 1, 0), changed={"epochs": 10, "learning_rate": 1e-4})
    lines = cells(written(tmp_path))
    assert [line["epochs"] for line in lines] == ["5", "10"]
    assert [line["learning_rate"] for line in lines] == ["5e-05", "0.0001"]
    assert "batch_size" not in lines[0]


# --- the notes below the table


def answers(folder, *right, **keys):
    two_rows(folder, *(right or disagreeing(20, 1, 0)), **keys)
    return load(folder)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"threads": 2, "device": "a CPU", "precision": "float32"},
            "Device: a CPU, float32, 2 threads.",
        ),
        (
            {"per_row": {"variant": {"device": "a GPU"}}},
            "Runs differ in device, precision or threads; times compare only where device and"
            " threads are the same: NVIDIA H200, tf32, 1 thread (baseline); a GPU, tf32, 1 thread"
            " (variant).",
        ),
        (
            {"per_row": {"variant": {"precision": "bfloat16"}}},
            "Runs differ in device, precision or threads: NVIDIA H200, tf32, 1 thread (baseline);"
            " NVIDIA H200, bfloat16, 1 thread (variant).",
        ),
        (
            {"per_row": {"variant": {"shared_device": True}}},
            "Other jobs ran on the device while variant trained, so its time is an upper bound.",
        ),
        (
            {"shared_device": True},
            "Other jobs ran on the device while all rows trained, so their times are upper bounds.",
        ),
        ({}, "incomplete last batch: it is over 1,040 of the 1,045 texts."),
        ({"changed": {"batch_size": 1}}, "it is over 1,040 to 1,045 of the 1,045 texts."),
        ({"changed": {"trainable_layers": "all"}}, "reused by every epoch (baseline)."),
        ({}, "reused by every epoch (all rows)."),
        ({}, "No test text is in the training set verbatim."),
        ({"seen": range(20)}, "verbatim; no test text is left without them."),
    ],
)
def test_what_is_said_of_devices_times_and_texts(tmp_path, keys, said):
    assert any(said in note for note in notes(answers(tmp_path, **keys)))


def test_rows_that_a_guess_would_match_are_named(tmp_path):
    for gained, which in ((0, "variant"), (45, "all rows")):
        read = answers(tmp_path, *disagreeing(100, 45, gained))
        said = f"right on 50.00%. Not clearly above that: {which}."
        assert any(note.endswith(said) for note in notes(read))


def test_copies_of_training_texts_are_found_and_left_out(tmp_path):
    read = answers(tmp_path, *disagreeing(100, 10, 0), seen=[1, 3, 5, 6])
    assert np.flatnonzero(read.texts.in_train).tolist() == [1, 3, 5, 6]
    # four of the ten texts that the variant misses were seen in training
    assert read.rows[1].unseen == read.rows[1].distinct == Part(96, Measured.of(0.9375))
    assert "Test acc on the 96 unseen" in table.full(read).headings
    copies = [synthetic_runs.text(1), synthetic_runs.text(2), synthetic_runs.text(4)]
    replace_texts(tmp_path / "data/texts.csv", "validation", [0, 1, 0], copies)
    write_runs(tmp_path, np.ones(100, bool))
    texts = load(tmp_path).texts
    assert np.flatnonzero(texts.in_validation).tolist() == [1, 2, 4]
    assert texts.validation_in_train == 1
    read = answers(tmp_path, *disagreeing(20, 2, 0), seen=range(20))
    assert (
        read.rows[0].unseen == Part(0, None)
        and results_csv(tmp_path)[0]["unseen_test_accuracy"] == ""
    )
    assert not any("unseen" in heading for heading in table.full(read).headings)


def test_the_real_collection(tmp_path):
    archive = shared("data/sms+spam+collection.zip")
    with zipfile.ZipFile(archive) as packed, packed.open("SMSSpamCollection") as member:
        everything = pd.read_csv(member, sep="\t", header=None, names=["Label", "Text"])
    spam = everything[everything["Label"] == "spam"]
    ham = everything[everything["Label"] == "ham"].sample(len(spam), random_state=123)
    frame = pd.concat([ham, spam]).sample(frac=1, random_state=123).reset_index(drop=True)
    frame = frame.sample(frac=1, random_state=123).reset_index(drop=True)
    frame["Label"] = frame["Label"].map({"ham": 0, "spam": 1})
    two_rows(tmp_path, *disagreeing(300, 1, 0))
    cut = ["train"] * 1045 + ["validation"] * 149 + ["test"] * 300
    path = tmp_path / "data/texts.csv"
    collection.write(path, frame["Label"].tolist(), frame["Text"].tolist(), {"split": cut})
    write_runs(tmp_path, np.ones(300, bool))
    texts = load(tmp_path).texts
    spam = texts.labels == 1
    assert (texts.in_train.sum(), (texts.in_train & spam).sum()) == (36, 29)
    assert (texts.near_train.sum(), (texts.near_train & spam).sum()) == (78, 71)
    assert (texts.in_validation & ~texts.in_train).sum() == 3
    assert texts.majority == ("spam", pytest.approx(0.53))


def test_a_text_that_looks_like_a_missing_value_is_a_text(tmp_path):
    two_rows(tmp_path, *disagreeing(2, 1, 0))
    replace_texts(tmp_path / "data/texts.csv", "test", [0, 1], ["NA", "1.0"])
    assert load(tmp_path).texts.in_train.tolist() == [True, False]


def test_an_interval_of_several_seeds_may_be_narrower_than_wilsons(tmp_path):
    """Seeds that err on different texts average out."""
    right = np.ones((2, 4, 100), bool)
    for seed in range(4):
        right[:, seed, 20 * seed : 20 * seed + 20] = False
    found, alone = answers(tmp_path, *right).rows[0].accuracy["test"], statistics.wilson(0.8, 100)
    assert found.high - found.low < alone[1] - alone[0]


@pytest.mark.parametrize(
    ("different", "why"),
    [
        ({"device": "a CPU"}, "another device"),
        ({"threads": 2}, "another number of threads"),
        ({"shared_device": True}, "device shared with other jobs"),
    ],
)
def test_a_time_compares_on_the_usual_machine_alone(tmp_path, different, why):
    eight_rows(tmp_path, messages=20, per_row={"medium": different})
    read = load(tmp_path)
    assert {row.id: row.incomparable for row in read.rows if row.incomparable} == {"medium": why}
    assert (read.machine.device, read.machine.threads) == ("NVIDIA H200", 1)


# --- table.csv


def results_csv(folder):
    return list(csv.DictReader(numbers.rows(load(folder)).splitlines()))


def test_numbers_to_compute_with(published):
    line = results_csv(published)[7]
    assert (line["row"], line["id"], line["context_tokens"]) == ("8", "full-context", "1024")
    assert float(line["test_accuracy"]) == pytest.approx(0.7833, abs=1e-4)
    assert float(line["test_accuracy_low"]) < 0.7833 < float(line["test_accuracy_high"])
    assert line["test_accuracy_sd"] == ""
    assert (line["training_time_seconds"], line["device"]) == ("23.4", "NVIDIA H200")
    assert (line["published_test_accuracy"], line["published_device"]) == ("0.7833", "V100")
    assert line["learning_rate"] == "5e-05" and line["shared_device"] == "false"


def test_the_training_interval_counts_whole_batches(published):
    first = load(published).rows[0]
    texts = [first.accuracy[split].texts for split in SPLITS]
    assert texts == [(1040,), (149,), (300,)]
    for split, (number,) in zip(SPLITS, texts, strict=True):
        low, high = statistics.wilson(first.accuracy[split].mean, number)
        assert (first.accuracy[split].low, first.accuracy[split].high) == (low, high)


def test_rows_without_published_numbers_leave_them_empty(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    line = results_csv(tmp_path)[0]
    assert all(line[key] == "" for key in line if key.startswith("published_"))


def test_an_option_that_no_row_sets_has_no_column(published, tmp_path):
    options = settings.defaults().keys() - {"micro_batch"}
    assert options and not options & results_csv(published)[0].keys()
    two_rows(tmp_path, *disagreeing(20, 1, 0), changed={"causal_mask": False, "lora_rank": 8})
    first, second = results_csv(tmp_path)
    assert options & first.keys() == {"causal_mask"}
    assert (first["causal_mask"], second["causal_mask"]) == ("True", "False")
    two_rows(tmp_path, *disagreeing(20, 1, 0), changed={"trainable_layers": "lora", "lora_rank": 4})
    first, second = results_csv(tmp_path)
    assert options & first.keys() == {"lora_rank"}
    assert (first["lora_rank"], second["lora_rank"]) == ("8", "4")


# --- errors.csv


def errors_csv(folder):
    return list(csv.DictReader(numbers.errors(load(folder)).splitlines()))


def test_errors_name_what_each_row_predicted(tmp_path):
    two_rows(tmp_path, *disagreeing(100, 2, 1), seen=[1])
    first, second, third = errors_csv(tmp_path)
    assert first == {
        "index": "1194",  # of texts.csv: 1,045 training and 149 validation texts stand before it
        "fold": "",
        "text": synthetic_runs.text(0),
        "label": "ham",
        "in_training": "false",
        "near_training": "false",
        "rows_wrong": "1",
        "predicted_baseline": "ham",
        "predicted_variant": "spam",
    }
    assert (second["label"], second["in_training"], second["predicted_variant"]) == (
        *("spam", "true", "ham"),
    )
    assert (third["predicted_baseline"], third["predicted_variant"]) == ("spam", "ham")


def test_errors_with_several_seeds_give_shares_and_the_most_missed_first(tmp_path):
    baseline, variant = disagreeing(100, 1, 0, seeds=4)
    baseline[0, 50] = False
    two_rows(tmp_path, baseline, variant)
    lines = errors_csv(tmp_path)
    assert [(line["index"], line["rows_wrong"]) for line in lines] == [
        ("1194", "1.00"),
        ("1244", "0.25"),
    ]
    assert lines[1]["predicted_baseline"] == "ham 0.75" and lines[1]["predicted_variant"] == "ham"


def test_errors_name_the_class_that_was_predicted(tmp_path):
    right = {id: np.ones((3, 90), bool) for id in ("baseline", "variant")}
    right["variant"][:, 10:30] = False  # "neutral" for "negative", and so on
    right["baseline"][0, 2] = False  # one seed of three says "negative" for "positive"
    variant = {"id": "variant", "trainable_token": "first"}
    classes = {"classes": ("negative", "neutral", "positive")}
    synthetic_runs.study(tmp_path, variant, right=right, seeds=(1, 2, 3), written=classes)
    lines = {int(line["index"]) - 1194: line for line in errors_csv(tmp_path)}
    named = [(lines[i]["label"], lines[i]["predicted_variant"]) for i in (12, 13, 14)]
    assert named == [("negative", "neutral"), ("neutral", "positive"), ("positive", "negative")]
    assert lines[2]["predicted_baseline"] == "positive 0.67"
    assert lines[2]["predicted_variant"] == lines[2]["label"] == "positive"
    assert len(lines) == 21


def test_no_errors_leave_a_heading(tmp_path):
    two_rows(tmp_path, *disagreeing(10, 0, 0))
    assert errors_csv(tmp_path) == []
    assert numbers.errors(load(tmp_path)).startswith("index,fold,text,label,")


# --- programs, and what they refuse


def test_the_program_writes_every_file(published, tmp_path):
    done = program(published, tmp_path / "out", "--png")
    assert done.returncode == 0, done.stderr
    expected = write.files(load(published))
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*.*")
    }
    pictures = {name.replace(".svg", ".png") for name in expected if name.endswith(".svg")}
    assert found.keys() == expected.keys() | pictures
    assert found.items() >= expected.items()
    assert all(found[name].startswith(b"\x89PNG") for name in pictures)
    assert not any(b"<dc:date>" in svg for svg in found.values())


def test_a_mistake_is_one_message_and_leaves_no_file(tmp_path):
    two_rows(tmp_path, *disagreeing(10, 1, 0))
    (tmp_path / "runs/variant/seed-100/predictions.csv").unlink()
    done = program(tmp_path, tmp_path / "out")
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    assert "predictions.csv cannot be read: No such file" in done.stderr
    assert "Traceback" not in done.stderr


PREDICTIONS = "runs/variant/seed-100/predictions.csv"


def edit_metrics(folder, **changes):
    path = folder / "runs/variant/seed-100/metrics.json"
    metrics = json.loads(path.read_text()) | changes
    kept = {key: value for key, value in metrics.items() if changes.get(key, 0) is not None}
    path.write_text(json.dumps(kept))


def edit_predictions(folder, old, new):
    path = folder / PREDICTIONS
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda f: (f / "study.json").unlink(), "study.json cannot be read"),
        (lambda f: (f / "study.json").write_text("{"), "study.json is not what it should be"),
        (
            lambda f: (f / "study.json").write_text("{}"),
            "study.json is not.*required field `title`",
        ),
        (lambda f: (f / "data/texts.csv").unlink(), "texts.csv does not exist"),
        (lambda f: (f / "data/texts.csv").write_text("a,b\n1,2\n"), "texts.csv: 'Label'"),
        (lambda f: edit_metrics(f, row="other"), "is of row other, seed-100; expected row variant"),
        (lambda f: edit_metrics(f, seed=7), "seed-7; expected row variant, seed-100"),
        (lambda f: edit_metrics(f, fold=2), "fold-2/seed-100; expected row variant, seed-100"),
        (lambda f: edit_metrics(f, device=None), "metrics.json is not.*required field `device`"),
        (
            lambda f: edit_metrics(f, accuracy={"train": 1}),
            "metrics.json is not.*required field `validation`",
        ),
        (
            lambda f: edit_metrics(f, accuracy={"train": 46.8, "validation": 1, "test": 0.9}),
            "metrics.json is not.*`float` <= 1.0 - at `.*train`",
        ),
        (
            lambda f: edit_metrics(f, accuracy={"train": 1, "validation": 0.5, "test": 0.9}),
            "accuracy: validation is 0.5, but predictions.csv beside it gives",
        ),
        (
            lambda f: edit_metrics(f, accuracy={"train": 1, "validation": 1, "test": 0.5}),
            "accuracy: test is 0.5, but predictions.csv beside it gives 0.900000",
        ),
        (
            lambda f: edit_predictions(f, "test,1196,", "others,1196,"),
            "has 9 test texts; expected 10",
        ),
        (
            lambda f: edit_predictions(f, "test,1196,", "test,1197,"),
            "indexes of the test texts are not those of texts.csv",
        ),
        (lambda f: edit_predictions(f, "test,1197,1", "test,1197,0"), "labels of the test texts"),
        (lambda f: edit_predictions(f, "predicted", "guess"), "predictions.csv is not what"),
        (lambda f: edit_predictions(f, "test,1197,1,1", "test,1197,1,2"), "allowed: 0 to 1"),
        (lambda f: edit_predictions(f, "test,1197,1,1", "test,1197,1,-1"), "allowed: 0 to 1"),
        (
            lambda f: edit_predictions(f, "test,1197,1,1,0.000000", "test,1197,1,1,inf"),
            "is no finite number",
        ),
        (
            lambda f: edit_predictions(f, "test,1197,1,1", "test,1197,1,0"),
            "predicted label is not that of the largest logit",
        ),
        (
            lambda f: (f / PREDICTIONS).write_text((f / PREDICTIONS).read_text()[:-3]),
            "predictions.csv is cut: its last line has no end",
        ),
        (
            lambda f: edit_predictions(f, "\ntrain,7,", "\ntrain,8,"),
            "indexes of the train texts are not those",
        ),
        (lambda f: edit_metrics(f, classes=["ham", "eggs"]), r"another dataset \(classes ham, "),
        (lambda f: edit_metrics(f, dataset_sha256="1" * 64), "another dataset .*; sha256 111111"),
        (
            lambda f: replace_texts(f / "data/texts.csv", "validation", [0, 2], ["a", "b"]),
            "texts.csv: a label is no class of classes.json; allowed: 0 to 1",
        ),
        (
            lambda f: (f / "runs/variant/seed-100/metrics.json").unlink(),
            "seed-100/metrics.json does not exist; run the workflow",
        ),
        (lambda f: (f / "rows/variant.json").unlink(), "rows/variant.json cannot be read"),
        (
            lambda f: shutil.copy(f / "rows/baseline.json", f / "rows/variant.json"),
            "rows/variant.json is of row baseline; expected variant",
        ),
        (lambda f: (f / "data/classes.json").unlink(), "classes.json cannot be read"),
    ],
)
def test_files_that_do_not_belong_are_refused(tmp_path, damage, expected):
    two_rows(tmp_path, *disagreeing(10, 1, 0))
    damage(tmp_path)
    with pytest.raises(UserError, match=expected):
        load(tmp_path)


def test_a_run_that_was_changed_by_hand_is_told_with_the_folder_to_delete(tmp_path):
    two_rows(tmp_path, *disagreeing(10, 1, 0))
    edit_metrics(tmp_path, accuracy={"train": 1, "validation": 1, "test": 0.5})
    with pytest.raises(UserError, match=f"delete the folder {tmp_path}/runs/variant/seed-100 and"):
        load(tmp_path)


def test_a_run_of_other_settings_than_the_row_has_now_is_refused(tmp_path):
    two_rows(tmp_path, *disagreeing(10, 1, 0), changed={"epochs": 6})
    path = tmp_path / "rows/variant.json"
    load(tmp_path)
    row = settings.read(path)
    for changes in (
        {"weights": "random"},
        {"context_length": 7},
        {"training": msgspec.structs.replace(row.training, epochs=7)},
        {"training": msgspec.structs.replace(row.training, micro_batch=4)},
    ):
        files.write_json(path, msgspec.structs.replace(row, **changes))
        with pytest.raises(UserError, match=r"is of other settings than rows/variant\.json; run"):
            load(tmp_path)
    files.write_json(path, row)
    assert synthetic_runs.row(load(tmp_path), "variant").settings == row


# --- study.json


def test_study_json_says_what_is_a_standin():
    made = configuration()
    pretrain = {"steps": 1, "batch_size": 1, "learning_rate": 0.1, "seed": 1}
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 1024}
    made["dataset"] = {"generated": {"messages": 100, "seed": 1}, "split": made["dataset"]["split"]}
    made["models"] |= {
        "gpt2-small (124M)": {"pretrain": pretrain, **shape},
        "unused": {"pretrain": pretrain, **shape},
    }
    outline = config.parse(made).outline
    (note,), (model,) = outline.notes, outline.models
    assert "generated, not the SMS Spam Collection" in note
    assert "gpt2-small (124M) was pretrained by this workflow" in model
    published = config.parse(configuration()).outline
    assert published.notes == published.models == ()


def test_study_json_names_models_from_folders(tmp_path):
    made = configuration()
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 1024, "vocab_size": 50257}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    (tmp_path / "model.safetensors").touch()
    made["models"]["gpt2-medium (355M)"] = {"path": str(tmp_path)}
    made["models"]["gpt2-large (774M)"] |= {"repo": "someone/spam"}
    outline = config.parse(made).outline
    assert outline.notes == ()
    assert outline.models == (
        "Your own models: gpt2-medium (355M) from a folder, gpt2-large (774M) from someone/spam;"
        " not GPT-2 as published.",
    )


def test_study_json_names_models_of_other_types_and_which_read_in_both_directions():
    made = configuration()
    shape = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 512, "vocab_size": 30522}
    bert = {"repo": "someone/bert", "revision": "a" * 40, "type": "bert", "encoder": True, **shape}
    made["models"] |= {
        "gpt2-medium (355M)": bert,
        "gpt2-large (774M)": bert
        | {"repo": "someone/pythia", "type": "gpt_neox", "encoder": False},
    }
    assert config.parse(made).outline.models == (
        "Other models than GPT-2: gpt2-medium (355M) from someone/bert (bert, which reads in both"
        " directions), gpt2-large (774M) from someone/pythia (gpt_neox).",
    )


def test_nothing_published_is_beside_a_row_with_another_model():
    made = configuration()
    made["models"]["gpt2-large (774M)"] |= {"repo": "someone/spam"}
    outline = config.parse(made).outline
    assert [line.id for line in outline.rows if line.published is None] == ["large"]
    claims = {asked.variant: asked.claim for asked in outline.questions}
    assert claims["large"] is None and claims["medium"] is not None
    medium = next(row for row in made["rows"] if row["id"] == "medium")
    medium["published"]["test"] = 0.5  # of another row: table and answers are made again
    assert config.parse(made).outline != outline


def test_nothing_published_is_beside_stand_ins():
    outline = config.parse(configuration(tokenizer="bytes")).outline
    assert outline.notes and not outline.models
    assert {line.published for line in outline.rows} == {None}
    assert {asked.claim for asked in outline.questions} == {None}


def test_study_json_and_rows_survive_the_round_trip(published):
    read = load(published)
    parsed = config.parse(configuration())
    assert [row.settings for row in read.rows] == [row.settings for row in parsed.rows]
    assert read.rows[0].published.validation == 0.9933
    assert [found.question.claim for found in read.comparisons][-2:] == [None, "worse"]
