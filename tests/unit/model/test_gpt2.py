"""GPT-2 against transformers', one query against all of them, a batch against each text alone."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import runs
from ablations.files import sha256
from ablations.model import build, checkpoint
from ablations.model import gpt2 as model
from ablations.model.layers import Layers, Reading
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


def nano(heads: int = 2, n_layer: int = 1) -> Dimensions:
    return Dimensions(
        n_layer=n_layer, n_head=heads, n_embd=6 * heads, n_positions=30, vocab_size=11
    )


def whole_model(seed: int, averaged: bool = False, **options: Any) -> Layers:
    """Three blocks and a head for three classes."""
    row = runs.settings_of(dimensions=nano(n_layer=3), average_embeddings=averaged, **options)
    return build.tail(row, None, seed, classes=3)


# --- a checkpoint's layers


def all_logits(layers: Layers, ids: Tensor) -> Tensor:
    """Language-model logits at every position, from our layers and the tied embedding."""
    x = layers[0](ids, Reading())
    for layer in layers[1:-1]:
        x = model.Block.forward(layer, x, Reading())
    return nn.LayerNorm.forward(layers[-1], x) @ layers[0].token.weight.T


@settings(deadline=None, max_examples=8)
@given(dimensions=shapes, seed=st.integers(0, 99))
def test_transformers_reads_our_checkpoint_and_we_read_its(dimensions, seed, tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    ours, folder = model.layers(dimensions, seed), tmp_path_factory.mktemp("checkpoint")
    with torch.no_grad():
        for parameter in ours.parameters():  # norms' own initial values would hide their scale
            parameter.add_(torch.randn_like(parameter) / 10)
    tensors = model.checkpoint_tensors(ours, dimensions)
    model.write(folder / "ours", tensors, dimensions, metadata={"format": "pt"})
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder / "ours").eval()
    theirs.save_pretrained(folder)
    checkpoint.write_manifest(folder, sha256(folder / "model.safetensors"), dimensions)
    own = {name: tuple(each.shape) for name, each in theirs.transformer.named_parameters()}
    assert model.tensor_shapes(dimensions) == own
    again = model.layers(dimensions, folder)
    for parameter, read in zip(ours.parameters(), again.parameters(), strict=True):
        assert torch.equal(parameter, read)

    ids = torch.randint(dimensions.vocab_size, (3, dimensions.n_positions))
    with torch.no_grad():
        expected, close = theirs(ids).logits, {"atol": 1e-3, "rtol": 1e-4}
        torch.testing.assert_close(all_logits(ours, ids), expected, **close)
        last = ours(ids, Reading()) @ ours[0].token.weight.T
        torch.testing.assert_close(last, expected[:, -1], **close)
        first = all_logits(ours, ids[:, :1])  # attention to itself alone
        torch.testing.assert_close(first, expected[:, :1], **close)


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_cut_layers_are_those_of_the_whole_model(weights, tmp_path):
    dimensions = nano(n_layer=3)
    source = runs.write_checkpoint(tmp_path, dimensions).parent if weights == "pretrained" else 7
    whole = model.layers(dimensions, source)
    for number in range(-6, 0):
        trunk = model.layers(dimensions, source, stop=number)
        tail = model.layers(dimensions, source, number)
        assert (len(trunk), len(tail)) == (6 + number, -1 - number)
        joined = [p for part in (trunk, tail) for p in part.parameters()]
        for ours, expected in zip(joined, whole.parameters(), strict=True):
            assert torch.equal(ours, expected)


# --- what is drawn


def test_random_weights_are_pytorch_defaults_in_the_order_of_the_recipe():
    dimensions = Dimensions(n_layer=2, n_head=2, n_embd=4, n_positions=3, vocab_size=7)
    before = torch.get_rng_state()
    layers = model.layers(dimensions, 5)
    assert torch.equal(torch.get_rng_state(), before)  # nothing draws from PyTorch's own generator
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


def test_the_head_is_drawn_first_and_then_every_a_of_lora_in_the_order_of_the_layers():
    rank, before, plain = 4, torch.get_rng_state(), whole_model(seed=5)
    layers = whole_model(seed=5, layers="lora", lora_rank=rank)
    assert torch.equal(torch.get_rng_state(), before)

    torch.manual_seed(5)
    head = nn.Linear(12, 3)
    assert torch.equal(layers[-1].linear.weight, head.weight)
    assert torch.equal(layers[-1].linear.bias, head.bias)
    names = ["query", "key", "value", "output", "expand", "contract"]
    sizes = [(12, 12)] * 4 + [(12, 48), (48, 12)]
    expected = {
        f"{layer}.{name}": size
        for layer in (1, 2, 3)
        for name, size in zip(names, sizes, strict=True)
    } | {"5.linear": (12, 3)}
    found = {n: module for n, module in layers.named_modules() if isinstance(module, LoraLinear)}
    assert list(found) == list(expected)
    for name, (inputs, outputs) in expected.items():
        a = torch.empty(inputs, rank)
        nn.init.kaiming_uniform_(a, a=math.sqrt(5))
        assert torch.equal(found[name].a, a)
        assert 0.4 < a.abs().max() <= 1 / math.sqrt(rank)
        assert found[name].b.shape == (rank, outputs) and not found[name].b.any()
        assert found[name].alpha == 8

    after = dict(layers.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in plain.named_parameters())


# --- a batch of sequences is each of them alone


lengths_of_a_batch = st.lists(st.integers(1, 12), min_size=1, max_size=6) | st.builds(
    lambda length, texts: [length] * texts, st.integers(1, 30), st.integers(1, 5)
)


def last_block(heads: int, rank: int = 0) -> model.LastBlock:
    """In double precision, no weight zero or one; with LoRA of this rank."""
    block = model.LastBlock(nano(heads))
    for name, module in block.named_children():
        if rank and isinstance(module, nn.Linear):
            setattr(block, name, LoraLinear(module, rank, 1.5, torch.Generator()))
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return block.double()


def merged(block: model.LastBlock) -> model.LastBlock:
    """The same block with plain matrices."""
    found = model.LastBlock(nano(block.heads)).double()
    state = dict(block.state_dict())
    for name, module in block.named_children():
        if isinstance(module, LoraLinear):
            update = module.alpha * (state.pop(f"{name}.a") @ state.pop(f"{name}.b")).T
            state[f"{name}.weight"] = module.weight + update
    found.load_state_dict(state)
    return found


def batch_of(lengths: list[int], width: int) -> tuple[Tensor, list[Tensor]]:
    """Random sequences side by side, and each alone; with large numbers where the padding is."""
    batch = torch.randn(len(lengths), max(lengths), width, dtype=torch.double)
    for line, length in zip(batch, lengths, strict=True):
        line[length:] *= 100
    batch.requires_grad_()
    return batch, [batch[[n], :length] for n, length in enumerate(lengths)]


def gradients(output: Tensor, weigh: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(
        (output * weigh).sum(), leaves.values(), allow_unused=True, retain_graph=True
    )
    # what the output does not depend on has no gradient in one and a zero one in the other
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


@settings(deadline=None, max_examples=30)
@given(st.booleans(), lengths_of_a_batch, st.integers(1, 3), st.integers(0, 99))
def test_a_block_reads_each_sequence_of_a_batch_as_if_alone(causal, lengths, heads, seed):
    torch.manual_seed(seed)
    block = last_block(heads)
    batch, alone = batch_of(lengths, 6 * heads)
    found = model.Block.forward(block, batch, Reading(causal, torch.tensor(lengths)))
    for line, sequence in zip(found, alone, strict=True):
        expected = model.Block.forward(block, sequence, Reading(causal))
        torch.testing.assert_close(line[: sequence.shape[1]], expected[0])


@settings(deadline=None, max_examples=80)
@given(
    causal=st.booleans(),
    lengths=lengths_of_a_batch,
    heads=st.integers(1, 4),
    rank=st.sampled_from([0, 0, 1, 3]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_one_query_gives_the_values_and_gradients_of_the_whole_block(
    causal, lengths, heads, rank, seed, data
):
    """Of each sequence alone; at any position without a mask, else at each one's last."""
    ends = [length - 1 for length in lengths]
    positions = ends if causal else [data.draw(st.integers(0, end)) for end in ends]
    torch.manual_seed(seed)
    block, weigh = last_block(heads, rank), torch.randn(len(lengths), 6 * heads).double()
    batch, alone = batch_of(lengths, 6 * heads)

    def whole(block: model.LastBlock) -> Tensor:
        outputs = [model.Block.forward(block, sequence, Reading(causal)) for sequence in alone]
        return torch.cat([x[:, at] for x, at in zip(outputs, positions, strict=True)])

    expected, leaves = whole(block), {"input": batch, **dict(block.named_parameters())}
    torch.testing.assert_close(whole(merged(block)), expected)
    readings = [Reading(causal, torch.tensor(lengths), torch.tensor(positions))]
    if len(set(lengths)) == 1:
        readings.append(Reading(causal, None, torch.tensor(positions)))
        readings += [Reading(causal)] * (positions == ends)
        readings += [Reading(causal, single=True)] * (lengths[0] == 1)
    for reading in readings:
        found = block(batch, reading)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            gradients(found, weigh, leaves), gradients(expected, weigh, leaves)
        )


@settings(deadline=None, max_examples=20)
@given(lengths=lengths_of_a_batch, seed=st.integers(0, 99))
def test_the_final_norm_averages_what_is_no_padding(lengths, seed):
    torch.manual_seed(seed)
    norm, head = model.FinalNorm(6, eps=model.EPSILON).double(), nn.Linear(6, 3).double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    batch, alone = batch_of(lengths, 6)
    found = norm(batch, Reading(lengths=torch.tensor(lengths)))
    for line, sequence in zip(found, alone, strict=True):
        each = nn.LayerNorm.forward(norm, sequence[0])
        torch.testing.assert_close(line, each.mean(0))
        torch.testing.assert_close(norm(sequence, Reading())[0], each.mean(0))
        torch.testing.assert_close(head(line), head(each).mean(0))  # the recipe's own order
    one_position = batch[:, 0]
    expected = nn.LayerNorm.forward(norm, one_position)
    torch.testing.assert_close(norm(one_position, Reading()), expected)


@settings(deadline=None, max_examples=20)
@given(st.booleans(), st.booleans(), lengths_of_a_batch, st.integers(0, 99))
def test_a_model_classifies_each_text_of_a_batch_as_if_alone(causal, averaged, lengths, seed):
    layers = whole_model(seed, averaged).double()
    ids = torch.randint(11, (len(lengths), max(lengths)))
    ends = None if averaged else torch.tensor(lengths) - 1
    found = layers(ids, Reading(causal, torch.tensor(lengths), ends))
    for line, text, length in zip(found, ids, lengths, strict=True):
        torch.testing.assert_close(line, layers(text[None, :length], Reading(causal))[0])


def test_a_reading_is_the_same_on_another_device():
    lengths, positions = torch.tensor([2, 3]), torch.tensor([1, 0])
    moved = Reading(False, lengths, positions).to(torch.device("meta"))
    assert not moved.causal and not moved.single
    assert moved.lengths.is_meta and moved.positions.is_meta
    for reading in (Reading(single=True), Reading(causal=False)):
        assert reading.to(torch.device("meta")) == reading


# --- LoRA


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.floats(0.1, 32))
def test_lora_puts_out_the_layer_and_alpha_times_x_a_b(inputs, outputs, rank, alpha):
    """Not divided by the rank; and what it is merged into puts out the same."""
    torch.manual_seed(inputs)
    linear, x = nn.Linear(inputs, outputs), torch.randn(3, inputs)
    lora = LoraLinear(linear, rank, alpha, torch.Generator())
    assert torch.equal(lora(x), linear(x))  # B is zero
    nn.init.normal_(lora.b)
    expected = linear(x) + alpha * (x @ lora.a @ lora.b)
    torch.testing.assert_close(lora(x), expected)
    torch.testing.assert_close(lora.merged()(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("averaged", [False, True])
def test_lora_trains_its_updates_and_the_new_head_alone(averaged):
    old = {name for name, _ in whole_model(5, averaged).named_parameters()}
    layers = whole_model(5, averaged, layers="lora")
    trains = {name for name, tensor in layers.named_parameters() if tensor.requires_grad}
    updates = {name for name, _ in layers.named_parameters()} - old
    assert trains == updates | {"5.linear.weight", "5.linear.bias"}
    assert {name.rsplit(".", 1)[1] for name in updates} == {"a", "b"}
    assert len(updates) == 2 * (3 * 6 + 1)
    assert {"-1.linear.weight", "-3.query.a", "-5.value.b"} <= layers.trained().keys()
    assert len(layers.trained()) == len(trains)
    layers(torch.randint(11, (4, 7)), Reading()).sum().backward()
    for name, tensor in layers.named_parameters():
        assert (tensor.grad is not None) == (name in trains)
