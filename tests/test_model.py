"""The model against transformers' GPT-2, and the last block's single query against all of them."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from ablations import model
from ablations.cut import Dimensions

shapes = st.builds(
    lambda n_layer, n_head, head_width, n_positions, vocab_size: Dimensions(
        n_layer, n_head, n_head * head_width, n_positions, vocab_size
    ),
    n_layer=st.integers(1, 4),
    n_head=st.integers(1, 4),
    head_width=st.integers(2, 12),
    n_positions=st.integers(1, 40),
    vocab_size=st.integers(2, 300),
)


def all_logits(layers: nn.Sequential, ids: torch.Tensor) -> torch.Tensor:
    """Language-model logits at every position, from our layers and the tied embedding."""
    x = layers[0](ids)
    for layer in layers[1:-1]:
        x = model.Block.forward(layer, x)
    return layers[-1](x) @ layers[0].token.weight.T


def last_logits(layers: nn.Sequential, ids: torch.Tensor) -> torch.Tensor:
    return layers(ids) @ layers[0].token.weight.T


def transformers_model(dimensions: Dimensions):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        **vars(dimensions), resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )
    return transformers.GPT2LMHeadModel(config).eval()


@settings(deadline=None, max_examples=12)
@given(dimensions=shapes, seed=st.integers(0, 99))
def test_logits_equal_transformers_after_reading_its_checkpoint(dimensions, seed, tmp_path_factory):
    torch.manual_seed(seed)
    theirs = transformers_model(dimensions)
    folder = tmp_path_factory.mktemp("checkpoint")
    theirs.save_pretrained(folder)
    manifest = {
        "bytes": (folder / "model.safetensors").stat().st_size,
        "dimensions": vars(dimensions),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    ids = torch.randint(dimensions.vocab_size, (3, dimensions.n_positions))

    ours = model.pretrained_layers(dimensions, folder, 0, dimensions.n_layer + 2)

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
    ours = model.random_layers(dimensions, seed, 0, dimensions.n_layer + 2)
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **vars(dimensions)}))
    tensors = {f"transformer.{k}": v for k, v in model.checkpoint_tensors(ours, dimensions).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    ids = torch.randint(dimensions.vocab_size, (2, dimensions.n_positions))

    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()

    with torch.no_grad():
        expected = theirs(ids).logits
        torch.testing.assert_close(all_logits(ours, ids), expected, atol=1e-3, rtol=1e-4)


@settings(deadline=None, max_examples=30)
@given(
    tokens=st.integers(1, 30),
    heads=st.integers(1, 4),
    messages=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_one_query_gives_the_values_and_gradients_of_the_whole_block(tokens, heads, messages, seed):
    torch.manual_seed(seed)
    block = model.LastBlock(Dimensions(1, heads, 6 * heads, tokens, 5)).double()
    for parameter in block.parameters():  # norms' own initial values would hide their scale
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(messages, tokens, 6 * heads, dtype=torch.double, requires_grad=True)
    weigh = torch.randn(messages, 6 * heads, dtype=torch.double)

    def gradients(output: torch.Tensor) -> dict[str, torch.Tensor]:
        leaves = {"input": x, **dict(block.named_parameters())}
        found = torch.autograd.grad((output * weigh).sum(), leaves.values(), allow_unused=True)
        # what the output does not depend on has no gradient in one and a zero one in the other
        return {
            name: torch.zeros_like(leaf) if gradient is None else gradient
            for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
        }

    whole = model.Block.forward(block, x)[:, -1]
    torch.testing.assert_close(block(x), whole)
    torch.testing.assert_close(gradients(block(x)), gradients(whole))


def test_cut_layers_are_those_of_the_whole_model():
    dimensions = Dimensions(n_layer=3, n_head=2, n_embd=8, n_positions=5, vocab_size=11)
    whole = model.random_layers(dimensions, 7, 0, 5)
    for cut in range(6):
        trunk = model.random_layers(dimensions, 7, 0, cut)
        tail = model.random_layers(dimensions, 7, cut, 5)
        joined = [p for part in (trunk, tail) for p in part.parameters()]
        assert len(joined) == len(list(whole.parameters()))
        for ours, expected in zip(joined, whole.parameters(), strict=True):
            assert torch.equal(ours, expected)


def test_random_weights_are_pytorch_defaults_in_the_order_of_the_recipe():
    dimensions = Dimensions(n_layer=2, n_head=2, n_embd=4, n_positions=3, vocab_size=7)
    layers = model.random_layers(dimensions, 5, 0, 4)
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


def test_the_head_depends_on_the_seed_alone():
    dimensions = Dimensions(n_layer=1, n_head=1, n_embd=4, n_positions=3, vocab_size=7)
    torch.manual_seed(3)
    expected = nn.Linear(4, 2)
    assert torch.equal(model.head(dimensions, 3).weight, expected.weight)


def test_checkpoint_names_cover_every_layer_once():
    dimensions = Dimensions(n_layer=2, n_head=1, n_embd=4, n_positions=3, vocab_size=7)
    names = [n for i in range(4) for n in model.checkpoint_names(i, dimensions).values()]
    assert len(names) == len(set(names)) == 2 + 2 * 12 + 2
    assert {"wte.weight", "h.1.attn.c_attn.bias", "ln_f.weight"} <= set(names)
