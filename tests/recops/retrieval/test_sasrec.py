from pathlib import Path

import numpy as np
import pytest
import torch

from recops.errors import InputError
from recops.retrieval.sasrec import SasRec, encode_histories, load_sasrec, save_sasrec


@pytest.fixture
def model() -> SasRec:
    torch.manual_seed(3)
    model = SasRec(9, width=8, num_layers=2, num_heads=2, max_length=4, dropout=0.5)
    model.known_items[1:9] = True
    return model.eval()


def test_left_padding_changes_nothing(model: SasRec) -> None:
    short, padded = torch.tensor([[3, 1, 2]]), torch.tensor([[0, 0, 0, 3, 1, 2]])
    torch.testing.assert_close(model(padded)[:, 3:], model(short))


def test_last_state_is_that_of_all_states(model: SasRec) -> None:
    items = torch.tensor([[0, 3, 1, 2], [4, 5, 6, 7]])
    torch.testing.assert_close(model.last_state(items), model(items)[:, -1])


def test_padding_states_are_finite(model: SasRec) -> None:
    assert model(torch.tensor([[0, 0, 5]])).isfinite().all()


def test_later_items_do_not_change_earlier_states(model: SasRec) -> None:
    one, other = model(torch.tensor([[3, 1, 2, 4]])), model(torch.tensor([[3, 1, 7, 8]]))
    assert torch.equal(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2:], other[:, 2:])


def test_order_of_the_history_changes_the_state(model: SasRec) -> None:
    states = encode_histories(model, [[1, 2, 3], [2, 1, 3]], 2)
    assert np.abs(states[0] - states[1]).max() > 1e-5


def test_encoding_leaves_out_unknown_items_and_all_but_the_latest(model: SasRec) -> None:
    states = encode_histories(model, [[5, 1, 2, 3, 4], [1, 9, 2, 3, 4], [1, 2, 3, 4]], 2)
    np.testing.assert_allclose(states[0], states[2], atol=1e-6)
    np.testing.assert_allclose(states[1], states[2], atol=1e-6)


def test_history_without_known_item_has_no_state(model: SasRec) -> None:
    states = encode_histories(model, [[9], [], [1]], 8)
    assert np.isnan(states[:2]).all()
    assert np.isfinite(states[2]).all()


def test_encoding_is_without_dropout_and_leaves_the_mode(model: SasRec) -> None:
    model.train()
    states = encode_histories(model, [[1, 2], [1, 2]], 1)
    assert model.training
    np.testing.assert_array_equal(states[0], states[1])


def test_saved_model_gives_the_same_states(model: SasRec, tmp_path: Path) -> None:
    save_sasrec(model, tmp_path)
    histories = [[1, 2, 3], [9, 4]]
    np.testing.assert_array_equal(
        encode_histories(load_sasrec(tmp_path), histories, 2), encode_histories(model, histories, 2)
    )


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_missing_file_is_named(model: SasRec, tmp_path: Path, name: str) -> None:
    save_sasrec(model, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=name):
        load_sasrec(tmp_path)


def test_truncated_weights_are_named(model: SasRec, tmp_path: Path) -> None:
    save_sasrec(model, tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_sasrec(tmp_path)


def test_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"width: found 9; expected a multiple of num_heads \(2\)"):
        SasRec(3, width=9, num_layers=1, num_heads=2, max_length=4, dropout=0.0)


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="this system does not tell what is mapped")
def test_weights_are_mapped_from_their_file_and_not_read(tmp_path: Path) -> None:
    save_sasrec(SasRec(500, width=8, num_layers=1, num_heads=1, max_length=5, dropout=0.0), tmp_path)

    model = load_sasrec(tmp_path)

    assert str(tmp_path / "model.safetensors") in Path("/proc/self/maps").read_text()
    assert model.item_embedding.weight.shape == (501, 8)
