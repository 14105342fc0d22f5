from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.sparse import csr_matrix
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from recops.errors import InputError
from recops.retrieval.sentences import SentenceIndex
from recops.retrieval.text import TEXT_COLUMNS

WORDS = ["[PAD]", "[UNK]", "red", "blue", "shoe", "lamp", "big"]
TITLES = ["red shoe", "red shoe", "blue lamp big big big", None, "lamp"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real encoder in small, as `save_pretrained` writes it."""
    folder = tmp_path_factory.mktemp("encoder")
    words = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, initializer_range=0.5, **sizes))
    model.save_pretrained(folder)
    return folder


def items() -> pl.DataFrame:
    empty = dict.fromkeys(TEXT_COLUMNS, [None] * len(TITLES))
    return pl.DataFrame({**empty, "title": TITLES}, schema=dict.fromkeys(TEXT_COLUMNS, pl.String))


def encoded(folder: Path, batch_size: int = 2, max_tokens: int = 16) -> SentenceIndex:
    return SentenceIndex.encode(items(), folder, batch_size=batch_size, max_tokens=max_tokens)


def history(**weights: float) -> csr_matrix:
    row = np.zeros((1, len(TITLES) + 1))
    for item, weight in weights.items():
        row[0, int(item[1:])] = weight
    return csr_matrix(row)


def test_a_vector_is_the_unit_mean_of_the_last_states_of_the_texts_own_tokens(folder: Path) -> None:
    model = BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([[WORDS.index("red"), WORDS.index("shoe")]])).last_hidden_state[0]
    mean = states.mean(dim=0).numpy()
    np.testing.assert_allclose(encoded(folder)._vectors_JD[1], mean / np.linalg.norm(mean), atol=1e-5)


def test_padding_of_a_batch_changes_nothing(folder: Path) -> None:
    np.testing.assert_allclose(encoded(folder, 1)._vectors_JD, encoded(folder, 5)._vectors_JD, atol=1e-5)


def test_score_is_the_weighted_mean_cosine_to_the_history(folder: Path) -> None:
    index = encoded(folder)
    vectors = index._vectors_JD.astype(np.float64)
    scores = index.scores(history(_1=1.0, _3=0.5))[0]
    assert scores[2] == pytest.approx((vectors[1] @ vectors[2] + 0.5 * vectors[3] @ vectors[2]) / 1.5)
    assert index.scores(history(_1=1.0))[0, 2] == pytest.approx(1.0, abs=1e-5)


def test_without_a_text_there_is_no_score_and_no_say(folder: Path) -> None:
    index = encoded(folder)
    assert np.isnan(index.scores(history(_1=1.0))[0]).tolist() == [True, False, False, False, True, False]
    assert np.isnan(index.scores(history(_4=1.0))).all()
    np.testing.assert_allclose(index.scores(history(_1=1.0, _4=1.0)), index.scores(history(_1=1.0)))


def test_long_texts_are_cut(folder: Path) -> None:
    assert not np.allclose(encoded(folder, max_tokens=8)._vectors_JD[1], 0)
    assert not np.allclose(encoded(folder)._vectors_JD[3], encoded(folder, max_tokens=2)._vectors_JD[3])


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        encoded(tmp_path)


def test_a_damaged_model_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="expected a sentence model"):
        encoded(tmp_path)
