"""The model against transformers' GPT-2, one query against all of them, batches against one."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from safetensors.torch import save_file
from torch import Tensor, nn

import runs
from ablations.files import sha256
from ablations.model import build, checkpoint
from ablations.model import gpt2 as model
from ablations.model.layers import Head, Layers, Reading, draw
from ablations.model.lora import LoraLinear
from ablations.study.dimensions import Dimensions

shapes = st.builds(
    lambda n_layer, n_head, head_width, n_positions, vocab_size: Dimensions(
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_head * head_width,
        n_positions=n_positions,
        vocab_size=vocab_size,
    ),
    n_layer=st.integers(1, 4),
    n_head=st.integers(1, 4),
    head_width=st.integers(2, 12),
    n_positions=st.integers(1, 40),
    vocab_size=st.integers(2, 300),
)


def all_logits(layers: Layers, ids: Tensor) -> Tensor:
    """Language-model logits at every position, from our layers and the tied embedding."""
    x = layers[0](ids, Reading())
    for layer in layers[1:-1]:
        x = model.Block.forward(layer, x, Reading())
    return nn.LayerNorm.forward(layers[-1], x) @ layers[0].token.weight.T


def last_logits(layers: Layers, ids: Tensor) -> Tensor:
    return layers(ids, Reading()) @ layers[0].token.weight.T


def transformers_model(dimensions: Dimensions):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        **structs.asdict(dimensions), resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )
    return transformers.GPT2LMHeadModel(config).eval()


@settings(deadline=None, max_examples=12)
@given(dimensions=shapes, seed=st.integers(0, 99))
def test_logits_equal_transformers_after_reading_its_checkpoint(dimensions, seed, tmp_path_factory):
    torch.manual_seed(seed)
    theirs = transformers_model(dimensions)
    folder = tmp_path_factory.mktemp("checkpoint")
    theirs.save_pretrained(folder)
    checkpoint.write_manifest(folder, sha256(folder / "model.safetensors"), dimensions)
    ids = torch.randint(dimensions.vocab_size, (3, dimensions.n_positions))

    ours = model.layers(dimensions, folder)

    with torch.no_grad():
        expected = theirs(ids).logits
        torch.testing.assert_close(all_logits(ours, ids), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(last_logits(ours, ids), expected[:, -1], atol=1e-4, rtol=1e-4)
        first = all_logits(ours, ids[:, :1])  # attention to itself alone
        torch.testing.assert_close(first, expected[:, :1], atol=1e-4, rtol=1e-4)


@settings(deadline=None, max_examples=6)
@given(dimensions=shapes, seed=st.integers(0, 99))
def test_transformers_reads_our_checkpoint(dimensions, seed, tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    ours = model.layers(dimensions, seed)
    folder = tmp_path_factory.mktemp("checkpoint")
    stated = {"model_type": "gpt2", **structs.asdict(dimensions)}
    (folder / "config.json").write_text(json.dumps(stated))
    tensors = {f"transformer.{k}": v for k, v in model.checkpoint_tensors(ours, dimensions).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    ids = torch.randint(dimensions.vocab_size, (2, dimensions.n_positions))

    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()

    with torch.no_grad():
        expected = theirs(ids).logits
        torch.testing.assert_close(all_logits(ours, ids), expected, atol=1e-3, rtol=1e-4)


def last_block(heads: int) -> model.LastBlock:
    """In double precision; norms' own initial values would hide their scale."""
    block = model.LastBlock(nano(heads)).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return block


def nano(heads: int = 2, n_layer: int = 1) -> Dimensions:
    return Dimensions(
        n_layer=n_layer, n_head=heads, n_embd=6 * heads, n_positions=30, vocab_size=11
    )


def gradients(output: Tensor, weigh: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad((output * weigh).sum(), leaves.values(), allow_unused=True)
    # what the output does not depend on has no gradient in one and a zero one in the other
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


@settings(deadline=None, max_examples=30)
@given(
    tokens=st.integers(1, 30),
    heads=st.integers(1, 4),
    messages=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_one_query_gives_the_values_and_gradients_of_the_whole_block(tokens, heads, messages, seed):
    torch.manual_seed(seed)
    block = last_block(heads)
    x = torch.randn(messages, tokens, 6 * heads, dtype=torch.double, requires_grad=True)
    weigh = torch.randn(messages, 6 * heads, dtype=torch.double)

    leaves = {"input": x, **dict(block.named_parameters())}
    whole = model.Block.forward(block, x, Reading())[:, -1]
    expected = gradients(whole, weigh, leaves)
    for reading in [Reading()] + [Reading(single=True)] * (tokens == 1):
        torch.testing.assert_close(block(x, reading), whole)
        torch.testing.assert_close(gradients(block(x, reading), weigh, leaves), expected)


def test_cut_layers_are_those_of_the_whole_model():
    dimensions = Dimensions(n_layer=3, n_head=2, n_embd=8, n_positions=5, vocab_size=11)
    whole = model.layers(dimensions, 7)
    for number in range(-6, 0):
        trunk = model.layers(dimensions, 7, stop=number)
        tail = model.layers(dimensions, 7, number)
        joined = [p for part in (trunk, tail) for p in part.parameters()]
        assert len(joined) == len(list(whole.parameters()))
        for ours, expected in zip(joined, whole.parameters(), strict=True):
            assert torch.equal(ours, expected)


def test_random_weights_are_pytorch_defaults_in_the_order_of_the_recipe():
    dimensions = Dimensions(n_layer=2, n_head=2, n_embd=4, n_positions=3, vocab_size=7)
    layers = model.layers(dimensions, 5)
    torch.manual_seed(5)
    drawn = [torch.randn(7, 4), torch.randn(3, 4)]
    for _ in range(2):
        for rows, columns in [(4, 4)] * 4 + [(16, 4), (4, 16)]:
            bound = columns**-0.5
            drawn.append(torch.empty(rows, columns).uniform_(-bound, bound))
            drawn.append(torch.empty(rows).uniform_(-bound, bound))
    ours = [p for name, p in layers.named_parameters() if "norm" not in name and name[0] != "3"]
    for tensor, expected in zip(ours, drawn, strict=True):
        torch.testing.assert_close(tensor.data, expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_depends_on_the_seed_alone(classes):
    torch.manual_seed(3)
    expected = nn.Linear(4, classes)
    head = Head(4, classes)
    draw(head, torch.Generator().manual_seed(3))
    assert torch.equal(head.linear.weight, expected.weight)
    assert torch.equal(head.linear.bias, expected.bias)
    x = torch.randn(6, 4)
    assert torch.equal(head(x, Reading()), expected(x))


def test_checkpoint_names_cover_every_layer_once():
    dimensions = Dimensions(n_layer=2, n_head=1, n_embd=4, n_positions=3, vocab_size=7)
    names = [n for i in range(-5, -1) for n in model.checkpoint_names(i, dimensions).values()]
    assert len(names) == len(set(names)) == 2 + 2 * 12 + 2
    assert {"wte.weight", "h.1.attn.c_attn.bias", "ln_f.weight"} <= set(names)


# --- a batch of sequences that differ in length is each of them alone


lengths_of_a_batch = st.lists(st.integers(1, 12), min_size=1, max_size=6)
causal_or_not = pytest.mark.parametrize("causal", [True, False])


def padded_batch(lengths: list[int], width: int) -> tuple[list[Tensor], Tensor]:
    """Random sequences, alone and side by side, with random numbers where the padding is."""
    alone = [torch.randn(1, length, width, dtype=torch.double) for length in lengths]
    batch = torch.randn(len(lengths), max(lengths), width, dtype=torch.double) * 100
    for line, sequence in zip(batch, alone, strict=True):
        line[: sequence.shape[1]] = sequence[0]
    return alone, batch


@causal_or_not
@settings(deadline=None, max_examples=30)
@given(lengths=lengths_of_a_batch, heads=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_block_reads_each_sequence_of_a_batch_as_if_alone(causal, lengths, heads, seed):
    torch.manual_seed(seed)
    block = last_block(heads)
    alone, batch = padded_batch(lengths, 6 * heads)
    found = model.Block.forward(block, batch, Reading(causal, torch.tensor(lengths)))
    for line, sequence in zip(found, alone, strict=True):
        expected = model.Block.forward(block, sequence, Reading(causal))
        torch.testing.assert_close(line[: sequence.shape[1]], expected[0])


@causal_or_not
@settings(deadline=None, max_examples=30)
@given(lengths=lengths_of_a_batch, heads=st.integers(1, 3), seed=st.integers(0, 99), data=st.data())
def test_a_last_block_reads_each_sequence_of_a_batch_as_if_alone(
    causal, lengths, heads, seed, data
):
    """With its gradients; at any position without a mask, else at each sequence's own last."""
    ends = [length - 1 for length in lengths]
    positions = ends if causal else [data.draw(st.integers(0, end)) for end in ends]
    torch.manual_seed(seed)
    block = last_block(heads)
    alone, batch = padded_batch(lengths, 6 * heads)
    weigh = torch.randn(len(lengths), 6 * heads, dtype=torch.double)

    found = block(batch, Reading(causal, torch.tensor(lengths), torch.tensor(positions)))
    expected = torch.cat(
        [
            model.Block.forward(block, sequence, Reading(causal))[:, position]
            for sequence, position in zip(alone, positions, strict=True)
        ]
    )
    torch.testing.assert_close(found, expected)
    leaves = dict(block.named_parameters())
    torch.testing.assert_close(gradients(found, weigh, leaves), gradients(expected, weigh, leaves))


@settings(deadline=None, max_examples=30)
@given(tokens=st.integers(1, 12), heads=st.integers(1, 3), data=st.data())
def test_a_last_block_without_a_mask_reads_any_position(tokens, heads, data):
    """Of sequences of one length: all are read, those after the position too."""
    positions = data.draw(st.lists(st.integers(0, tokens - 1), min_size=1, max_size=5))
    torch.manual_seed(tokens)
    block = last_block(heads)
    x = torch.randn(len(positions), tokens, 6 * heads, dtype=torch.double)
    whole = model.Block.forward(block, x, Reading(causal=False))
    expected = whole[torch.arange(len(positions)), positions]
    found = block(x, Reading(causal=False, positions=torch.tensor(positions)))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(block(x, Reading(causal=False)), whole[:, -1])


@settings(deadline=None, max_examples=30)
@given(lengths=lengths_of_a_batch, seed=st.integers(0, 99))
def test_the_final_norm_averages_what_is_no_padding(lengths, seed):
    torch.manual_seed(seed)
    norm = model.FinalNorm(6, eps=model.EPSILON).double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    alone, batch = padded_batch(lengths, 6)
    found = norm(batch, Reading(lengths=torch.tensor(lengths)))
    for line, sequence in zip(found, alone, strict=True):
        each = nn.LayerNorm.forward(norm, sequence[0])
        torch.testing.assert_close(line, each.mean(0))
        torch.testing.assert_close(norm(sequence, Reading())[0], each.mean(0))
    one_position = batch[:, 0]
    expected = nn.LayerNorm.forward(norm, one_position)
    torch.testing.assert_close(norm(one_position, Reading()), expected)


def test_the_head_of_the_mean_is_the_mean_of_the_heads_outputs():
    torch.manual_seed(0)
    norm, head = model.FinalNorm(12).double(), nn.Linear(12, 3).double()
    x = torch.randn(4, 7, 12, dtype=torch.double)
    everywhere = head(nn.LayerNorm.forward(norm, x))
    assert everywhere.shape == (4, 7, 3)
    torch.testing.assert_close(head(norm(x, Reading())), everywhere.mean(1))


@causal_or_not
@pytest.mark.parametrize("averaged", [False, True])
@settings(deadline=None, max_examples=10)
@given(lengths=lengths_of_a_batch, seed=st.integers(0, 99))
def test_a_model_classifies_each_message_of_a_batch_as_if_alone(causal, averaged, lengths, seed):
    layers = whole_model(seed, averaged).double()
    ids = torch.randint(11, (len(lengths), max(lengths)))
    ends = None if averaged else torch.tensor(lengths) - 1
    found = layers(ids, Reading(causal, torch.tensor(lengths), ends))
    for line, message, length in zip(found, ids, lengths, strict=True):
        torch.testing.assert_close(line, layers(message[None, :length], Reading(causal))[0])


def whole_model(seed: int, averaged: bool = False, **options: Any) -> Layers:
    """Three blocks and a head for three classes."""
    row = runs.settings_of(dimensions=nano(n_layer=3), average_embeddings=averaged, **options)
    return build.tail(row, seed, seed, classes=3)


def test_a_reading_is_the_same_on_another_device():
    lengths, positions = torch.tensor([2, 3]), torch.tensor([1, 0])
    moved = Reading(False, lengths, positions).to(torch.device("meta"))
    assert not moved.causal and not moved.single
    assert moved.lengths.is_meta and moved.positions.is_meta
    for reading in (Reading(single=True), Reading(causal=False)):
        assert reading.to(torch.device("meta")) == reading


# --- LoRA


def drawn_linear(linear: nn.Linear, rank: int) -> LoraLinear:
    """With A and B drawn at random, neither zero."""
    found = LoraLinear(linear, rank, 1.5, torch.Generator()).double()
    nn.init.normal_(found.a)
    nn.init.normal_(found.b)
    return found


def merged(lora: LoraLinear) -> nn.Linear:
    """The linear layer that puts out the same."""
    found = nn.Linear(lora.in_features, lora.out_features, dtype=torch.double)
    with torch.no_grad():
        found.weight.copy_(lora.weight + lora.alpha * (lora.a @ lora.b).T)
        found.bias.copy_(lora.bias)
    return found


def replaced(
    block: model.Block, change: Callable[[Any], nn.Module], kind: type[nn.Module]
) -> model.LastBlock:
    """A copy of a block with other modules for those of a kind."""
    found = model.LastBlock(nano(block.heads)).double()
    for name, module in block.named_children():
        setattr(found, name, change(module) if isinstance(module, kind) else module)
    return found


@causal_or_not
@settings(deadline=None, max_examples=30)
@given(
    lengths=lengths_of_a_batch,
    heads=st.integers(1, 3),
    rank=st.integers(1, 4),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_lora_in_a_last_block_is_the_whole_block_with_merged_weights(
    causal, lengths, heads, rank, seed, data
):
    ends = [length - 1 for length in lengths]
    positions = ends if causal else [data.draw(st.integers(0, end)) for end in ends]
    torch.manual_seed(seed)
    lora = replaced(last_block(heads), lambda linear: drawn_linear(linear, rank), nn.Linear)
    plain = replaced(lora, merged, LoraLinear)
    _, batch = padded_batch(lengths, 6 * heads)
    every = torch.arange(len(lengths))

    found = lora(batch, Reading(causal, torch.tensor(lengths), torch.tensor(positions)))
    whole = model.Block.forward(plain, batch, Reading(causal, torch.tensor(lengths)))
    torch.testing.assert_close(found, whole[every, positions])

    # and its gradients are those of the whole block that adds the updates one by one
    whole = model.Block.forward(lora, batch, Reading(causal, torch.tensor(lengths)))
    weigh = torch.randn(len(lengths), 6 * heads, dtype=torch.double)
    leaves = dict(lora.named_parameters())
    assert {"query.a", "key.b", "value.a"} <= set(leaves)
    torch.testing.assert_close(
        gradients(found, weigh, leaves), gradients(whole[every, positions], weigh, leaves)
    )


def test_lora_of_one_token_is_the_block_with_merged_weights():
    torch.manual_seed(1)
    lora = replaced(last_block(2), lambda linear: drawn_linear(linear, 3), nn.Linear)
    plain = replaced(lora, merged, LoraLinear)
    x = torch.randn(4, 1, 12, dtype=torch.double)
    expected = model.Block.forward(plain, x, Reading())[:, 0]
    for single in (False, True):
        torch.testing.assert_close(lora(x, Reading(single=single)), expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.floats(0.1, 32))
def test_lora_puts_out_the_layer_and_alpha_times_x_a_b(inputs, outputs, rank, alpha):
    """Not divided by the rank."""
    torch.manual_seed(inputs)
    linear = nn.Linear(inputs, outputs)
    lora = LoraLinear(linear, rank, alpha, torch.Generator())
    x = torch.randn(3, inputs)
    assert torch.equal(lora(x), linear(x))  # B is zero
    nn.init.normal_(lora.b)
    torch.testing.assert_close(lora(x), linear(x) + alpha * (x @ lora.a @ lora.b))


def test_lora_draws_every_a_right_after_the_head_in_the_order_of_the_layers():
    rank, before = 4, whole_model(seed=5)
    layers = whole_model(seed=5, layers="lora", lora_rank=rank)

    torch.manual_seed(5)
    nn.Linear(12, 3)  # the head
    names = ["query", "key", "value", "output", "expand", "contract"]
    shapes = [(12, 12)] * 4 + [(12, 48), (48, 12)]
    expected = {
        f"{layer}.{name}": shape
        for layer in (1, 2, 3)
        for name, shape in zip(names, shapes, strict=True)
    } | {"5.linear": (12, 3)}
    found = {
        name: module for name, module in layers.named_modules() if isinstance(module, LoraLinear)
    }
    assert list(found) == list(expected)
    for name, (inputs, outputs) in expected.items():
        a = torch.empty(inputs, rank)
        nn.init.kaiming_uniform_(a, a=math.sqrt(5))
        assert torch.equal(found[name].a, a)
        assert 0.4 < a.abs().max() <= 1 / math.sqrt(rank)
        assert found[name].b.shape == (rank, outputs)
        assert not found[name].b.any()
        assert found[name].alpha == 8

    after = dict(layers.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in before.named_parameters())


@pytest.mark.parametrize("averaged", [False, True])
def test_lora_trains_its_updates_and_the_new_head_alone(averaged):
    old = {name for name, _ in whole_model(5, averaged).named_parameters()}
    layers = whole_model(5, averaged, layers="lora")
    trains = {name for name, tensor in layers.named_parameters() if tensor.requires_grad}
    updates = {name for name, _ in layers.named_parameters()} - old
    assert trains == updates | {"5.linear.weight", "5.linear.bias"}
    assert {name.rsplit(".", 1)[1] for name in updates} == {"a", "b"}
    assert len(updates) == 2 * (3 * 6 + 1)
    layers(torch.randint(11, (4, 7)), Reading()).sum().backward()
    for name, tensor in layers.named_parameters():
        assert (tensor.grad is not None) == (name in trains)
