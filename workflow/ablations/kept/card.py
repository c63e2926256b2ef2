"""The model card of a kept model: how it was made, how well it classifies, how to use it."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from ablations.answers.statistics import wilson
from ablations.kept.model import Kept
from ablations.study.models import Model
from ablations.study.settings import Settings
from ablations.training.metrics import Metrics

CARD = """\
---
{front}---
# {row}, {run}

Tells the class of a text: {classes}. It is row `{row}` of a finetuning ablation of GPT-2,\
 trained once, with seed {seed}{of_fold}.
{notes}
## How it was made

From {origin}, on {data}, with these settings:

| setting | value |
| --- | --- |
{settings}

Trained in {metrics.precision}, with PyTorch {metrics.versions[torch]}. The head's bias is {bias}.

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
            for name, value in row.compared().items()
            if value is not None
            and (row.trainable_layers == "lora" or not name.startswith("lora_"))
        ),
        metrics=metrics,
        bias="stored as `score.bias`" if bias else FOLDED,
        tested=tested,
        low=low,
        high=high,
        reading=_reading(kept),
        recipe="".join(_recipe(kept, bias, metrics.precision)),
    )


def _origin(model: Model, row: Settings) -> str:
    if row.weights == "random":
        return f"random weights, in the shape of {model.name}"
    if model.hub:
        where = f"https://huggingface.co/{model.hub.repo}"
        return f"{model.name}: [{model.hub.repo}]({where}) at revision `{model.hub.revision}`"
    if model.folder:
        return f"{model.name}, a checkpoint from a folder of the author's, not GPT-2 as published"
    return f"{model.name}, a small model that the workflow pretrained itself, not GPT-2"


def _reading(kept: Kept) -> str:
    row, length = kept.settings, kept.context_tokens
    padded = f"cut to {length} tokens or padded to as many, on the right, with token"
    padded = f"{padded} {kept.padding_id}"
    if row.context_length == "variable":
        padded = f"without padding, so it must have 1 to {length} tokens"
    read = f"classified by the {row.trainable_token} position"
    if row.trainable_token == "flexible" or (row.mask_padding and row.trainable_token == "last"):
        read = "classified by the last position before the padding"
    if row.average_embeddings:
        read = "classified by the mean over all positions"
    mask = "" if row.causal_mask else ", every position reading every other"
    masked = ", and padding read by none" if row.mask_padding else ""
    return f"{padded}; {read}{mask}{masked}"


def _recipe(kept: Kept, bias: bool, precision: str) -> Iterator[str]:
    """How to get the row's predictions with transformers, which computes in float32."""
    rounded = ""
    if precision != "float32":
        rounded = f" up to rounding, since the row computed in {precision}"
    if bias or not kept.in_transformers:
        yield CANNOT
    elif kept.reads_last:
        line = "model.config.pad_token_id = -1  # no token's, so that it reads the last position\n"
        yield RECIPE.format(rounded=rounded, line=line, padding='"max_length"')
        yield LAST.format(longest=kept.longest)
    else:
        yield RECIPE.format(rounded=rounded, line="", padding="True")
        yield BEFORE_PADDING
        yield "" if kept.settings.context_length == "variable" else EMPTY
