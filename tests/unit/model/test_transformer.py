"""Models of other families, cut anywhere: against the whole model, each text alone.

Tiny random models, saved by transformers and read back by our loader. What is compared are logits
and the gradients of all that trains, at every cut. The whole model reads each text alone, without
a cut, padding or a mask that the row does not ask for.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from msgspec import structs
from safetensors import safe_open
from torch import Generator, Tensor, nn

from ablations import files
from ablations.errors import UserError
from ablations.model import parts, shape, transformer
from ablations.model.layers import Head, Layers, Reading, draw
from ablations.model.lora import LoraLinear, add_lora, merge_lora
from ablations.study import cut
from tiny_models import (
    BLOCKS,
    FAMILIES,
    GROUPED,
    IDS,
    SMALL,
    WIDTH,
    Family,
    config_of,
    dimensions_of,
    save,
)

CLASSES, TOLERANCE = 3, 1e-5
# Early versions of transformers 5 ask no config whether to mask what comes later.
ASKS = 'getattr(config, "is_causal", True)'
KNOWS_BOTH_WAYS = ASKS in inspect.getsource(transformers.masking_utils.create_causal_mask)
FIRST = cut.embeddings(BLOCKS)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        return save(folder, name, config_of(name), FAMILIES[name].head)

    return made


# --- ways to read three texts


TEXTS = [[7, 8, 9, 10, 11, 12, 13], [7, 8, 9], [20, 21, 22, 23, 24]]
PADDING, LENGTH = 5, 8


@dataclass(frozen=True)
class Way:
    """How a row reads: what of each text, and which output."""

    token: str = "last"
    masked: bool = False  # padding is neither read nor averaged
    causal: bool = True
    averaged: bool = False

    def sequence(self, text: list[int]) -> list[int]:
        """All that the whole model reads."""
        return text if self.masked else text + [PADDING] * (LENGTH - len(text))

    def position(self, text: list[int]) -> int:
        if self.token == "first":
            return 0
        return len(text if self.token == "flexible" else self.sequence(text)) - 1

    def read(self, text: list[int]) -> list[int]:
        """The ids up to the last that the output depends on."""
        whole = self.averaged or not self.causal
        return self.sequence(text)[: None if whole else self.position(text) + 1]

    def batch(self) -> tuple[Tensor, Reading]:
        """The batch that layers read, padded with each text's last id."""
        read = [self.read(text) for text in TEXTS]
        longest = max(map(len, read))
        ids = torch.tensor([[*each, *each[-1:] * (longest - len(each))] for each in read])
        lengths = torch.tensor([len(each) for each in read])
        positions = None if self.averaged else torch.tensor([self.position(t) for t in TEXTS])
        same = bool((lengths == longest).all())
        return ids, Reading(self.causal, None if same else lengths, positions, ids=ids)


DECODED = [
    Way(),
    Way("first"),
    Way("flexible"),
    Way(masked=True),
    Way(averaged=True),
    Way(averaged=True, masked=True),
    Way(causal=False),
    Way(causal=False, masked=True, averaged=True),
]
ENCODED = [
    Way(masked=True, causal=False),
    Way("first", masked=True, causal=False),
    Way(masked=True, causal=False, averaged=True),
]


def ways(name: str) -> list[Way]:
    if FAMILIES[name].encoder:
        return ENCODED
    return DECODED


# --- the whole model


class Whole:
    """A family's own model, uncut, with a head."""

    def __init__(self, folder: Path, name: str, way: Way) -> None:
        config = transformers.AutoConfig.from_pretrained(folder)
        if not way.causal and not FAMILIES[name].encoder:
            config.is_causal, config._attn_implementation = (
                False,
                "eager",
            )  # which knows no other way
        self.model = transformers.AutoModel.from_pretrained(folder, config=config).float().eval()
        self.head = head()
        self.way = way

    def logits(self) -> Tensor:
        found = []
        for text in TEXTS:  # each alone
            ids = torch.tensor([self.way.sequence(text)])
            states = self.model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
            read = states.mean(0) if self.way.averaged else states[self.way.position(text)]
            found.append(self.head.linear(read))
        return torch.stack(found)

    def gradients(self, logits: Tensor) -> dict[str, Tensor]:
        self.model.zero_grad(set_to_none=True)
        loss(logits).backward()
        found = self.model.named_parameters()
        return {name: each.grad for name, each in found if each.grad is not None}


def head() -> Head:
    found = Head(WIDTH, CLASSES)
    draw(found, Generator().manual_seed(3))
    return found


def loss(logits: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, torch.tensor([0, 2, 1]))


# --- the parts


def cut_at(folder: Path, name: str, start: int, causal: bool) -> tuple[Layers, Layers]:
    """The layers before and from `start` on."""
    dimensions = dimensions_of(name)
    tail = parts.part(dimensions, folder, None, start, causal=causal)
    trunk = []
    if start != FIRST:
        trunk = [parts.part(dimensions, folder, None, FIRST, start, causal=causal)]
    return Layers(trunk).requires_grad_(False), Layers([tail, head()])


def trained(tail: Layers) -> dict[str, nn.Parameter]:
    """What trains before the head, by the model's own names."""
    found = tail.trained().items()
    return {name.removeprefix("-2.model."): each for name, each in found if name[:2] == "-2"}


def gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


def expected_names(name: str, start: int, all_names: set[str]) -> set[str]:
    """The last blocks' parameters and those of what comes after, or all."""
    if start == FIRST:
        return all_names
    numbers = [str(number) for number in range(start - FIRST - 1, BLOCKS)]
    in_blocks = {own for own in all_names if any(f".{n}." in f".{own}" for n in numbers)}
    after = FAMILIES[name].after
    return in_blocks | {own for own in all_names if after and own.startswith(f"{after}.")}


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_cut_computes_what_the_whole_model_does(name, causal, folder_of):
    folder, all_ways = folder_of(name), [way for way in ways(name) if way.causal == causal]
    expected = {}
    for way in all_ways:
        whole = Whole(folder, name, way)
        logits = whole.logits()
        expected[way] = logits, whole.gradients(logits)
        names = {own for own, _ in whole.model.named_parameters() if "pooler" not in own}
    if not causal and all_ways and not FAMILIES[name].encoder and not KNOWS_BOTH_WAYS:
        with pytest.raises(UserError, match="causal_mask: false does not work with"):
            cut_at(folder, name, FIRST, causal)
        return
    for start in range(FIRST, cut.NORM) if all_ways else ():
        trunk, tail = cut_at(folder, name, start, causal)
        assert trained(tail).keys() == expected_names(name, start, names)
        for way in all_ways:
            ids, reading = way.batch()
            tail[0].averaged = way.averaged
            found = tail(trunk(ids, reading), reading)
            logits, gradients = expected[way]
            close(found, logits)
            tail.zero_grad()
            loss(found).backward()
            for own, each in trained(tail).items():
                close(gradient(each), gradients.get(own, torch.zeros_like(each)))


@pytest.mark.parametrize("name", FAMILIES)
def test_lora_updates_every_linear_layer_of_the_blocks(name, folder_of):
    """Its output and gradients are those of the whole model with the sums as its weights."""
    folder, way = folder_of(name), ways(name)[0]
    trunk, tail = cut_at(folder, name, cut.LAST_BLOCK - 1, way.causal)
    add_lora(tail, 2, 1.5, Generator().manual_seed(5))
    with torch.no_grad():
        for module in tail.modules():
            if isinstance(module, LoraLinear):
                nn.init.normal_(module.b, std=0.1)
    whole, (ids, reading) = Whole(folder, name, way), way.batch()
    found = {own: each for own, each in tail[0].model.named_modules() if type(each) is LoraLinear}
    linear = [own for own, each in whole.model.named_modules() if isinstance(each, nn.Linear)]
    last = [own for own in linear if any(f".{n}." in f".{own}" for n in (BLOCKS - 2, BLOCKS - 1))]
    assert list(found) == last
    with torch.no_grad():
        for own, each in [*found.items(), ("head", tail[1].linear)]:
            theirs = whole.head.linear if own == "head" else whole.model.get_submodule(own)
            theirs.weight += 1.5 * (each.a @ each.b).T
    logits = whole.logits()
    gradients, mine = whole.gradients(logits), tail(trunk(ids, reading), reading)
    close(mine, logits)
    loss(mine).backward()
    for own, each in found.items():
        weight = gradients.get(f"{own}.weight", torch.zeros(each.out_features, each.in_features))
        close(gradient(each.a), 1.5 * weight.T @ each.b.T)
        close(gradient(each.b), 1.5 * each.a.T @ weight.T)
        assert not each.weight.requires_grad
    trains = tail.trained().keys()
    assert all(own.endswith((".a", ".b")) or own.startswith("-1.") for own in trains)
    merge_lora(tail)
    close(tail(trunk(ids, reading), reading), logits)
    assert not any(isinstance(module, LoraLinear) for module in tail.modules())


# --- what is read of a checkpoint


@pytest.mark.parametrize("name", FAMILIES)
def test_a_part_holds_its_own_blocks_and_no_table(name, folder_of):
    folder, dimensions = folder_of(name), dimensions_of(name)
    whole = parts.part(dimensions, folder, None, FIRST)
    tail = parts.part(dimensions, folder, None, cut.LAST_BLOCK)
    trunk = parts.part(dimensions, folder, None, FIRST, cut.LAST_BLOCK)
    (table,) = [each for each in whole.parameters() if each.shape == (IDS, WIDTH)]
    sizes = [sum(each.numel() for each in part.parameters()) for part in (whole, tail, trunk)]
    block = [sum(each.numel() for each in block.parameters()) for block in whole.blocks]
    assert sizes[1] == sizes[0] - sum(block[:-1]) - table.numel() + WIDTH  # one row of the table
    assert sizes[2] == sizes[0] - block[-1]
    assert not any(each.is_meta for part in (whole, tail, trunk) for each in part.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_of_any_precision_and_in_several_files_are_read_as_float32(dtype, tmp_path):
    name = "llama"
    save(tmp_path, name, config_of(name), dtype=dtype, max_shard_size="9KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    found = parts.part(dimensions_of(name), tmp_path, None, FIRST)
    theirs = transformers.AutoModel.from_pretrained(tmp_path, dtype=torch.float32)
    expected = dict(theirs.named_parameters())
    rounded = expected["norm.weight"].detach().to(dtype).float()
    assert torch.equal(rounded, expected["norm.weight"])
    for own, each in found.model.named_parameters():
        assert each.dtype == torch.float32 and torch.equal(each, expected[own])


def test_old_names_and_wrappers_of_tensors_are_known():
    settings = transformers.AutoConfig.for_model("bert", **SMALL)
    model = transformer.skeleton(settings)
    keys = {
        "module.bert.embeddings.LayerNorm.gamma": "embeddings.LayerNorm.weight",
        "bert.embeddings.LayerNorm.beta": "embeddings.LayerNorm.bias",
        "encoder.layer.0.output.dense.weight": "encoder.layer.0.output.dense.weight",
        "cls.predictions.bias": None,
        "bert.pooler.dense.weight": None,
    }
    expected = {own: key for key, own in keys.items() if own}
    assert transformer.stored_names(model, keys) == expected
    assert all(each.is_meta for each in model.parameters())
    assert not model.embeddings.position_ids.is_meta


def test_random_weights_are_transformers_own_after_the_seed(folder_of):
    dimensions, folder = dimensions_of("opt"), folder_of("opt")
    before = torch.get_rng_state()
    whole = parts.part(dimensions, folder, 7, FIRST)
    tail = parts.part(dimensions, folder, 7, cut.LAST_BLOCK)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    config = transformers.AutoConfig.from_pretrained(folder)
    expected = dict(transformers.AutoModel.from_config(config).named_parameters())
    for own, each in whole.model.named_parameters():
        assert torch.equal(each, expected[own])
    for own, each in tail.named_parameters():
        if "embed_tokens" not in own:
            assert torch.equal(each, expected[own.removeprefix("model.")])


# --- what is asked of a family


@pytest.mark.parametrize("name", FAMILIES)
def test_an_encoder_is_known_by_how_it_reads(name, folder_of):
    found = shape.of_folder(folder_of(name), name)
    assert (found.encoder, found.n_layer) == (FAMILIES[name].encoder, BLOCKS)


def other(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **options: Any) -> Path:
    """A folder of a family that is not among the tested."""
    monkeypatch.setitem(FAMILIES, name, Family({}))
    return save(folder, name, transformers.AutoConfig.for_model(name, **options), head=False)


@pytest.mark.skipif(not KNOWS_BOTH_WAYS, reason="transformers is old")
def test_a_decoder_that_reads_both_ways_is_an_encoder(tmp_path, monkeypatch):
    """So batches change nothing; declared as causal it is refused, at any cut."""
    folder = other(tmp_path, monkeypatch, "llama", **GROUPED, is_causal=False)
    dimensions = dimensions_of("llama")
    for start in (FIRST, cut.LAST_BLOCK):
        with pytest.raises(UserError, match="llama: its tokens read later ones; expected encoder:"):
            parts.part(dimensions, folder, None, start)
    assert shape.of_folder(folder, "x").encoder
    dimensions = structs.replace(dimensions, encoder=True)
    trunk = parts.part(dimensions, folder, None, FIRST, cut.LAST_BLOCK)
    tail = parts.part(dimensions, folder, None, cut.LAST_BLOCK)
    ids, reading = Way(masked=True, causal=False).batch()
    whole = transformers.AutoModel.from_pretrained(folder)
    alone = [whole(torch.tensor([text])).last_hidden_state[0, -1] for text in TEXTS]
    close(tail(trunk(ids, reading), reading), torch.stack(alone))


def test_a_model_that_reads_masked_padding_is_refused(tmp_path, monkeypatch):
    """By its blocks, as a convolution does, or by its embeddings, as one of the next token does."""
    reason = "its tokens read padding that is masked, so a text's prediction would depend on"
    small = SMALL | {"embedding_size": WIDTH, "initializer_range": 0.2}
    for name in ("convbert", "mobilebert"):
        more = {"intra_bottleneck_size": WIDTH} if name == "mobilebert" else {}
        folder = other(tmp_path / name, monkeypatch, name, **small | more)
        with pytest.raises(UserError, match=f"^{name}: {reason}"):
            shape.of_folder(folder, name)
        dimensions = structs.replace(dimensions_of(name), encoder=True)
        with pytest.raises(UserError, match=f"^{name}: {reason}"):
            parts.part(dimensions, folder, None, FIRST, cut.LAST_BLOCK)


def test_a_model_that_a_short_text_changes_is_refused(tmp_path, monkeypatch):
    long = SMALL | {"max_position_embeddings": 1024, "block_size": 16}
    folder = other(tmp_path, monkeypatch, "big_bird", **long)
    reason = "big_bird: a short text changes attention_type from block_sparse to original_full"
    with pytest.raises(UserError, match=reason):
        shape.of_folder(folder, "x")
    dimensions = structs.replace(dimensions_of("big_bird"), encoder=True)
    with pytest.raises(UserError, match=reason):
        parts.part(dimensions, folder, None, FIRST)
    folder = other(
        tmp_path / "full", monkeypatch, "big_bird", **long, attention_type="original_full"
    )
    assert shape.of_folder(folder, "x").encoder


def test_a_buffer_of_integers_is_the_class_s_own(tmp_path, monkeypatch):
    folder = other(tmp_path, monkeypatch, "mra", **SMALL)
    with safe_open(folder / "model.safetensors", "pt") as stored:
        assert stored.get_slice("embeddings.position_ids").get_dtype() == "I64"
    found = parts.part(structs.replace(dimensions_of("mra"), encoder=True), folder, None, FIRST)
    assert found.model.embeddings.position_ids.dtype == torch.int64


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        ("opt", {"word_embed_proj_dim": 12, "do_layer_norm_before": False}, "a width of 12"),
        ("dpr", {}, "no last_hidden_state"),
    ],
)
def test_a_model_without_an_output_for_the_head_is_refused(
    tmp_path, monkeypatch, name, options, found
):
    folder = other(tmp_path, monkeypatch, name, **SMALL | {"ffn_dim": 24} | options)
    reason = f"^{name}: its output has {found}, expected a last_hidden_state of width 16"
    with pytest.raises(UserError, match=reason):
        shape.of_folder(folder, "x")
    with pytest.raises(UserError, match=reason):
        parts.part(dimensions_of(name), folder, None, FIRST)


def test_lora_is_refused_where_blocks_have_no_linear_layer(tmp_path, monkeypatch):
    options = {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": 2, "vocab_size": IDS}
    folder = other(tmp_path, monkeypatch, "openai-gpt", **options, n_positions=32)
    layers = Layers([parts.part(dimensions_of("openai-gpt"), folder, None, FIRST), head()])
    with pytest.raises(UserError, match=r"lora does not work with openai-gpt: .* no nn\.Linear"):
        add_lora(layers, 2, 1.0, Generator())


@pytest.mark.parametrize("name, has", [("albert", "none"), ("t5", "several")])
def test_a_model_without_one_list_of_blocks_is_refused(name, has):
    options = {"hidden_size": 8, "embedding_size": 8, "num_attention_heads": 2} | {
        **{"intermediate_size": 8, "num_hidden_layers": 5},
        **{"num_layers": 5, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2},
    }
    settings = transformers.AutoConfig.for_model(name, vocab_size=9, **options)
    with pytest.raises(UserError, match=f"^{name}: .* list of 5 blocks, and this one has {has}"):
        transformer.blocks(transformer.skeleton(settings))


def test_a_family_that_is_always_causal_is_refused_without_a_mask(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "mamba", Family({}))
    options = {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "state_size": 4}
    settings = transformers.AutoConfig.for_model("mamba", vocab_size=IDS, **options)
    dimensions = dimensions_of("mamba")
    save(tmp_path, "mamba", settings, head=False)
    parts.part(dimensions, tmp_path, None, cut.LAST_BLOCK)
    with pytest.raises(UserError, match="causal_mask: false does not work with mamba"):
        parts.part(dimensions, tmp_path, None, cut.LAST_BLOCK, causal=False)


@pytest.mark.skipif("gemma4_text" not in transformers.CONFIG_MAPPING, reason="transformers is old")
def test_blocks_that_read_more_than_states_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "gemma4_text", Family({}))
    options = GROUPED | {"vocab_size_per_layer_input": IDS, "hidden_size_per_layer_input": 4}
    settings = transformers.AutoConfig.for_model("gemma4_text", **options)
    save(tmp_path, "gemma4_text", settings, head=False)
    with pytest.raises(UserError, match=r"gemma4_text cannot be cut before block 1: .* embeddings"):
        parts.part(dimensions_of("gemma4_text"), tmp_path, None, cut.LAST_BLOCK - 1)


def test_an_unknown_type_is_refused(tmp_path):
    files.write_json(tmp_path / "config.json", {"model_type": "gpt99"})
    with pytest.raises(UserError, match=r"config.json: transformers \S+ cannot read it: .*gpt99"):
        transformer.config(tmp_path)
