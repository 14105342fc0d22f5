"""Stage `sasrec_embeddings`: fit SASRec on `tool_fit`, stop early inside it, refit on all of it, write embeddings.

Two phases: `select` fits on the first nine tenths of `tool_fit` by time and finds the best number of epochs on the last
tenth; `refit` starts anew and fits on all of `tool_fit` for that many epochs, for the newest items are the likeliest
targets. After every epoch there is a checkpoint.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
import torch

from recops import interrupt
from recops.artifacts import write_json
from recops.config.sasrec_embeddings import SasrecConfig
from recops.retrieval.checkpoints import newest_checkpoint, read_state, restore, save_checkpoint
from recops.retrieval.embeddings import (
    EmbeddingFacts,
    catalogue_sha256,
    read_user_states,
    write_embeddings,
    write_search,
)
from recops.retrieval.fit_curve import Curve
from recops.retrieval.fit_data import HeldOut, cut_in_time, read_fit_rows
from recops.retrieval.hard_candidates import HardFacts, write_hard_candidates
from recops.retrieval.ranking import held_out_ndcg
from recops.retrieval.sasrec import save_sasrec
from recops.retrieval.training import Training
from recops.retrieval.user_index import user_index_recall
from recops.seeds import sub_seed
from recops.stage_io import StageIO

_NUM_THREADS = 2
"""Fixed, for the number of threads decides in which order sums are taken, and so the last bits of the weights."""


@dataclass(frozen=True)
class SasrecReport:
    """What the fit found.

    `held_out_ndcg_at_10` is over the full catalogue, on the last tenth of `tool_fit`; `similar_users_recall` is the
    share of the exact nearest users that a search finds, 1 where the search is exact.
    """

    num_interactions: int
    num_known_items: int
    num_held_out: int
    num_select_epochs: int
    best_epoch: int
    held_out_ndcg_at_10: float
    select_loss: float
    refit_loss: float
    embeddings: EmbeddingFacts
    hard_candidates: HardFacts | None
    similar_users_recall: float


def run_sasrec(io: StageIO, config: SasrecConfig, *, seed: int) -> SasrecReport:
    """Fit on `tool_fit` only and write weights, item and user embeddings and the curve.

    Raises:
        InputError: `tool_fit` has nothing to fit on, a loss is not finite, or the embeddings have collapsed.
    """
    splits = io.input("validated_splits")
    rows = read_fit_rows(splits).mapped(io.checkpoints / "rows")
    earlier, held_out = cut_in_time(rows, config.max_length, where=splits / "interactions.parquet")
    earlier = earlier.mapped(io.checkpoints / "earlier_rows")
    with _reproducible():
        curve = _newest_curve(io)
        if not curve.selected(config):
            _select(io, Training(earlier, config, seed), config, held_out, curve)
        curve.phase = "refit"
        training = Training(rows, config, seed)
        _run_phase(io, training, curve, curve.refitted, lambda epoch: _refit_epoch(training, curve, epoch))
        model = training.model.cpu()
        facts = write_embeddings(io.out, model, rows, config.batch_size)
        hard = write_hard_candidates(io.out, splits, model, seed=seed)
        similar_users_recall = _write_search(io, splits, config, seed)
    save_sasrec(model, io.out)
    write_json(io.out / "fit.json", {**asdict(curve), "best_epoch": curve.best_epoch})
    return SasrecReport(
        num_interactions=len(rows),
        num_known_items=int(rows.known_items().sum()),
        num_held_out=len(held_out.targets),
        num_select_epochs=len(curve.select_ndcg),
        best_epoch=curve.best_epoch,
        held_out_ndcg_at_10=max(curve.select_ndcg),
        select_loss=curve.select_loss[curve.best_epoch - 1],
        refit_loss=curve.refit_loss[-1],
        embeddings=facts,
        hard_candidates=hard,
        similar_users_recall=similar_users_recall,
    )


def _write_search(io: StageIO, splits: Path, config: SasrecConfig, seed: int) -> float:
    """Write how the users just written are searched, and return how many of the nearest that finds."""
    item_ids = pl.read_parquet(splits / "items.parquet", columns=["item_id"])["item_id"]
    users = read_user_states(io.out, config.exact_search_max_users)
    found = user_index_recall(users, sub_seed(seed, "similar_users_recall"))
    write_search(
        io.out,
        catalogue=catalogue_sha256(item_ids),
        exact_search_max_users=config.exact_search_max_users,
        similar_users_recall=found,
    )
    return found


def _select(io: StageIO, training: Training, config: SasrecConfig, held_out: HeldOut, curve: Curve) -> None:
    def run_epoch(epoch: int) -> dict[str, float]:
        curve.select_loss.append(training.run_epoch(epoch, "SASRec, finding the number of epochs"))
        curve.select_ndcg.append(held_out_ndcg(training.model, held_out))
        return {"select/loss": curve.select_loss[-1], "select/ndcg@10": curve.select_ndcg[-1]}

    _run_phase(io, training, curve, lambda: curve.selected(config), run_epoch)


def _refit_epoch(training: Training, curve: Curve, epoch: int) -> dict[str, float]:
    curve.refit_loss.append(training.run_epoch(epoch, f"SASRec, refitting for {curve.best_epoch} epochs"))
    return {"refit/loss": curve.refit_loss[-1]}


def _run_phase(
    io: StageIO,
    training: Training,
    curve: Curve,
    finished: Callable[[], bool],
    run_epoch: Callable[[int], dict[str, float]],
) -> None:
    """Run epochs until the phase is finished, from its newest checkpoint on; a signal waits for the epoch's end."""
    checkpoint = newest_checkpoint(io.checkpoints)
    if checkpoint and read_state(checkpoint)["phase"] == curve.phase:
        restore(checkpoint, training.parts)
    while not finished():
        done = len(curve.select_loss if curve.phase == "select" else curve.refit_loss)
        with interrupt.deferred():
            io.tracker.log_metrics(run_epoch(done + 1), step=done + 1)
            save_checkpoint(io.checkpoints, curve.num_epochs, training.parts, asdict(curve))
        interrupt.stop_if_requested()


def _newest_curve(io: StageIO) -> Curve:
    checkpoint = newest_checkpoint(io.checkpoints)
    return Curve(**read_state(checkpoint)) if checkpoint else Curve()


@contextmanager
def _reproducible() -> Iterator[None]:
    """Same seed, same machine, same bytes; the process gets its settings and its generator back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(_NUM_THREADS)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
