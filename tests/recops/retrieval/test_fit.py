import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recops import interrupt
from recops.config.sasrec_embeddings import (
    BinaryCrossEntropy,
    CrossEntropy,
    GeneralisedBinaryCrossEntropy,
    SampledSoftmax,
    SasrecConfig,
)
from recops.errors import InputError
from recops.metrics import ABSENT
from recops.retrieval import batches, embeddings, fit_data, training
from recops.retrieval.fit import SasrecReport, run_sasrec
from recops.retrieval.fit_data import cut_in_time, read_fit_rows
from recops.retrieval.ranking import held_out_ranks
from recops.retrieval.sasrec import SasRec, encode_histories, load_sasrec
from recops.retrieval.training import Training
from tests.recops.retrieval.small_splits import (
    DAY,
    LENGTH,
    NUM_ITEMS,
    NUM_USERS,
    SASREC,
    contents,
    interactions,
    stage_io,
    write_splits,
)


def run(root: Path, config: SasrecConfig = SASREC, seed: int = 7, rows: pl.DataFrame | None = None) -> SasrecReport:
    io = stage_io(root, "sasrec_embeddings")
    if not io.layout.artefact("validated_splits").exists() or rows is not None:
        write_splits(io.layout.artefact("validated_splits"), rows)
    return run_sasrec(io, config, seed=seed)


def written(root: Path) -> dict[str, bytes]:
    return contents(stage_io(root, "sasrec_embeddings").out)


def checkpoints(root: Path) -> list[Path]:
    return sorted(stage_io(root, "sasrec_embeddings").checkpoints.iterdir())


@contextmanager
def terminated_in_epoch(number: int) -> Iterator[None]:
    """Send a SIGTERM inside the epoch with this number, counted over both phases, and expect the stage to stop."""
    run_epoch, started = Training.run_epoch, []

    def signalled(self: Training, epoch: int, description: str) -> float:
        started.append(epoch)
        if len(started) == number:
            signal.raise_signal(signal.SIGTERM)
        return run_epoch(self, epoch, description)

    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupt, "_state", {"requested": False, "deferred": False})
        patch.setattr(Training, "run_epoch", signalled)
        interrupt.install()
        try:
            with pytest.raises(interrupt.Interrupted):
                yield
        finally:
            for each, handler in handlers.items():
                signal.signal(each, handler)


def test_the_successor_is_learned(fitted: Path) -> None:
    model = load_sasrec(stage_io(fitted, "sasrec_embeddings").out)
    states = encode_histories(model, [[3, 4, 5], [9, 10, 11]], 2)
    scores = states @ model.item_embedding.weight.detach().numpy().T
    scores[:, ~model.known_items.numpy()] = -np.inf
    scores[[0, 0, 0, 1, 1, 1], [3, 4, 5, 9, 10, 11]] = -np.inf
    assert scores.argmax(axis=1).tolist() == [6, 12]


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    assert run(tmp_path / "one") == run(tmp_path / "two")
    run(tmp_path / "three", seed=8)
    assert written(tmp_path / "one") == written(tmp_path / "two")
    assert written(tmp_path / "one")["model.safetensors"] != written(tmp_path / "three")["model.safetensors"]


MEAN = SASREC.model_copy(update={"average_decay": 0.95, "warmup_steps": 5})
SAMPLED = SASREC.model_copy(update={"loss": SampledSoftmax(kind="sampled_softmax", num_negatives=5)})
PREFIXES = SASREC.model_copy(update={"training_sequences": "prefixes"})


@pytest.mark.parametrize(("number", "config"), [(2, SASREC), (5, SASREC), (2, MEAN), (2, SAMPLED), (2, PREFIXES)])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, number: int, config: SasrecConfig) -> None:
    whole = run(tmp_path / "whole", config)
    if number == 5:
        assert whole.num_select_epochs < 5 <= whole.num_select_epochs + whole.best_epoch, "epoch 5 is one of the refit"
    with terminated_in_epoch(number):
        run(tmp_path / "resumed", config)
    assert [path.name for path in checkpoints(tmp_path / "resumed")][-1] == f"epoch_{number:05d}"
    assert not written(tmp_path / "resumed")
    assert run(tmp_path / "resumed", config) == whole
    assert written(tmp_path / "resumed") == written(tmp_path / "whole")


def test_truncated_checkpoint_is_put_aside_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "whole")
    with terminated_in_epoch(3):
        run(tmp_path / "resumed")
    damaged = checkpoints(tmp_path / "resumed")[-1] / "optimizer.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    capsys.readouterr()
    run(tmp_path / "resumed")
    shown = capsys.readouterr().out
    assert "optimizer.safetensors" in shown
    assert "epoch 3: " in shown
    assert "epoch 2: " not in shown.partition("refitting")[0], "the second epoch is not run again"
    assert "damaged_epoch_00003" in [path.name for path in checkpoints(tmp_path / "resumed")]
    assert written(tmp_path / "resumed") == written(tmp_path / "whole")


def test_nothing_after_tool_fit_is_read(tmp_path: Path) -> None:
    run(tmp_path / "one")
    rows = interactions()
    planted = pl.when(pl.col("slice") == "tool_fit").then("item").otherwise(pl.lit(1)).cast(pl.Int32)
    run(tmp_path / "two", rows=rows.with_columns(item=planted))
    assert written(tmp_path / "one") == written(tmp_path / "two")


def test_large_rows_are_memory_mapped_and_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "in_memory")
    mapped, gathered = [], batches.pad_left

    def watched(sequences: Any, rows_B: Any) -> Any:
        mapped.append(isinstance(sequences.items, np.memmap))
        return gathered(sequences, rows_B)

    monkeypatch.setattr(fit_data, "_MAPPED_BYTES", 0)
    monkeypatch.setattr(training, "pad_left", watched)
    run(tmp_path / "mapped")
    assert mapped
    assert all(mapped)
    assert written(tmp_path / "mapped") == written(tmp_path / "in_memory")


CHANGES: dict[str, Any] = {
    "width": 12,
    "num_layers": 2,
    "num_heads": 1,
    "max_length": 3,
    "dropout": 0.4,
    "training_sequences": "prefixes",
    "batch_size": 8,
    "learning_rate": 0.02,
    "warmup_steps": 10,
    "average_decay": 0.9,
    "loss": SampledSoftmax(kind="sampled_softmax", num_negatives=5),
    "weight_decay": 0.5,
    "max_epochs": 1,
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_weights(fitted_once: Path, tmp_path: Path, name: str) -> None:
    run(tmp_path, SASREC.model_copy(update={name: CHANGES[name]}))
    assert written(tmp_path)["item_embeddings.parquet"] != written(fitted_once)["item_embeddings.parquet"]


@pytest.fixture(scope="module")
def fitted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("once")
    run(root)
    return root


LOSSES: list[Any] = [
    CrossEntropy(kind="cross_entropy", precision="bfloat16"),
    SampledSoftmax(kind="sampled_softmax", num_negatives=8),
    GeneralisedBinaryCrossEntropy(kind="gbce", num_negatives=8, calibration=0.75),
    BinaryCrossEntropy(kind="bce", num_negatives=4),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: str(loss.kind))
def test_every_loss_learns_the_successor(tmp_path: Path, loss: Any) -> None:
    # gBCE begins with a long plateau: a positive counts for a fraction of a negative.
    epochs = 50 if loss.kind == "gbce" else 30
    changes = {"loss": loss, "learning_rate": 0.01, "max_epochs": epochs, "patience_epochs": epochs}
    report = run(tmp_path, SASREC.model_copy(update=changes))
    assert report.held_out_ndcg_at_10 > 0.6, "chance is .2"


def test_patience_ends_the_search(tmp_path: Path) -> None:
    hopeless = SASREC.model_copy(update={"learning_rate": 1e-9, "max_epochs": 9, "patience_epochs": 3})
    report = run(tmp_path, hopeless)
    assert report.num_select_epochs == report.best_epoch + 3 < 9


def test_written_embeddings_are_those_of_the_weights(fitted: Path) -> None:
    out = stage_io(fitted, "sasrec_embeddings").out
    model, table = load_sasrec(out), pl.read_parquet(out / "item_embeddings.parquet")
    assert table["item"].to_list() == np.flatnonzero(model.known_items.numpy()).tolist()
    weights = model.item_embedding.weight.detach().numpy()[table["item"].to_numpy()]
    np.testing.assert_array_equal(np.stack(table["embedding"].to_list()).astype(np.float32), weights)
    users = pl.read_parquet(out / "user_embeddings.parquet")
    history = interactions().filter((pl.col("user") == 4) & (pl.col("slice") == "tool_fit"))["item"].to_list()
    expected = encode_histories(model, [history], 1)[0]
    np.testing.assert_allclose(users["embedding"][4].to_numpy(), expected, atol=1e-5)


def test_report_is_the_curve(fitted: Path) -> None:
    curve = json.loads((stage_io(fitted, "sasrec_embeddings").out / "fit.json").read_text())
    assert curve["best_epoch"] == int(np.argmax(curve["select_ndcg"])) + 1 == len(curve["refit_loss"])
    assert curve["refit_loss"][-1] < curve["refit_loss"][0]


def test_held_out_are_the_latest_and_ranked_without_seen_items(fitted: Path) -> None:
    splits = stage_io(fitted, "sasrec_embeddings").layout.artefact("validated_splits")
    rows = read_fit_rows(splits)
    assert len(rows) == NUM_USERS * (LENGTH - 3)
    earlier, held = cut_in_time(rows, 6, where=splits)
    assert earlier.timestamps.max() < rows.timestamps[-1] - rows.timestamps[-1] % DAY + DAY
    assert 0.08 < len(held.targets) / len(rows) <= 0.12
    torch.manual_seed(0)
    model = SasRec(NUM_ITEMS, width=16, num_layers=1, num_heads=2, max_length=6, dropout=0.0)
    model.known_items.copy_(torch.from_numpy(earlier.known_items()))
    ranks, weights = held_out_ranks(model, held), model.item_embedding.weight.detach().numpy()
    for place in range(len(ranks)):
        start, length = held.seen.starts[place], held.seen.lengths[place]
        seen, target = held.seen.items[start : start + length], held.targets[place]
        scores = encode_histories(model, [seen.tolist()], 1)[0] @ weights.T
        scores[[*seen, *np.flatnonzero(~model.known_items.numpy())]] = -np.inf
        expected = ABSENT if np.isinf(scores[target]) else (scores > scores[target]).sum()
        assert ranks[place] == expected


def broken(change: pl.Expr) -> pl.DataFrame:
    return interactions().with_columns(change)


BAD_ROWS = {
    "no row of slice tool_fit": broken(pl.lit("test").alias("slice")),
    "1 rows without item, the first one row 2": broken(
        pl.when(pl.int_range(pl.len()) == 2).then(None).otherwise("item").alias("item").cast(pl.Int32)
    ),
    "no user with two": broken(
        pl.when(pl.int_range(pl.len()) % LENGTH == 0).then(pl.lit("tool_fit")).otherwise(pl.lit("test")).alias("slice")
    ),
    f"item {NUM_ITEMS + 1} in row 0": broken((pl.col("item") * 0 + NUM_ITEMS + 1).alias("item")),
    "timestamp of type Float64": broken(pl.col("timestamp").cast(pl.Float64)),
    "0 rows for fitting": broken((pl.col("timestamp") * 0).alias("timestamp")),
}


@pytest.mark.parametrize("message", BAD_ROWS)
def test_rows_that_cannot_be_fitted_are_named(tmp_path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path, rows=BAD_ROWS[message])


def test_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="epoch 1: found loss nan"):
        run(tmp_path, SASREC.model_copy(update={"learning_rate": 1e30}))
    assert not written(tmp_path)


@pytest.mark.parametrize("where", ["item embeddings", "user states"])
def test_collapsed_embeddings_stop_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    ranks = {"item embeddings": [0.5], "user states": [9.0, 0.5]}[where]
    monkeypatch.setattr(embeddings, "effective_rank", lambda _: ranks.pop(0))
    with pytest.raises(InputError, match=f"{where}: found mean cosine .* collapsed"):
        run(tmp_path)
