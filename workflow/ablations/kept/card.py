"""The model card of a kept model: how it was made, how well it classifies, how to use it."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from ablations.answers.statistics import wilson
from ablations.kept.model import Kept
from ablations.study import folder as layout
from ablations.study.models import Model
from ablations.study.settings import Settings
from ablations.training.metrics import Metrics

CARD = """\
---
{front}---
# {row}, {run}

Tells the class of a text: {classes}. It is row `{row}` of a finetuning ablation{of_gpt2},\
 trained once, with seed {seed}{of_fold}.
{notes}
## How it was made

From {origin}, on {data}, with these settings:

| setting | value |
| --- | --- |
{settings}

Trained in {metrics.precision}, with PyTorch {metrics.versions[torch]}. {head}

## How well it does

| texts | classified right |
| --- | --- |
| {tested} of the test set | {metrics.accuracy.test:.2%} (95% interval {low:.2%} to {high:.2%},\
 Wilson) |
| validation set | {metrics.accuracy.validation:.2%} |
| training set | {metrics.accuracy.train:.2%} |

The interval is about this one model and texts like these; another seed gives another model.

## How to use it

```bash
python -m ablations.predict FOLDER "a text"
```

reads every text as the row does: {reading}.

{recipe}"""

HEAD = f"The head is in `{layout.HEAD}`, the model before it in `{layout.WEIGHTS}`."
FOLDED = "within the final norm's shift (the same logits)"

CANNOT = """\
`transformers` loads this folder but cannot compute what this row does: its predictions would
differ. Only `ablations.predict` gives the row's predictions.
"""

RECIPE = """\
With `transformers`, the same predictions{rounded}:

```python
import torch
from transformers import AutoTokenizer, GPT2ForSequenceClassification

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = GPT2ForSequenceClassification.from_pretrained(FOLDER)
{line}inputs = tokenizer(texts, padding={padding}, truncation=True, return_tensors="pt")
with torch.no_grad():
    probabilities = model(**inputs).logits.softmax(-1)
```

"""

LAST = """\
As in this example, cut and pad every text to {longest} tokens, however many texts a batch has, and
pass no attention mask: the row reads its padding. `config.json` has no `pad_token_id`, because with
one `transformers` would read another position. Without the line that sets it, the model takes one
text at a time, as `pipeline` does with `padding="max_length", truncation=True`.
"""

BEFORE_PADDING = """\
`transformers` reads the last token before the padding, however many texts a batch has.
`truncation=True` cuts as the row does.
"""

EMPTY = """\

A text without any token is an exception: the row reads the last position of its padding, and
`transformers` the first.
"""


BASE_AND_HEAD = """\
With `transformers`, the same predictions{rounded}:

```python
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER, split_special_tokens=True)
model = AutoModel.from_pretrained(FOLDER).eval()
head = load_file(f"{{FOLDER}}/{file}")

def logits(text):
    ids = tokenizer(text, truncation=True, max_length={longest}).input_ids
{lines}    with torch.no_grad():
        states = model(torch.tensor([ids])).last_hidden_state[0]
    return states{read} @ head["weight"].T + head["bias"]

probabilities = torch.stack([logits(text) for text in texts]).softmax(-1)
```
"""

SPELT = """
A text that holds the spelling of a special token, such as `[SEP]` or `</s>`, may be an exception:
for the row it is text, and `transformers` may take it for the token.
"""


def card(
    kept: Kept,
    metrics: Metrics,
    model: Model,
    *,
    data: str,
    notes: Sequence[str],
    tested: int,
    bias: bool,
) -> str:
    """README.md of a kept model.

    `data`: where the texts are from; `notes`: what is a stand-in; `tested`: the number of texts in
    the test set; `bias`: whether the head still has a bias.
    """
    row = kept.settings
    front: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-classification"}
    if model.hub and row.weights == "pretrained":
        front["base_model"] = model.hub.repo
    low, high = wilson(metrics.accuracy.test, tested)
    return CARD.format(
        front=yaml.safe_dump(front, sort_keys=False),
        row=row.row,
        run=f"fold {kept.fold}, seed {kept.seed}" if kept.fold else f"seed {kept.seed}",
        seed=kept.seed,
        of_fold=f" on fold {kept.fold} of its texts" if kept.fold else "",
        classes=" / ".join(kept.classes),
        notes="".join(f"\n> {note}\n" for note in notes),
        origin=_origin(model, row),
        data=data,
        settings="\n".join(
            f"| {name} | {value} |"
            for name, value in row.told().items()
            if value is not None
            and (row.trainable_layers == "lora" or not name.startswith("lora_"))
        ),
        metrics=metrics,
        of_gpt2=" of GPT-2" if row.dimensions.is_gpt2 else "",
        head=_head(row, bias),
        tested=tested,
        low=low,
        high=high,
        reading=_reading(kept),
        recipe="".join(_recipe(kept, bias, _rounded(metrics.precision))),
    )


def _origin(model: Model, row: Settings) -> str:
    if row.weights == "random":
        return f"random weights, in the shape of {model.name}"
    if model.hub:
        where = f"https://huggingface.co/{model.hub.repo}"
        return f"{model.name}: [{model.hub.repo}]({where}) at revision `{model.hub.revision}`"
    if model.folder:
        published = ", not GPT-2 as published" if model.dimensions.is_gpt2 else ""
        return f"{model.name}, a checkpoint from a folder of the author's{published}"
    return f"{model.name}, a small model that the workflow pretrained itself, not GPT-2"


def _reading(kept: Kept) -> str:
    row, length = kept.settings, kept.context_tokens
    padded = f"cut to {length} tokens or padded to as many, on the right, with token"
    padded = f"{padded} {kept.padding_id}"
    if row.context_length == "variable":
        padded = f"without padding, so it must have 1 to {length} tokens"
    read = f"classified by the {row.trainable_token} position"
    if row.trainable_token == "flexible" or (
        row.input.mask_padding and row.trainable_token == "last"
    ):
        read = "classified by the last position before the padding"
    if row.average_embeddings:
        read = "classified by the mean over all positions"
    mask = "" if row.input.causal_mask else ", every position reading every other"
    masked = ", and padding read by none" if row.input.mask_padding else ""
    return f"{padded}; {read}{mask}{masked}"


def _head(row: Settings, bias: bool) -> str:
    if not row.dimensions.is_gpt2:
        return HEAD
    return f"The head's bias is {'stored as `score.bias`' if bias else FOLDED}."


def _rounded(precision: str) -> str:
    """What to say of predictions by transformers, which computes in float32."""
    if precision == "float32":
        return ""
    return f" up to rounding, since the row computed in {precision}"


def _recipe(kept: Kept, bias: bool, rounded: str) -> Iterator[str]:
    """How to get the row's predictions with transformers."""
    if not kept.settings.dimensions.is_gpt2:
        lines, read = _lines(kept)
        yield BASE_AND_HEAD.format(
            rounded=rounded,
            file=layout.HEAD,
            longest=kept.context_tokens,
            lines="".join(f"    {line}\n" for line in lines),
            read=read,
        )
        yield SPELT
        return
    if bias or not kept.in_transformers:
        yield CANNOT
    elif kept.reads_last:
        line = "model.config.pad_token_id = -1  # no token's, so that it reads the last position\n"
        yield RECIPE.format(rounded=rounded, line=line, padding='"max_length"')
        yield LAST.format(longest=kept.longest)
    else:
        yield RECIPE.format(rounded=rounded, line="", padding="True")
        yield BEFORE_PADDING
        row = kept.settings
        yield "" if row.context_length == "variable" or row.mask_padding else EMPTY
    if not bias and kept.in_transformers and kept.tokenizer == "own":
        yield SPELT


def _lines(kept: Kept) -> tuple[list[str], str]:
    """Lines that make the row's sequence of a text's ids, and what is read of its states."""
    row, padding = kept.settings, kept.padding_id
    if row.average_embeddings:
        read = ".mean(0)"
    else:
        read = "[0]" if row.trainable_token == "first" else "[-1]"
    unpadded = row.input.mask_padding or row.context_length == "variable"
    if unpadded or (row.trainable_token == "flexible" and row.causal_mask and read == "[-1]"):
        return [f"ids = ids or [{padding}]  # of an empty text"], read
    lines = [f"ids += [{padding}] * ({kept.context_tokens} - len(ids))"]
    if row.trainable_token == "flexible" and read == "[-1]":
        return ["last = max(len(ids), 1) - 1", *lines], "[last]"
    return lines, read
