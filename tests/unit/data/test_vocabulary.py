"""A tokenizer of the user's own: the same ids as transformers gives, or refused with the reason."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import programs
from ablations.data import vocabulary
from ablations.data.encode import encode, encoding
from ablations.errors import UserError
from ablations.study import folder as layout
from ablations.study.folder import END_OF_TEXT
from commands import environment
from hub_server import REVISION, HubServer
from texts import gpt2_bpe

tokenizers = pytest.importorskip("tokenizers")  # transformers brings it

CORPUS = ["the cat sat on the mat", "theme and thesis", "aaaa aaa aa a", "Grüße, 你好!  \n\n x"]
CORPUS *= 20


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tokenizer that the library trained, in both of its forms."""
    folder = tmp_path_factory.mktemp("trained")
    made = tokenizers.ByteLevelBPETokenizer(add_prefix_space=False)
    special = [END_OF_TEXT, "[PAD]"]
    made.train_from_iterator(CORPUS, vocab_size=330, min_frequency=2, special_tokens=special)
    made.save_model(str(folder))
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=40) | st.text("the cats\n aü!", max_size=60))
def test_ids_are_those_of_the_library_that_made_it(trained: Path, text: str) -> None:
    found = vocabulary.of_folder(trained)
    assert found is not None
    theirs = tokenizers.Tokenizer.from_file(str(trained / "tokenizer.json"))
    theirs.encode_special_tokens = True  # text is text
    expected = theirs.encode(text, add_special_tokens=False).ids
    assert encode(found.encoding("own"), [text])[0].tolist() == expected


def test_both_forms_are_one_vocabulary_and_written_files_are_read_back(trained, tmp_path):
    whole = vocabulary.of_folder(trained)
    (tmp_path / "two").mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(trained / name, tmp_path / "two")
    two = vocabulary.of_folder(tmp_path / "two")
    assert two is not None and whole is not None
    assert two.sha256 == whole.sha256 and len(two.merges) > 30
    arguments = ["--folder", trained, "--output", tmp_path / "out/manifest.json"]
    done = programs.run("ablations.data.tokenizer", *arguments)
    assert done.returncode == 0, done.stderr
    again = vocabulary.read(tmp_path / "out/vocab.json", tmp_path / "out/merges.txt")
    assert again == whole
    assert vocabulary.of_folder(tmp_path) is None


def test_another_order_of_merges_or_another_id_is_another_vocabulary(trained):
    whole = vocabulary.of_folder(trained)
    assert whole is not None
    shorter = vocabulary.Vocabulary(whole.ids, whole.merges[:-1])
    more = vocabulary.Vocabulary(whole.ids | {"added": 999}, whole.merges)
    assert shorter.sha256 != whole.sha256 == more.sha256  # a word that no text becomes
    assert more.encoding("own").n_vocab < 999


def test_bytes_and_gpt2_s_own_files_are_such_vocabularies():
    of_bytes = vocabulary.of_bytes().encoding("bytes")
    assert of_bytes._mergeable_ranks == encoding("bytes")._mergeable_ranks
    assert of_bytes.eot_token == 256
    folder = gpt2_bpe()
    found = vocabulary.read(folder / "encoder.json", folder / "vocab.bpe")
    vocabulary.check_pairs(found, "GPT-2's")
    assert found.sha256 == vocabulary.GPT2_SHA256
    assert found.encoding("gpt2")._mergeable_ranks == encoding("gpt2", folder)._mergeable_ranks
    assert found.encoding("gpt2").eot_token == 50256


def changed(trained: Path, folder: Path, *keys: str, value: Any) -> Path:
    found = json.loads((trained / "tokenizer.json").read_text())
    node = found
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(found))
    return folder


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}


def template(single: str) -> dict[str, Any]:
    """A post_processor as tokenizer.json has it, written as the library's users write it."""
    parts = [
        {"Sequence": {"id": "A", "type_id": 0}}
        if part == "$A"
        else {"SpecialToken": {"id": part, "type_id": 0}}
        for part in single.split()
    ]
    return {"type": "TemplateProcessing", "single": parts, "pair": parts, "special_tokens": {}}


def added(*words: str) -> list[dict[str, Any]]:
    return [{"id": 400 + n, "content": word, "special": False} for n, word in enumerate(words)]


def sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "processors": [*parts]}


@pytest.mark.parametrize(
    ("keys", "value", "reason"),
    [
        (["model", "type"], "WordPiece", 'its model\'s type is "WordPiece", expected "BPE"'),
        (["model", "byte_fallback"], True, "byte_fallback is true, expected false"),
        (["model", "end_of_word_suffix"], "</w>", "end_of_word_suffix"),
        (["normalizer"], {"type": "Lowercase"}, "it has a normalizer, which changes texts"),
        (["pre_tokenizer"], {"type": "Whitespace"}, "expected ByteLevel"),
        (["pre_tokenizer", "add_prefix_space"], True, "adds a space before a text"),
        (["model", "vocab"], {"a": 1}, "has no id for '!'; expected a token for each of the 256"),
        (["model", "merges"], [["z", "q"]], "merge 1, 'z q', does not make a token of"),
        (["model"], None, "it has no model"),
        (["added_tokens"], added("covid", "sars"), "that are not special ('covid', 'sars'), and"),
        (["added_tokens"], added(*"abcde"), "not special ('a', 'b', 'c' and 2 more), and texts"),
        (["post_processor"], template("<|endoftext|> $A"), "its post_processor adds tokens"),
        (["post_processor"], template("$A <|endoftext|>"), '"TemplateProcessing"'),
        (["post_processor"], sequence(BYTE_LEVEL, template("<|endoftext|> $A")), "adds tokens"),
        (["post_processor"], {"type": "RobertaProcessing"}, "adds tokens"),
        (["post_processor"], 1, "adds tokens to each text, as GPT-2's does not: 1"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_another_kind_of_tokenizer_is_refused_with_the_reason(
    trained, tmp_path, keys, value, reason
):
    folder = changed(trained, tmp_path / "other", *keys, value=value)
    with pytest.raises(UserError) as raised:
        vocabulary.of_folder(folder)
    assert str(raised.value).startswith(f"{folder}/tokenizer.json")
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    "after", [None, BYTE_LEVEL, template("$A"), sequence(BYTE_LEVEL, template("$A"))]
)
def test_a_post_processor_that_leaves_ids_is_gpt2_s_kind(trained, tmp_path, after):
    folder = changed(trained, tmp_path / "mine", "post_processor", value=after)
    assert vocabulary.of_folder(folder) == vocabulary.of_folder(trained)


def test_merges_that_tiktoken_would_apply_otherwise_are_refused(trained):
    whole = vocabulary.of_folder(trained)
    assert whole is not None
    vocabulary.check_pairs(whole, "it")
    first, second = whole.merges[:2]
    ids = whole.ids.copy()
    a, b = (merge.replace(" ", "") for merge in (first, second))
    ids[a], ids[b] = ids[b], ids[a]
    with pytest.raises(UserError, match="do not rise in the order of"):
        vocabulary.checked(ids, whole.merges, "ids", "merges")
    # (a, b) merges first, so that abc is never a and bc
    letters = vocabulary.of_bytes().ids | {"ab": 300, "bc": 301, "abc": 302}
    led_astray = vocabulary.checked(letters, ["a b", "b c", "a bc"], "ids", "merges")
    with pytest.raises(UserError, match="merge 3, 'a bc', cannot follow from the merges before it"):
        vocabulary.check_pairs(led_astray, "it")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("vocab.txt", "[UNK]\n", "vocab.txt belongs to a WordPiece tokenizer; expected one of"),
        ("tokenizer.model", "x", "tokenizer.model belongs to a SentencePiece tokenizer"),
        ("tokenizer.json", "{", "tokenizer.json is not readable JSON"),
        ("tokenizer.json", "[]", "tokenizer.json holds []"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as raised:
        vocabulary.of_folder(tmp_path)
    assert reason in str(raised.value)


def test_special_tokens_that_were_added_are_no_part_of_texts(trained, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(trained, folder)
    pad = {"400": {"content": "<pad>", "special": True}}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": pad}))
    assert vocabulary.of_folder(folder) == vocabulary.of_folder(trained)


@pytest.mark.parametrize("form", ["tokenizer.json", "vocab.json"])
def test_a_special_token_beyond_the_embedding_counts_for_nothing(trained, tmp_path, form):
    """As after add_special_tokens(pad_token) without a larger embedding."""
    size = layout.vocab_size(trained)
    names = ["tokenizer.json"] if form == "tokenizer.json" else ["vocab.json", "merges.txt"]
    for name in names:
        shutil.copy(trained / name, tmp_path)
    path = tmp_path / form
    content = json.loads(path.read_text())
    if form == "tokenizer.json":
        content["added_tokens"].append({"content": "<pad>", "id": size, "special": True})
    else:
        content["<pad>"] = size
        (tmp_path / "special_tokens_map.json").write_text('{"pad_token": {"content": "<pad>"}}')
    path.write_text(json.dumps(content))
    assert layout.vocab_size(tmp_path) == size
    found = vocabulary.of_folder(tmp_path)
    assert found is not None and found.encoding("own").n_vocab == size
    assert found.sha256 == vocabulary.of_folder(trained).sha256


def test_words_that_were_added_in_the_old_layout_are_refused(trained, tmp_path):
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(trained / name, tmp_path)
    size = layout.vocab_size(tmp_path)
    for file, special in (
        ("special_tokens_map.json", {"pad_token": "<pad>", "additional_special_tokens": ["<x>"]}),
        ("tokenizer_config.json", {"pad_token": {"content": "<pad>"}, "mask_token": "<x>"}),
    ):
        (tmp_path / file).write_text(json.dumps(special))
        (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": size, "<x>": size + 1}))
        assert vocabulary.of_folder(tmp_path) == vocabulary.of_folder(trained)
        assert layout.vocab_size(tmp_path) == size
        words = {"<pad>": size, "lovely": size + 1}
        (tmp_path / "added_tokens.json").write_text(json.dumps(words))
        with pytest.raises(
            UserError, match=r"added_tokens\.json: it has .* special \('lovely'\), a"
        ):
            vocabulary.of_folder(tmp_path)
        (tmp_path / file).unlink()


def test_settings_that_change_ids_are_refused(trained, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(trained, folder)
    for settings_, reason in (
        ({"tokenizer_class": "LlamaTokenizer"}, "is 'LlamaTokenizer', expected GPT2Tokenizer"),
        ({"add_prefix_space": True}, "add_prefix_space is True, expected false"),
        ({"add_bos_token": True}, "add_bos_token is True, expected false"),
        ({"add_eos_token": True}, "add_eos_token is True, expected false"),
        ({"added_tokens_decoder": {"400": added("covid")[0]}}, r"special \('covid'\), and"),
    ):
        (folder / "tokenizer_config.json").write_text(json.dumps(settings_))
        with pytest.raises(UserError, match=reason):
            vocabulary.of_folder(folder)


def test_transformers_reads_the_written_files_of_gpt2_s_tokenizer(tmp_path):
    """With the settings that a kept model's folder has."""
    transformers = pytest.importorskip("transformers")
    source = gpt2_bpe()
    vocabulary.write(
        vocabulary.read(source / "encoder.json", source / "vocab.bpe"), tmp_path / "model"
    )
    stated = {"tokenizer_class": "GPT2Tokenizer", "split_special_tokens": True}
    (tmp_path / "model/tokenizer_config.json").write_text(json.dumps(stated))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    ours = encoding("gpt2", source)

    @settings(max_examples=150, deadline=None)
    @given(text=st.text(max_size=60) | st.text("WINER!! £100 now\n\t<|>endoftx'", max_size=60))
    def same(text: str) -> None:
        assert theirs(text)["input_ids"] == encode(ours, [text])[0].tolist()

    same()
    assert theirs("a<|endoftext|>")["input_ids"] == encode(ours, ["a<|endoftext|>"])[0].tolist()


@pytest.mark.parametrize("option", ["add_bos_token", "add_eos_token"])
def test_a_token_that_transformers_puts_beside_every_text_is_refused(tmp_path, option):
    """As transformers itself saves such a tokenizer; saved without the option, it is read."""
    transformers = pytest.importorskip("transformers")
    (tmp_path / "gpt2").mkdir()
    for source, name in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")):
        shutil.copy(gpt2_bpe() / source, tmp_path / "gpt2" / name)
    for kept, options in (("plain", {}), ("added", {option: True})):
        tokenizer = transformers.GPT2Tokenizer.from_pretrained(tmp_path / "gpt2", **options)
        tokenizer.save_pretrained(tmp_path / kept)
    plain = vocabulary.of_folder(tmp_path / "plain")
    assert plain is not None and plain.sha256 == vocabulary.GPT2_SHA256
    if tokenizer("a")["input_ids"] == [64]:
        pytest.skip(f"this version of transformers has no {option}")
    with pytest.raises(UserError, match=r"adds tokens to each text|expected false"):
        vocabulary.of_folder(tmp_path / "added")


def test_a_repository_s_tokenizer_is_fetched_and_checked(trained, tmp_path):
    size = max(json.loads((trained / "vocab.json").read_text()).values()) + 1
    held = {name: (trained / name).read_bytes() for name in ("vocab.json", "merges.txt")}

    def fetched(revision: str, vocab_size: int) -> Any:
        source = {"repo": "someone/gpt2", "revision": revision, "vocab_size": vocab_size}
        return programs.run(
            *("ablations.data.tokenizer", "--hub", json.dumps(source)),
            *("--output", tmp_path / "out/manifest.json"),
            environment=environment(HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "hf")),
        )

    with HubServer() as server:
        server.add_repo("someone/gpt2", REVISION, held)
        server.add_repo("someone/gpt2", "b" * 40, {"spiece.model": b"x"})
        server.add_repo("someone/gpt2", "c" * 40, {"config.json": b"{}"})
        for revision, tokens, reason in (
            (REVISION, size + 1, f"vocab_size: {size + 1} is not the {size} tokens that someone/"),
            ("b" * 40, size, "someone/gpt2/spiece.model belongs to a SentencePiece tokenizer"),
            ("c" * 40, size, "someone/gpt2 holds no tokenizer; expected tokenizer.json, or vocab"),
            ("d" * 40, size, f"someone/gpt2 has no revision {'d' * 40}"),
        ):
            done = fetched(revision, tokens)
            assert done.returncode == 1 and "Traceback" not in done.stderr
            assert reason in done.stderr
            assert not list(tmp_path.glob("out/*"))
        done = fetched(REVISION, size)
        assert done.returncode == 0, done.stderr
    found = vocabulary.read(tmp_path / "out/vocab.json", tmp_path / "out/merges.txt")
    assert found == vocabulary.of_folder(trained)
