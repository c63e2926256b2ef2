"""GPT-2 finetuned as a classifier in a plain loop: every layer, step and position, no reuse.

This is the recipe behind the published table, the additional experiments of chapter 6 of Sebastian
Raschka's "Build a Large Language Model (From Scratch)", written to be read from top to bottom. It
has two uses. Tests compare the workflow's optimised code with it, so it shares none of that code,
and no fault of it. The benchmark times it as the loop that recomputes everything.

    result = plain.train(recipe, shape, messages, labels, padding_id, classes=2, seed=123)

or in parts, as the benchmark does it:

    model = plain.gpt2(shape, recipe, classes=2, seed=123)
    loaders = plain.loaders(recipe, shape, messages, labels, padding_id)
    optimizer = plain.optimizer(model, recipe)
    plain.step(model, optimizer, next(iter(loaders["train"])))
    loss, accuracy = plain.evaluate(model, loaders["validation"], batches=5)

In the comments, shapes are [B, T, C]: the batch's messages, their tokens, the model's width.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

SPLITS = ("train", "validation", "test")
LINEAR = ("query", "key", "value", "attention_out", "mlp_in", "mlp_out")  # of a block, in order

Batch = Sequence[Tensor]  # ids [B, T], lengths [B], labels [B]


@dataclass(frozen=True)
class Shape:
    """The dimensions of a GPT-2, by the names of Hugging Face's config.json."""

    n_layer: int
    n_head: int
    n_embd: int
    n_positions: int
    vocab_size: int


@dataclass(frozen=True)
class Recipe:
    """The published study's options; those with a default came with its later rows."""

    weights: str  # pretrained, random
    trainable_token: str  # last (of the padded input), first, flexible (last before the padding)
    trainable_layers: str | int  # last_layer, last_block, last_two_blocks, all, lora, last blocks
    context_length: str | int  # longest_training_example, model_context_length, variable, a number
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    eval_every: int
    eval_batches: int
    accumulation_steps: int = 1
    causal_mask: bool = True
    average_embeddings: bool = False
    mask_padding: bool = False  # padding is not read, and not averaged
    ignore_index: int | None = None
    lora_rank: int = 8
    lora_alpha: float = 8
    lora_blocks: int | None = None  # the last ones; None: all
    train_size: int | None = None  # the first messages; None: all

    def __post_init__(self) -> None:
        if self.weights not in ("pretrained", "random"):
            raise ValueError(f"weights: {self.weights!r}")
        if self.trainable_token not in ("last", "first", "flexible"):
            raise ValueError(f"trainable_token: {self.trainable_token!r}")
        if self.context_length == "variable" and self.batch_size != 1:
            raise ValueError("messages of their own lengths make no batch: batch_size must be 1")
        if self.average_embeddings and self.trainable_token == "flexible":
            raise ValueError("the mean over all positions reads no flexible token")


@dataclass(frozen=True)
class Result:
    """What a run measured, and the outputs of the trained model."""

    history: list[dict[str, float]]  # of each evaluation: epoch, step, train_loss, validation_loss
    epoch_accuracy: list[dict[str, float]]  # train, validation
    accuracy: dict[str, float]  # train, validation, test
    logits: dict[str, Tensor]  # of each split, in its order: [messages, classes]


class Block(nn.Module):
    """A transformer block as in GPT-2 (Radford et al. 2019): each half normalises its input first.

    The linear layers are made, and so drawn, in the order in which the recipe draws them. In the
    reference query, key and value are separate layers; a checkpoint has them in one matrix.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        width, self.heads = shape.n_embd, shape.n_head
        self.norm_1 = nn.LayerNorm(width, eps=1e-5)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.attention_out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width, eps=1e-5)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, causal: bool, mask: Tensor | None) -> Tensor:
        """The block's output [B, T, C] for its input [B, T, C], reading what `mask` [B, T] says."""
        h = self.norm_1(x)
        q, k, v = (
            layer(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, T, C / heads]
            for layer in (self.query, self.key, self.value)
        )
        if mask is None:
            h = F.scaled_dot_product_attention(q, k, v, is_causal=causal)  # padding is read
        else:
            read = mask[:, None, None].expand(-1, 1, x.shape[1], -1)  # [B, 1, T, T]
            h = F.scaled_dot_product_attention(q, k, v, read.tril() if causal else read)
        x = x + self.attention_out(h.transpose(1, 2).flatten(2))
        h = F.gelu(self.mlp_in(self.norm_2(x)), approximate="tanh")  # [B, T, 4 C]
        return x + self.mlp_out(h)


class LoRA(nn.Module):
    """A linear layer plus alpha × (x A B), as in the reference: not divided by the rank.

    A [in, rank] is drawn as nn.Linear draws its weight. PyTorch uses the second dimension as the
    fan-in, here the rank, so the bound is 1 / √rank. B is zero: at first the layer's output is the
    same.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.linear, self.alpha = linear, alpha
        self.A = nn.Parameter(torch.empty(linear.in_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.B = nn.Parameter(torch.zeros(rank, linear.out_features))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        return self.linear(x) + self.alpha * (x @ self.A @ self.B)


class GPT2(nn.Module):
    """GPT-2 without a head, called as transformers' models are."""

    def __init__(self, shape: Shape, causal: bool):
        super().__init__()
        self.causal = causal
        self.token_embedding = nn.Embedding(shape.vocab_size, shape.n_embd)
        self.position_embedding = nn.Embedding(shape.n_positions, shape.n_embd)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.norm = nn.LayerNorm(shape.n_embd, eps=1e-5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SimpleNamespace:
        """`last_hidden_state` [B, T, C] of ids [B, T]; without a mask [B, T] padding is read."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.token_embedding(input_ids) + self.position_embedding(positions)  # [B, T, C]
        mask = None if attention_mask is None else attention_mask.bool()
        for block in self.blocks:
            x = block(x, self.causal, mask)
        return SimpleNamespace(last_hidden_state=self.norm(x))


class Model(nn.Module):
    """Any model that reads everything at every step, with a classification head, by a recipe.

    `body` puts out `last_hidden_state` [B, T, C]; `blocks` are its blocks in order, `after` is what
    comes after them. Its weights are as given; the head is drawn from the seed, then LoRA's A. An
    encoder needs `mask_padding`, and a decoder that reads both ways must be made so.
    """

    def __init__(
        self,
        body: nn.Module,
        blocks: Sequence[nn.Module],
        after: Sequence[nn.Module],
        width: int,
        recipe: Recipe,
        classes: int,
        seed: int,
    ):
        super().__init__()
        self.recipe, self.body = recipe, body.eval()
        torch.manual_seed(seed)
        self.head = nn.Linear(width, classes)
        self.requires_grad_(False)
        layers = recipe.trainable_layers
        named = {"last_block": 1, "last_two_blocks": 2}
        last = layers if isinstance(layers, int) else named.get(layers, 0)
        trained = [*blocks[len(blocks) - last :], *after] if last else []
        for module in [self] if layers == "all" else [*trained, self.head]:
            module.requires_grad_(True)
        if layers == "lora":  # the head, and the A and B of every linear layer
            for block in blocks[-(recipe.lora_blocks or len(blocks)) :]:
                for parent in list(block.modules()):
                    for name, linear in list(parent.named_children()):
                        if isinstance(linear, nn.Linear):
                            adapted = LoRA(linear, recipe.lora_rank, recipe.lora_alpha)
                            setattr(parent, name, adapted)
            self.head = LoRA(self.head, recipe.lora_rank, recipe.lora_alpha)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits [B, classes] of padded ids [B, T]; `lengths` [B] do not count the padding.

        Padding is read like any other token, unless it is masked.
        """
        device = next(self.parameters()).device
        ids, lengths = ids.to(device), lengths.to(device)
        mask = own_tokens(ids, lengths).long() if self.recipe.mask_padding else None
        states = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        return read(self.recipe, self.head(states), lengths)


def gpt2(
    shape: Shape,
    recipe: Recipe,
    classes: int,
    seed: int,
    tensors: Mapping[str, Tensor] | None = None,
) -> Model:
    """GPT-2 with a classification head instead of the language model's, by a recipe.

    It is drawn on the CPU in the reference's order: embeddings and blocks from the seed; the head,
    from the seed again; LoRA's A. (With `tensors`, those of a pretrained checkpoint, what was drawn
    for embeddings and blocks is overwritten.)
    """
    if (recipe.weights == "pretrained") != (tensors is not None):
        raise ValueError("pretrained weights need a checkpoint's tensors, random ones none")
    torch.manual_seed(seed)
    body = GPT2(shape, recipe.causal_mask)
    if tensors is not None:
        body.load_state_dict(renamed(tensors, shape.n_layer))
    return Model(body, body.blocks, [body.norm], shape.n_embd, recipe, classes, seed)


def own_tokens(ids: Tensor, lengths: Tensor) -> Tensor:
    """Which of the padded ids [B, T] are the messages' own; an empty message has one padding."""
    return torch.arange(ids.shape[1], device=ids.device) < lengths.clamp(min=1)[:, None]


def read(recipe: Recipe, logits: Tensor, lengths: Tensor) -> Tensor:
    """The logits [B, classes] that a recipe reads of those at all positions [B, T, classes]."""
    if recipe.average_embeddings:
        if not recipe.mask_padding:
            return logits.mean(dim=1)
        means = [
            own[: max(1, length)].mean(dim=0) for own, length in zip(logits, lengths, strict=True)
        ]
        return torch.stack(means)
    if recipe.trainable_token == "first":
        return logits[:, 0]
    own = torch.arange(len(logits), device=logits.device)
    if recipe.mask_padding:
        return logits[own, lengths.clamp(min=1) - 1]
    if recipe.trainable_token == "flexible":
        # position −1, the last of the padded input, for a message without a token
        return logits[own, lengths - 1]
    return logits[:, -1]


def renamed(tensors: Mapping[str, Tensor], n_layer: int) -> dict[str, Tensor]:
    """Hugging Face's GPT-2 tensors by the names of `GPT2` and, projections, as [out, in]."""
    found = {
        "token_embedding.weight": tensors["wte.weight"],
        "position_embedding.weight": tensors["wpe.weight"],
    }
    for kind in ("weight", "bias"):
        found[f"norm.{kind}"] = tensors[f"ln_f.{kind}"]
        for layer in range(n_layer):
            theirs, ours = f"h.{layer}", f"blocks.{layer}"
            for norm in "12":
                found[f"{ours}.norm_{norm}.{kind}"] = tensors[f"{theirs}.ln_{norm}.{kind}"]
            joint = tensors[f"{theirs}.attn.c_attn.{kind}"]  # [C, 3 C] or [3 C]
            projections = [
                *joint.chunk(3, dim=-1),
                tensors[f"{theirs}.attn.c_proj.{kind}"],
                tensors[f"{theirs}.mlp.c_fc.{kind}"],
                tensors[f"{theirs}.mlp.c_proj.{kind}"],
            ]
            for name, tensor in zip(LINEAR, projections, strict=True):
                found[f"{ours}.{name}.{kind}"] = tensor.T if kind == "weight" else tensor
    return found


def loaders(
    recipe: Recipe,
    shape: Shape,
    messages: Mapping[str, Sequence[Sequence[int]]],
    labels: Mapping[str, Sequence[int]],
    padding_id: int,
) -> dict[str, DataLoader]:
    """An ordinary loader per split, of messages cut to the context length and padded to it.

    The training one shuffles and drops the last incomplete batch; the others do neither.
    """

    def padded(ids: Sequence[int]) -> tuple[Tensor, int]:
        length = context if context is not None else len(ids)
        own = min(len(ids), length)
        return torch.tensor([*ids[:own], *[padding_id] * (length - own)], dtype=torch.long), own

    context = context_tokens(recipe, shape, messages["train"])
    most = {"train": recipe.train_size}
    return {
        split: DataLoader(
            [(*padded(ids), y) for ids, y in zip(messages[split], labels[split], strict=True)][
                : most.get(split)
            ],
            batch_size=recipe.batch_size,
            shuffle=split == "train",
            drop_last=split == "train",
        )
        for split in SPLITS
    }


def context_tokens(
    recipe: Recipe, shape: Shape, training_messages: Sequence[Sequence[int]]
) -> int | None:
    """Tokens per input after padding; None for `variable`, where nothing is padded or cut."""
    if recipe.context_length == "variable":
        return None
    if recipe.context_length == "longest_training_example":
        return max([1, *map(len, training_messages)])  # one token if all messages are empty
    if recipe.context_length == "model_context_length":
        return shape.n_positions
    return int(recipe.context_length)


def cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    """The batch's mean loss; the index to ignore is no class, so no message is ignored."""
    ignored = -100 if model.recipe.ignore_index is None else model.recipe.ignore_index
    return F.cross_entropy(logits, labels.to(logits.device), ignore_index=ignored)


def loss(model: Model, ids: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
    """The model's mean loss on a batch, for the backward pass."""
    return cross_entropy(model, model(ids, lengths), labels)


def optimizer(model: Model, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over all trained weights, with a constant rate and otherwise PyTorch's defaults."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def step(model: Model, optimizer: torch.optim.Optimizer, batch: Batch, update: bool = True) -> None:
    """One batch, forward and backward; an update of the weights unless gradients only add up."""
    (loss(model, *batch) / model.recipe.accumulation_steps).backward()
    if update:
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def evaluate(model: Model, loader: DataLoader, batches: int | None = None) -> tuple[float, float]:
    """The mean of the batches' losses, and the accuracy, over a fresh pass or its first batches."""
    losses, correct, count = [], 0, 0
    for ids, lengths, labels in islice(loader, batches):
        logits = model(ids, lengths)
        losses.append(cross_entropy(model, logits, labels).item())
        correct += int((logits.argmax(dim=-1).cpu() == labels).sum())
        count += len(labels)
    return sum(losses) / len(losses), correct / count


@torch.no_grad()
def answers(model: Model, loader: DataLoader) -> Tensor:
    """The logits of every message of a split, in its order: [messages, classes]."""
    ordered = DataLoader(loader.dataset, batch_size=loader.batch_size)
    return torch.cat([model(ids, lengths).cpu() for ids, lengths, _ in ordered])


def train(
    recipe: Recipe,
    shape: Shape,
    messages: Mapping[str, Sequence[Sequence[int]]],
    labels: Mapping[str, Sequence[int]],
    padding_id: int,
    classes: int,
    seed: int,
    tensors: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
    model: Model | None = None,
) -> Result:
    """The whole run, on messages (token ids) and labels by split; of a GPT-2, or a given model.

    Everything random comes from torch's global CPU generator. Each pass over a loader draws from
    it, for an evaluation too, so the order of the lines below decides every batch.
    """
    model = model or gpt2(shape, recipe, classes, seed, tensors).to(device)
    data = loaders(recipe, shape, messages, labels, padding_id)
    torch.manual_seed(seed)
    adam = optimizer(model, recipe)
    history: list[dict[str, float]] = []
    epoch_accuracy = []
    steps = 0  # batches so far, not updates

    for epoch in range(1, recipe.epochs + 1):
        for number, batch in enumerate(data["train"], start=1):
            complete = number % recipe.accumulation_steps == 0 or number == len(data["train"])
            step(model, adam, batch, update=complete)
            if steps % recipe.eval_every == 0:
                train_loss, _ = evaluate(model, data["train"], recipe.eval_batches)
                validation_loss, _ = evaluate(model, data["validation"], recipe.eval_batches)
                found = {"train_loss": train_loss, "validation_loss": validation_loss}
                history.append({"epoch": epoch, "step": steps, **found})
            steps += 1
        accuracy = {}
        for split in ("train", "validation"):
            _, accuracy[split] = evaluate(model, data[split], recipe.eval_batches)
        epoch_accuracy.append(accuracy)

    accuracy = {}
    for split in SPLITS:  # here too the training loader shuffles and drops the last batch
        _, accuracy[split] = evaluate(model, data[split])
    logits = {split: answers(model, data[split]) for split in SPLITS}
    return Result(history, epoch_accuracy, accuracy, logits)
