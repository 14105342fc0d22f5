"""RecBole's SASRec on the rows that `benchmarks.recbole_fit` wrote; runs in RecBole's own environment.

`pip install "numpy<2" recbole "ray<2.7" torch==2.13.0` there. After each epoch it writes the states of valid and test
and the item embeddings, for our evaluation to rank: RecBole's own does not exclude seen items for sequential models.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_logger, init_seed

load = torch.load
torch.load = lambda *given, **named: load(*given, **{**named, "weights_only": False})
"""RecBole 1.2.1 reads its own checkpoints, which are pickles, as it did before torch 2.6 changed the default."""


class TimeIsUpError(Exception):
    """Ends a fit that is not done; RecBole's callback has no other way to say so."""


class TimedTrainer(Trainer):
    """Keeps how long the last evaluation on valid took."""

    valid_seconds = 0.0

    def _valid_epoch(self, *given: object, **named: object) -> object:
        started = time.monotonic()
        result = super()._valid_epoch(*given, **named)
        self.valid_seconds = time.monotonic() - started
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="start no epoch after so long")
    parser.add_argument("--settings", type=json.loads, required=True, help="RecBole's own names, as JSON")
    asked = parser.parse_args()
    torch.set_num_threads(2)
    config = Config(model="SASRec", dataset="rows", config_dict=all_settings(asked))
    init_seed(config["seed"], config["reproducibility"])
    init_logger(config)
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = SASRec(config, train.dataset)
    trainer = TimedTrainer(config, model)
    started, kept_s = time.monotonic(), 0.0

    def keep(epoch: int, valid_score: float) -> None:
        nonlocal kept_s
        now = time.monotonic()
        facts = {"seconds": now - started - kept_s, "valid_seconds": trainer.valid_seconds, "own_ndcg": valid_score}
        print(f"epoch {epoch + 1}", facts, flush=True)
        write(asked.folder / f"epoch_{epoch + 1:03d}.npz", model, dataset, valid, test, facts)
        kept_s += time.monotonic() - now
        if facts["seconds"] > 60 * asked.minutes:
            raise TimeIsUpError

    try:
        trainer.fit(train, valid, show_progress=False, saved=True, verbose=True, callback_fn=keep)
    except TimeIsUpError:
        print("time is up", flush=True)


def all_settings(asked: argparse.Namespace) -> dict[str, object]:
    return {
        "data_path": str(asked.folder),
        "checkpoint_dir": str(asked.folder / "recbole_saved"),
        "seed": asked.seed,
        "use_gpu": False,
        "show_progress": False,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "eval_batch_size": 1024,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "metrics": ["NDCG", "Hit"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        **asked.settings,
    }


@torch.no_grad()
def write(path: Path, model: SASRec, dataset: object, valid: object, test: object, facts: dict[str, float]) -> None:
    """Write states by our user number and embeddings by our item number; RecBole numbers both in its own way."""
    model.eval()
    users, items = (np.asarray(dataset.field2id_token[name][1:], dtype=np.int64) for name in ("user_id", "item_id"))
    weights = model.item_embedding.weight[1:].numpy()
    embeddings = np.zeros((items.max() + 1, weights.shape[1]), dtype=np.float32)
    embeddings[items] = weights
    arrays = {"embeddings": embeddings, **{name: np.float64(value) for name, value in facts.items()}}
    for name, loader in (("valid", valid), ("test", test)):
        rows = loader.dataset.inter_feat
        states = np.zeros((len(users), weights.shape[1]), dtype=np.float32)
        owner = users[rows["user_id"].numpy() - 1]
        for batch in torch.arange(len(owner)).split(1024):
            states[owner[batch.numpy()]] = model.forward(
                rows["item_id_list"][batch], rows["item_length"][batch]
            ).numpy()
        arrays[name] = states
    np.savez(path, **arrays)


if __name__ == "__main__":
    main()
