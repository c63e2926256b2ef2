"""How a model reads, found by running it on a made-up text: nothing that it says of itself tells.

A part is one of parts.py, which imports this module. T tokens, C width.
"""

from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ablations.errors import UserError
from ablations.model import transformer
from ablations.model.layers import Reading

TOKENS = 3  # of the made-up text
DIFFERENT = 1e-3  # of the largest number: more than rounding


def check(part: Any, causal: bool) -> None:
    """Raises UserError where a text's output would depend on the other texts of its batch.

    That is: tokens read later ones although a row is `causal`, or else padding that is masked.
    """
    if not reads_later(part, masked=not causal):
        return
    if causal:
        raise UserError(
            f"{part.kind}: its tokens read later ones; expected encoder: true in the model's entry"
        )
    raise UserError(
        f"{part.kind}: its tokens read padding that is masked, so a text's prediction would depend"
        " on the other texts of its batch; it cannot be a row"
    )


def reads_later(part: Any, masked: bool) -> bool:
    """Whether what two tokens become depends on a third one, which may be `masked` as padding.

    Raises UserError where the model fails, or is another model afterwards.
    """
    before = _settings(part.model)
    try:
        found = _reads_later(part, masked)
    except UserError:
        raise
    except Exception as error:  # whatever a family's code raises
        raise UserError(
            f"{part.kind}: it fails on a text of {TOKENS} tokens: {transformer.first_line(error)};"
            " it cannot be a row"
        ) from None
    for key, value in _settings(part.model).items():
        if before[key] != value:
            raise UserError(
                f"{part.kind}: a short text changes {key} from {before[key]} to {value} for all"
                f" texts after it; it cannot be a row, unless its config.json has {value} itself"
            )
    return found


@torch.enable_grad()  # parts are also made where nothing trains
def _reads_later(part: Any, masked: bool) -> bool:
    drawn = Generator().manual_seed(0)
    states = torch.randn(1, TOKENS, part.width, generator=drawn).requires_grad_()
    weights = torch.randn(part.width, generator=drawn)
    count = part.model.config.get_text_config().vocab_size
    ids = (torch.arange(TOKENS) + count // 2)[None] % count  # special tokens are at the ends
    x, last = ids if part.from_ids else states, torch.tensor([TOKENS - 2])
    embedded: list[Tensor] = []
    table = part.model.get_input_embeddings()
    with table.register_forward_hook(partial(_note, embedded)):
        alone = part(x[:, :-1], Reading(not masked, None, last, ids=ids[:, :-1]))
        y = part(x, Reading(not masked, last + 1, last, ids=ids))
    if not y.isfinite().all():
        raise UserError(f"{part.kind}: its output on a made-up text is not finite")
    if y.ndim == 3:
        alone, y = alone[:, last], y[:, last]
    read = embedded[-1] if part.from_ids else states
    (gradient,) = torch.autograd.grad((y * weights).sum(), read, allow_unused=True)
    # a gradient is exactly zero where nothing is read; a length may count without being read
    differs = (y - alone).abs().max() > DIFFERENT * alone.abs().max()
    return bool(differs) or (gradient is not None and bool(gradient[:, -1].any()))


def _note(embedded: list[Tensor], _: nn.Module, __: Any, output: Any) -> Any:
    """A hook that adds to a list what ids are looked up as, (1, T, C)."""
    first, *rest = output if isinstance(output, tuple) else (output,)
    embedded.append(first.detach().requires_grad_())
    first = embedded[-1].clone()  # models may change it in place
    return (first, *rest) if rest else first


def _settings(model: nn.Module) -> dict[str, object]:
    """What a model is beside its numbers: words, switches and types of its modules."""
    found: dict[str, object] = {}
    for name, module in model.named_modules():
        place = f"{name}." if name else ""
        found[f"{place}__class__"] = type(module).__name__
        for key, value in vars(module).items():
            if isinstance(value, str | bool):
                found[place + key] = value
    return found
