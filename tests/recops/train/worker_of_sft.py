"""One worker of `test_workers`: trains a policy on given rows, `python -m ... POLICY ROWS OUT` or under accelerate."""

import json
import sys
from pathlib import Path

from recops import environment
from recops.ranks import rank
from recops.train.models import load_trainable
from recops.train.sft import build_trainer
from recops.workers import choose_device
from tests.recops.train.small import SFT


def main() -> None:
    """Train with the whole of the rows as every step's batch: whoever shares it has the same batch, in some order."""
    environment.prepare()
    choose_device()
    policy, rows, out = map(Path, sys.argv[1:])
    read = json.loads(rows.read_text(encoding="utf-8"))
    model, tokenizer = load_trainable(policy)
    config = SFT.model_copy(update={"batch_size": len(read), "checkpoint_steps": 100})
    trainer = build_trainer(model, tokenizer, read, config, folder=out / f"checkpoints-{rank()}", seed=1)
    trainer.train()
    if rank() == 0:
        model.save_pretrained(out)
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        (out / "losses.json").write_text(json.dumps(losses), encoding="utf-8")


if __name__ == "__main__":
    main()
