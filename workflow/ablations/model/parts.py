"""Any model that transformers knows, cut between two of its blocks.

The model's own forward runs, so masks, rotary positions and norms are the model's own. Only its
list of blocks is cut: blocks before a part are passed through, and what they would have put out is
put in; before the first block after a part, the forward stops and its states are taken. Blocks of
other parts are never in memory. Blocks must read the hidden states as their first argument.

Layers are numbered as in study/cut.py; the final norm is whatever comes after the last block.
B texts, T tokens, C width.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.hooks import RemovableHandle

from ablations.errors import UserError
from ablations.model import checkpoint, transformer, trial
from ablations.model.layers import Reading, at
from ablations.model.trial import TOKENS
from ablations.study import cut
from ablations.study.dimensions import Dimensions

STATES = "hidden_states"  # what blocks call their first argument, where it is named


def part(
    dimensions: Dimensions,
    folder: Path,
    seed: int | None,
    start: int,
    stop: int = cut.HEAD,
    *,
    causal: bool = True,
    averaged: bool = False,
) -> "Part":
    """Layers start … stop-1 of a checkpoint's folder.

    `seed`: of random weights, which are transformers' own; None: the folder's weights. Raises
    UserError where the folder's model is not as needed, or does not work without a causal mask
    where `causal` is False.
    """
    first = cut.embeddings(dimensions.n_layer)
    begin = max(0, start - first - 1)
    end = None if stop == cut.HEAD else stop - first - 1
    settings = transformer.config(folder)
    unmasked = not causal and not dimensions.encoder
    if unmasked:
        settings.is_causal = False
    if seed is None:
        model = transformer.skeleton(settings)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = transformer.constructed(settings)
    found = Part(model, begin, end, from_ids=start == first, averaged=averaged)
    if seed is None:
        _load(found, folder)
    found.try_out(unmasked)
    trial.check(found, causal=causal and not dimensions.encoder)
    return found


def made_up(model: Any) -> "Part":
    """All of a skeleton, with random values that take little more memory than one of its blocks."""
    drawn, of_shape = Generator().manual_seed(0), dict[torch.Size, nn.Parameter]()
    for module in model.modules():
        for name, each in module.named_parameters(recurse=False):
            if each.shape not in of_shape:
                # overlapping rows: a table of a large vocabulary then costs nothing
                few = torch.randn(sum(each.shape) + 1, generator=drawn) / max(1, *each.shape) ** 0.5
                value = few.as_strided(each.shape, [1] * each.ndim)
                value = value if isinstance(module, nn.Embedding) else value.contiguous()
                of_shape[each.shape] = nn.Parameter(value, requires_grad=False)
            module.register_parameter(name, of_shape[each.shape])
    return Part(model, 0, None, from_ids=True, averaged=False)


class Part(nn.Module):
    """Some blocks of a model, all of its list's blocks begin … end-1, and what they need.

    With `end` None it ends with what comes after the last block, and puts out one vector for each
    text; else the states before block `end`. With `from_ids` it begins with the embeddings.
    """

    def __init__(
        self, model: Any, begin: int, end: int | None, from_ids: bool, averaged: bool
    ) -> None:
        super().__init__()
        self.begin, self.end, self.from_ids, self.averaged = begin, end, from_ids, averaged
        listed = transformer.blocks(model)
        for number, block in enumerate(listed):
            if number < begin or (end is not None and number >= end):
                listed[number] = _Elsewhere(block, stops=number >= begin)
        if not from_ids:
            _empty(model.get_input_embeddings())
        self.model = model
        self.list = [listed]  # in a list, since it is a module of the model already
        self.eval()

    @property
    def blocks(self) -> list[nn.Module]:
        """This part's own blocks."""
        return list(self.list[0])[self.begin : self.end]

    def train(self, mode: bool = True) -> "Part":
        """Stays in evaluation: the recipe has no dropout."""
        return super().train(False)

    def forward(self, x: Tensor, reading: Reading) -> Tensor:
        """(B, T) ids or (B, T, C) states → (B, T, C), or (B, C) with the final norm."""
        # a causal mask also hides the padding on the right from every position that is read
        visible = None if reading.causal else reading.visible(x.shape[1])
        mask = None if visible is None else visible.long()
        with ExitStack() as hooks:
            if self.from_ids:
                ids = x
            else:
                assert reading.ids is not None
                ids = reading.ids
                hooks.enter_context(_put_in(self.blocks[0], x))
            try:
                y = self._output(ids, mask)
            except _Stopped as stopped:
                y = stopped.states
                if y.shape[:2] == ids.shape:
                    return y
                raise UserError(
                    f"{self.kind} cannot be cut before block {self.end}: its blocks read states of"
                    f" shape {list(y.shape)} for ids of shape {list(ids.shape)}; allowed:"
                    " trainable_layers: all"
                ) from None
        return reading.mean(y) if self.averaged else at(y, reading.positions)

    @property
    def width(self) -> int:
        """The numbers of a state."""
        found: int = self.model.config.get_text_config().hidden_size
        return found

    @property
    def kind(self) -> str:
        """The model's type."""
        found: str = self.model.config.model_type
        return found

    def _output(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T) → (B, T, C), what comes after the last block."""
        output, width = self.model(input_ids=ids, attention_mask=mask), self.width
        y: Tensor | None = getattr(output, "last_hidden_state", None)
        if y is None or y.shape[-1] != width:
            found = "no last_hidden_state" if y is None else f"a width of {y.shape[-1]}"
            raise UserError(
                f"{self.kind}: its output has {found}, expected a last_hidden_state of width"
                f" {width}; it cannot be a row"
            )
        return y

    def try_out(self, unmasked: bool) -> None:
        """Tries the part on random states, to see what no class says; freezes what comes before.

        That is: whether blocks put out tuples, which weights come after the last block (the others
        outside of blocks are the embeddings', or shared by blocks), and whether states are all that
        blocks read of what came before. Raises UserError where they are not, or where the part is
        `unmasked` and tokens still do not read the later ones.
        """
        if self.from_ids and not unmasked:
            return
        kind, of_blocks = self.kind, {each for own in self.blocks for each in own.parameters()}
        outside = [each for each in self.model.parameters() if each not in of_blocks]
        for each in outside:
            each.requires_grad_(True)
        tried = _Trial(self.model)
        elsewhere = [block for block in self.list[0] if isinstance(block, _Elsewhere)]
        y, error = self._tried(tried, elsewhere, None)
        if unmasked and not error:  # a mask of padding is another way through a model's code
            _, error = self._tried(tried, elsewhere, torch.tensor([[1] * (TOKENS - 1) + [0]]))
        if error or (tried.reads_table and not self.from_ids):
            why = (
                "its blocks do not take or give hidden states as others' do"
                f" ({transformer.first_line(error)})"
                if error
                else "its blocks read embeddings, not states alone"
            )
            raise UserError(
                f"{kind} cannot be cut before block {self.begin}: {why}; allowed: trainable_layers:"
                " all"
            )
        for block in elsewhere:
            block.in_tuple = tried.in_tuple
        if unmasked and not tried.read_both_ways:
            raise UserError(
                f"causal_mask: false does not work with {kind}: with is_causal: false in its"
                " config.json tokens still do not read later ones; allowed: true"
            )
        if not self.from_ids:
            gradients: Sequence[Tensor | None] = [None] * len(outside)
            if y is not None and outside:
                gradients = torch.autograd.grad(y.sum(), outside, allow_unused=True)
            for each, gradient in zip(outside, gradients, strict=True):
                each.requires_grad_(gradient is not None)

    def _tried(
        self, tried: "_Trial", elsewhere: list["_Elsewhere"], mask: Tensor | None
    ) -> tuple[Tensor | None, Exception | None]:
        """What the model puts out when its blocks read random states, or why it does not."""
        failed: Exception | None = None
        for in_tuple in (False, True):  # one of them lets the forward reach this part's own blocks
            for block in elsewhere:
                block.in_tuple = in_tuple
            with ExitStack() as hooks:
                for own in self.blocks:
                    hooks.enter_context(_put_in(own, tried.states))
                    hooks.enter_context(own.register_forward_hook(tried.look))
                try:
                    ids = torch.zeros(1, TOKENS, dtype=torch.long)
                    return self._output(ids, mask), None
                except _Stopped:
                    return None, None
                except UserError:
                    raise
                except Exception as error:  # whatever a family's code raises
                    failed = failed or error
        return None, failed


class _Stopped(Exception):
    """The forward has reached the first block after a part."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


class _Elsewhere(nn.Module):
    """A block of another part, without its weights: it passes states on, or stops the forward.

    Models ask their blocks for settings: these are the block's own.
    """

    def __init__(self, block: nn.Module, stops: bool) -> None:
        super().__init__()
        self.__dict__["_block"] = block.to("meta")  # no module of this one
        self.stops, self.in_tuple = stops, False

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_block"], name)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        if self.stops:
            raise _Stopped(hidden_states)
        return (hidden_states, None) if self.in_tuple else hidden_states


class _Trial:
    """What blocks show when each reads the same random states."""

    def __init__(self, model: Any) -> None:
        width, generator = model.config.get_text_config().hidden_size, Generator().manual_seed(0)
        self.states = torch.randn(1, TOKENS, width, generator=generator).requires_grad_()
        self.table = list(model.get_input_embeddings().parameters())
        self.in_tuple, self.reads_table, self.read_both_ways = False, False, True

    def look(self, _: nn.Module, __: Any, output: Any) -> Any:
        """A hook that looks at what a block makes of the states, and detaches it from them."""
        self.in_tuple = isinstance(output, tuple)
        first, *rest = output if self.in_tuple else (output,)
        weighed = (first[0, 0] * self.states.detach()[0, 0]).sum()  # a norm's plain sum is constant
        read = [self.states, *self.table]
        gradient, *of_table = torch.autograd.grad(
            weighed, read, allow_unused=True, retain_graph=True
        )
        self.read_both_ways &= bool(gradient[0, 1].any())
        self.reads_table |= any(each is not None for each in of_table)
        first = first.detach().requires_grad_()
        return (first, *rest) if self.in_tuple else first


def _put_in(block: nn.Module, states: Tensor) -> RemovableHandle:
    """Makes a block read these states, until the handle's context ends."""

    def put(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, STATES: states})

    return block.register_forward_pre_hook(put, with_kwargs=True)


def _empty(table: nn.Module) -> None:
    """Leaves an embedding table one row, which every id reads: what it puts out is not used."""
    if isinstance(table, nn.Embedding):
        table.weight = nn.Parameter(torch.zeros(1, table.embedding_dim), requires_grad=False)
        table.padding_idx, table.num_embeddings = None, 1
        table.register_forward_pre_hook(lambda _, args: (torch.zeros_like(args[0]),))


def _load(part: Part, folder: Path) -> None:
    """Gives a part's tensors a checkpoint's values, as float32; others are not read."""
    model = part.model
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters() if each.is_meta}
    with checkpoint.complete(folder, str) as stored:
        names = transformer.stored_names(model, stored)
        # a buffer of integers counts positions, as the model's class does by itself
        optional = {
            name: each
            for name, each in model.named_buffers()
            if name in names and each.is_floating_point()
        }
        shapes |= {name: tuple(each.shape) for name, each in optional.items()}
        values = {}
        for name, shape in shapes.items():
            key = names.get(name, name)
            # a copy: a tensor may be the file itself, mapped into memory
            found = checkpoint.checked(folder, stored, key, shape)
            values[name] = found.to(torch.float32, copy=True)
    model.load_state_dict(values, strict=False, assign=True)
