"""RecBole's SASRec on the rows that `benchmarks.recbole_compare` wrote; runs in RecBole's own environment.

`pip install "numpy<2" recbole "ray<2.7" torch==2.13.0` there, then `python recbole_sasrec.py FOLDER --seed 1`.
Writes the states of valid and test and the item embeddings of the best epoch, for our evaluation to rank: RecBole's own
does not exclude seen items for sequential models.
"""

import argparse
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(2)
    config = Config(model="SASRec", dataset="rows", config_dict=settings(asked))
    init_seed(config["seed"], config["reproducibility"])
    init_logger(config)
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = SASRec(config, train.dataset)
    trainer = Trainer(config, model)
    started = time.monotonic()
    trainer.fit(train, valid, show_progress=False, saved=True, verbose=True)
    model.load_state_dict(torch.load(trainer.saved_model_file)["state_dict"])
    write(asked.folder / f"recbole_{asked.seed}.npz", model, dataset, valid, test, time.monotonic() - started)


def settings(asked: argparse.Namespace) -> dict[str, object]:
    return {
        "data_path": str(asked.folder),
        "checkpoint_dir": str(asked.folder / "recbole_saved"),
        "seed": asked.seed,
        "use_gpu": False,
        "show_progress": False,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": asked.max_length,
        "hidden_size": 64,
        "inner_size": 256,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dropout_prob": 0.5,
        "attn_dropout_prob": 0.5,
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "learning_rate": 0.002,
        "train_batch_size": 512,
        "eval_batch_size": 1024,
        "epochs": asked.epochs,
        "stopping_step": 3,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "metrics": ["NDCG", "Hit"],
        "topk": [10],
        "valid_metric": "NDCG@10",
    }


@torch.no_grad()
def write(path: Path, model: SASRec, dataset: object, valid: object, test: object, seconds: float) -> None:
    """Write states by our user number and embeddings by our item number; RecBole numbers both in its own way."""
    model.eval()
    users, items = (np.asarray(dataset.field2id_token[name][1:], dtype=np.int64) for name in ("user_id", "item_id"))
    weights = model.item_embedding.weight[1:].numpy()
    embeddings = np.zeros((items.max() + 1, weights.shape[1]), dtype=np.float32)
    embeddings[items] = weights
    arrays = {"embeddings": embeddings, "seconds": np.float64(seconds)}
    for name, loader in (("valid", valid), ("test", test)):
        rows = loader.dataset.inter_feat
        states = np.zeros((len(users), weights.shape[1]), dtype=np.float32)
        owner = users[rows["user_id"].numpy() - 1]
        states[owner] = model.forward(rows["item_id_list"], rows["item_length"]).numpy()
        arrays[name] = states
    np.savez(path, **arrays)


if __name__ == "__main__":
    main()
