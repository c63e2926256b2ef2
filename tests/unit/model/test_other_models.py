"""Checkpoints of models that are no GPT-2: described, and fetched as the printed lines say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from msgspec import structs
from safetensors.torch import load_file, save_file

import families
from ablations import files
from ablations.errors import UserError
from ablations.model import checkpoint, describe, fetch, shape
from ablations.study import config
from ablations.study.dimensions import Dimensions
from ablations.study.models import Model
from hub_server import REVISION
from synthetic_runs import configuration

transformers = pytest.importorskip("transformers")
REPO = "someone/tiny"
DECODER, ENCODER = "llama", "roberta"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A family's folder, saved once for each way of saving."""
    made: dict[tuple[Any, ...], Path] = {}

    def get(kind: str, **options: Any) -> Path:
        key = (kind, *options.items())
        if key not in made:
            made[key] = tmp_path_factory.mktemp(kind)
            families.save(made[key], kind, **options)
        return made[key]

    return get


def lines(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """What describe prints, read."""
    describe.main(describe.parser().parse_args(list(map(str, arguments))))
    return yaml.safe_load(capsys.readouterr().out)


def stated(printed: dict[str, Any]) -> Model:
    """The model of a study that has these lines."""
    made = configuration(comparisons=[]) | printed
    (name,) = printed["models"]
    made["rows"] = [made["rows"][0] | {"model": name, "context_length": 16}]
    return config.parse(made).models[name]


def take(model: Model, folder: Path) -> checkpoint.Manifest:
    """Fetches it by the program, into a folder."""
    files.write_json(folder.with_suffix(".json"), model)
    options = ["--model", str(folder.with_suffix(".json")), "--output", f"{folder}/manifest.json"]
    fetch.main(fetch.parser().parse_args(options))
    return checkpoint.read_manifest(folder)


@pytest.mark.parametrize("kind", families.OPTIONS)
def test_the_lines_of_a_folder_work_as_they_are_printed(saved, tmp_path, capsys, kind):
    folder = saved(kind)
    printed = lines(capsys, folder)
    assert printed.keys() == {"models"}
    manifest = take(stated(printed), tmp_path / "taken")
    model = families.save(tmp_path / "again", kind)
    blocks = next(
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == families.BLOCKS
    )
    assert manifest.dimensions == Dimensions(
        type=kind,
        encoder=kind in families.ENCODERS,
        n_layer=3,
        n_head=2,
        n_embd=16,
        n_positions=256,  # RoBERTa's table has two more, for padding
        vocab_size=64,
        block_weights=max(sum(each.numel() for each in block.parameters()) for block in blocks),
    )
    assert (tmp_path / "taken/model.safetensors").samefile(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("kind", "options"),
    [(DECODER, {}), (ENCODER, {"dtype": torch.bfloat16}), ("bert", {"max_shard_size": "8KB"})],
    ids=["one file", "bfloat16", "several files"],
)
def test_the_lines_of_a_repository_work_as_they_are_printed(
    saved, server, tmp_path, capsys, kind, options
):
    folder = saved(kind, **options)
    server.add_repo(REPO, REVISION, {path.name: path.read_bytes() for path in folder.iterdir()})
    server.add_branch(REPO, "main", REVISION)
    printed = lines(capsys, REPO)
    entry = printed["models"]["tiny"]
    weights = sorted(folder.glob("*.safetensors"))
    assert entry["revision"] == REVISION and ("sha256" in entry) == (len(weights) == 1)
    assert (entry["type"], entry.get("encoder", False)) == (kind, kind != DECODER)
    size = sum(path.stat().st_size for path in weights)
    assert entry["bytes"] == pytest.approx(size, rel=0.2)
    assert not server.asked_for(".safetensors")  # by GET
    manifest = take(stated(printed), tmp_path / "taken")
    assert (manifest.bytes, manifest.dimensions.n_positions) == (size, 256)


def refused(folder: Path, output: Path, **changes: Any) -> str:
    """The message about a folder that is not as an entry with these changes says."""
    expected = shape.of_folder(folder, "mine")
    with pytest.raises(UserError) as raised:
        fetch.take_folder(folder, structs.replace(expected, **changes), output / "manifest.json")
    assert not output.exists()
    return str(raised.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "mistral"}, 'model_type is "llama", expected "mistral"'),
        (
            {"encoder": True},
            "its tokens do not read later ones, and the model's entry says encoder: true; expected"
            " encoder: false",
        ),
        ({"n_layer": 4, "vocab_size": 65}, "n_layer is 3, expected 4; vocab_size is 64, expected"),
        ({"block_weights": 7}, "block_weights is "),
        (
            {"n_positions": 257},
            "n_positions is 256, fewer than the 257 that are stated; allowed: at",
        ),
    ],
)
def test_an_entry_that_is_not_the_model_s_is_refused(saved, tmp_path, changes, reason):
    folder = saved(DECODER)
    assert f"{folder}/config.json: {reason}" in refused(folder, tmp_path / "taken", **changes)


def test_fewer_positions_may_be_stated_and_no_block_s_size(saved, tmp_path):
    folder = saved(DECODER)
    found = shape.of_folder(folder, "mine")
    fewer = structs.replace(found, n_positions=8, block_weights=None)
    fetch.take_folder(folder, fewer, tmp_path / "taken/manifest.json")
    assert checkpoint.read_manifest(tmp_path / "taken").dimensions == fewer


def changed(source: Path, folder: Path, change: Any) -> Path:
    """A copy whose tensors are changed."""
    folder.mkdir()
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    return folder


FIRST = "model.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda found: found.pop(FIRST),
            "tensor layers.0.self_attn.q_proj.weight is missing, expected shape [16, 16]",
        ),
        (
            lambda found: found.update({FIRST: torch.ones(2, 3)}),
            f"tensor {FIRST} has shape [2, 3], expected [16, 16]",
        ),
        (
            lambda found: found.update({FIRST: torch.ones(16, 16, dtype=torch.int8)}),
            f"tensor {FIRST} holds I8, expected one of F64",
        ),
        (
            lambda found: found[FIRST].fill_(torch.nan),
            f"tensor {FIRST} holds numbers that are not finite",
        ),
        (
            lambda found: found.update({FIRST.replace("0", "3"): torch.ones(2)}),
            "tensor model.layers.3.self_attn.q_proj.weight is one too many for 3 layers",
        ),
    ],
    ids=["missing", "shape", "integers", "not finite", "a block too many"],
)
def test_weights_that_are_not_the_model_s_are_refused(saved, tmp_path, change, reason):
    folder = changed(saved(DECODER), tmp_path / "mine", change)
    message = refused(folder, tmp_path / "taken")
    assert message.startswith(f"{folder}/model.safetensors: {reason}")


def test_a_tensor_that_is_there_twice_is_refused(saved, tmp_path):
    twice = {"norm.weight": torch.ones(16)}
    folder = changed(saved(DECODER), tmp_path / "mine", lambda found: found.update(twice))
    message = refused(folder, tmp_path / "taken")
    assert re.match(
        "llama: its weights hold (model.)?norm.weight and (model.)?norm.weight", message
    )
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    save_file(twice, folder / "b.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "norm.weight": "b.safetensors"}}
    files.write_json(folder / "model.safetensors.index.json", index)
    message = refused(folder, tmp_path / "taken")
    assert "a.safetensors and b.safetensors both hold tensor norm.weight" in message


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ({"model_type": None}, "model_type is missing, and n_embd"),
        ({"model_type": 5}, "model_type is 5, expected a text"),
        ({"text_config": {"hidden_size": 8}}, "it holds a text model in text_config, which is not"),
        ({"hidden_act": "swigloo"}, "transformers cannot make this llama: KeyError: 'swigloo'"),
        (
            {"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": None},
            r"transformers [\d.]+ cannot read it: .*: ValueError: The hidden size .16. is not a",
        ),
    ],
)
def test_a_config_that_is_no_model_s_is_refused(saved, tmp_path, capsys, held, reason):
    folder = changed(saved(DECODER), tmp_path / "mine", lambda found: None)
    stated = json.loads((folder / "config.json").read_text())
    files.write_json(folder / "config.json", stated | held)
    with pytest.raises(UserError, match=f"{folder}/config.json: {reason}"):
        lines(capsys, folder)


def test_tensors_that_transformers_renames_are_refused(tmp_path):
    pytest.importorskip("transformers.conversion_mapping")
    config = transformers.AutoConfig.for_model(
        "mixtral", **families.GROUPED, vocab_size=64, num_local_experts=2
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "mine")
    reason = "mine: transformers gives a mixtral's tensors other names as it reads them"
    assert reason in refused(tmp_path / "mine", tmp_path / "taken")


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        ("mamba", "num_attention_heads"),
        ("canine", "vocab_size"),
        ("perceiver", "this one has none"),
    ],
)
def test_a_type_without_a_shape_is_refused(tmp_path, kind, lacks):
    transformers.AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=f"^{kind}: .*{lacks}.*; it cannot be a row"):
        shape.of_folder(tmp_path, "mine")


def test_positions_may_have_another_name(tmp_path):
    options = {"d_model": 16, "n_layers": 3, "n_heads": 2, "vocab_size": 64, "max_seq_len": 32}
    transformers.AutoConfig.for_model("mpt", **options).save_pretrained(tmp_path)
    assert shape.of_folder(tmp_path, "mine").n_positions == 32


def test_a_folder_that_is_not_there_is_named(tmp_path, server, capsys):
    for name in (tmp_path / "none", "no/such"):
        with pytest.raises(UserError, match=f"^{name} is no folder here, and as a repository: "):
            lines(capsys, name)


def test_a_model_that_cannot_be_a_row_says_why(tmp_path, server, capsys):
    """Unknown to transformers, with code of its own, without a list of blocks, in a pickle."""

    def said(held: dict[str, Any], **more: bytes) -> str:
        server.add_repo(REPO, REVISION, {"config.json": json.dumps(held).encode(), **more})
        with pytest.raises(UserError) as raised:
            lines(capsys, REPO, "--revision", REVISION)
        # the next is another file of the same name
        for path in tmp_path.glob("hf/hub/**/*"):
            path.unlink() if not path.is_dir() else None
        return str(raised.value)

    message = said({"model_type": "no_such_model"})
    assert re.match(rf"{REPO}/config.json: transformers [\d.]+ cannot read it", message)
    message = said({"model_type": "llama", "auto_map": {"AutoModel": "modeling_x.X"}})
    assert "auto_map names code that comes with the model, which is never run" in message
    small = families.SMALL | {"vocab_size": 64}
    message = said({"model_type": "albert", "embedding_size": 8, **small})
    assert "it cannot be a row" in message
    message = said({"model_type": "bert", **small}, **{"pytorch_model.bin": b"\x80\x02"})
    assert "has no model.safetensors" in message and "is a pickle, which is never loaded" in message
