"""GPT-2's vocabulary as it comes. Other tokenizers: test_vocabulary.py."""

import hashlib
import inspect

from tiktoken_ext import openai_public

from ablations.data import tokenizer
from hub_server import HubServer
from texts import gpt2_bpe


def test_vocabulary_from_its_own_host_where_the_mirror_lacks_it(tmp_path, monkeypatch):
    contents = {"vocab.bpe": b"#version\n", "encoder.json": b"{}"}
    sums = {name: hashlib.sha256(text).hexdigest() for name, text in contents.items()}
    monkeypatch.setattr(tokenizer, "VOCABULARY_SHA256", sums)
    with HubServer() as server:
        monkeypatch.setattr(tokenizer, "VOCABULARY_URL", f"{server.url}/gpt-2/encodings/main")
        monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/mirror")
        server.files["mirror/gpt2-bpe/vocab.bpe"] = contents["vocab.bpe"]
        server.files["mirror/gpt2-bpe/encoder.json"] = b"altered"
        server.files["gpt-2/encodings/main/encoder.json"] = contents["encoder.json"]
        tokenizer.of_gpt2(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_vocabulary_checksums_are_those_that_tiktoken_pins():
    source = inspect.getsource(openai_public.gpt2)
    for name, checksum in tokenizer.VOCABULARY_SHA256.items():
        assert checksum in source
        assert f"{tokenizer.VOCABULARY_URL}/{name}" in source


def test_the_real_vocabulary(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_MIRROR", str(gpt2_bpe().parent))
    tokenizer.of_gpt2(tmp_path)
    for name, expected in tokenizer.VOCABULARY_SHA256.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == expected
