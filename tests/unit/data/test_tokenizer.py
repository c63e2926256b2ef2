"""Other tokenizers than GPT-2's: transformers' ids, but that a special token's spelling is text."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import small_tokenizers
from ablations.data import byte_pairs, tokenizer
from ablations.errors import UserError
from ablations.study import tokenizer_files
from ablations.study.tokenizer_files import END_OF_TEXT
from small_tokenizers import BERT, KINDS
from texts import gpt2, gpt2_bpe

SPELT = ["<s>", "</s>", "<pad>", "<unk>", *BERT, END_OF_TEXT]
HOSTILE = st.lists(
    st.sampled_from([*SPELT, "covid", "é", "e\u0301", "ﬁ", " ", "  ", "\n", "\0", "🙂", "你好"])
    | st.text("the cats\nü<>/[]", max_size=8)
    | st.text(max_size=8)
).map("".join)
AWKWARD = ["", " ", "\0", "x" * 20_000, "\n" * 20_000, "the " * 5_000, *SPELT, "a </s>b <s> [SEP]"]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def made(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small tokenizer that the library trained."""
    folder = tmp_path_factory.mktemp("made")
    small_tokenizers.write(folder, kind)
    return folder


def theirs(folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder)


def test_ids_are_transformers_own_and_a_special_token_s_spelling_is_text(kind, made):
    *_, before, after, padding = KINDS[kind]
    ours, own = tokenizer.of_folder(made, "made"), theirs(made)
    assert (ours.padding_id, ours.closing) == (padding, len(after))
    assert ours.padding == own.convert_ids_to_tokens(padding)
    special = set(own.all_special_ids) - {own.unk_token_id}

    def check(text: str) -> None:
        (found,) = ours.encode([text])
        inner = found.tolist()[len(before) : len(found) - len(after)]
        assert found.tolist() == [*before, *inner, *after]
        assert not special & set(inner)
        assert max(found, default=0) < ours.vocab_size
        if not any(token in text for token in own.all_special_tokens):
            assert found.tolist() == own(text)["input_ids"]

    settings(max_examples=150)(given(HOSTILE)(check))()
    for text in AWKWARD:
        check(text)
    assert len(ours.encode(["a"] * 2_500)) == 2_500


def test_what_the_spelling_becomes(kind, made):
    """For byte pairs as with transformers' split_special_tokens; else what other words become."""
    ours, own = tokenizer.of_folder(made, "made"), theirs(made)
    tokens = own.convert_ids_to_tokens(ours.encode(["a </s> [SEP]"])[0].tolist())
    expected = {
        "byte level": "<s> a Ġ < / s > Ġ [ S E P ]",
        "unsplit": "<s> a ▁ </s > ▁ <unk> <unk> <unk> <unk> <unk>",
        "WordPiece": "[CLS] a [UNK] [UNK] [SEP]",
        "Unigram": "▁ a ▁ <unk> s <unk> ▁ <unk> </s>",
    }
    assert " ".join(tokens) == expected[kind]


def test_its_number_of_tokens_is_known_without_transformers(made):
    assert tokenizer_files.vocab_size(made) == tokenizer.of_folder(made, "made").vocab_size


def test_alike_is_what_gives_the_same_ids(kind, made, tmp_path):
    ours = tokenizer.of_folder(made, "made")
    assert tokenizer.alike(ours, tokenizer.of_folder(made, "made"))
    assert not tokenizer.alike(ours, gpt2())
    assert not tokenizer.alike(ours, tokenizer.of_merges(()))
    shutil.copytree(made, tmp_path / "other")
    content = json.loads((made / "tokenizer.json").read_text())
    content["post_processor"] = None
    (tmp_path / "other/tokenizer.json").write_text(json.dumps(content))
    assert not tokenizer.alike(ours, tokenizer.of_folder(tmp_path / "other", "other"))


# --- GPT-2's in other folders


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """GPT-2's tokenizer as transformers saves it, after changes."""
    import transformers

    base = tmp_path_factory.mktemp("gpt2")
    byte_pairs.write(byte_pairs.read(gpt2_bpe() / "vocab.bpe"), base)
    numbers = iter(range(100))

    def save(change: Callable[[Any], object] = lambda found: None, **options: Any) -> Path:
        folder = tmp_path_factory.mktemp("saved") / str(next(numbers))
        found = transformers.GPT2Tokenizer.from_pretrained(base, **options)
        change(found)
        found.save_pretrained(folder)
        return folder

    return save


def test_gpt2_s_own_files_are_known_and_keep_its_ids(saved, tmp_path):
    byte_pairs.write(byte_pairs.read(gpt2_bpe() / "vocab.bpe"), tmp_path)
    assert (tmp_path / "merges.txt").read_bytes() == (gpt2_bpe() / "vocab.bpe").read_bytes()
    ids = json.loads((gpt2_bpe() / "encoder.json").read_text())
    assert json.loads((tmp_path / "vocab.json").read_text()) == ids
    for folder in (
        tmp_path,
        saved(),
        saved(lambda found: found.add_special_tokens({"pad_token": "[PAD]"})),
    ):
        assert byte_pairs.of_gpt2(folder)
        assert tokenizer_files.vocab_size(folder) == 50257
        found = tokenizer.named("own", folder)
        assert (found.vocab_size, found.padding_id) == (50257, 50256)
        assert tokenizer.alike(found, gpt2())


@pytest.mark.parametrize("option", ["add_prefix_space", "add_bos_token"])
def test_what_encodes_otherwise_than_gpt2_is_not_gpt2_s(saved, option):
    folder = saved(**{option: True})
    assert byte_pairs.of_gpt2(folder) is None
    own, expected = tokenizer.of_folder(folder, "own"), theirs(folder)("a b")["input_ids"]
    assert own.encode(["a b"])[0].tolist() == expected
    assert tokenizer.alike(own, gpt2()) == (expected == gpt2().encode(["a b"])[0].tolist())


def test_added_words_are_encoded_as_such(saved):
    folder = saved(lambda found: found.add_tokens(["covid"]))
    own = tokenizer.of_folder(folder, "own")
    assert own.encode(["a covid"])[0].tolist()[-1] == 50257
    assert tokenizer_files.vocab_size(folder) == own.vocab_size == 50258
    assert own.padding_id == 50256 and not tokenizer.alike(own, gpt2())


def test_words_that_were_added_in_the_layout_before_tokenizer_json(tmp_path):
    byte_pairs.write(byte_pairs.read(gpt2_bpe() / "vocab.bpe"), tmp_path)
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": {"content": "<pad>"}}')
    (tmp_path / "added_tokens.json").write_text('{"<pad>": 50257}')
    assert byte_pairs.of_gpt2(tmp_path) and tokenizer_files.vocab_size(tmp_path) == 50257
    (tmp_path / "added_tokens.json").write_text('{"<pad>": 50257, "lovely": 50258}')
    assert byte_pairs.of_gpt2(tmp_path) is None and tokenizer_files.vocab_size(tmp_path) == 50259


# --- what is refused


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ({"tokenizer.json": "{"}, "tokenizer.json is not readable JSON"),
        ({"vocab.json": "{}", "merges.txt": ""}, "GPT2Tokenizer finds no tokens in its files"),
        ({"tokenizer.json": "[]"}, "tokenizer.json holds []"),
        (
            {
                "tokenizer_config.json": '{"auto_map": {"AutoTokenizer": ["a.B", null]}}',
                "a.py": "1/0",
            },
            "mine: its tokenizer cannot be read: ",
        ),
        (
            {"vocab.txt": "a\n", "tokenizer_config.json": '{"tokenizer_class": "CanineTokenizer"}'},
            "transformers has it in Python alone (CanineTokenizer), where a special token cannot",
        ),
    ],
    ids=["no JSON", "no tokens", "no mapping", "code of its own", "slow"],
)
def test_a_tokenizer_that_cannot_be_read_is_refused_with_the_reason(tmp_path, held, reason):
    for name, content in held.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as raised:
        tokenizer.of_folder(tmp_path, "mine")
    assert reason in str(raised.value)
