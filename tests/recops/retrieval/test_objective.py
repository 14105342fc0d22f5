import pytest
import torch
from pydantic import TypeAdapter

from recops.config.sasrec_embeddings import LossConfig
from recops.errors import InputError
from recops.retrieval.objective import Objective, make_objective
from recops.retrieval.sasrec import SasRec
from tests.recops.retrieval.small_splits import SASREC

KNOWN = [2, 3, 5, 7, 8]
LOSSES = [
    {"kind": "cross_entropy", "precision": "float32"},
    {"kind": "sampled_softmax", "num_negatives": 3},
    {"kind": "gbce", "num_negatives": 3, "calibration": 0.5},
    {"kind": "bce", "num_negatives": 1},
]


def objective(loss: dict[str, object], known: list[int] = KNOWN) -> tuple[SasRec, Objective]:
    torch.manual_seed(0)
    model = SasRec(9, width=8, num_layers=1, num_heads=1, max_length=4, dropout=0.0)
    model.known_items[known] = True
    config = SASREC.model_copy(update={"loss": TypeAdapter(LossConfig).validate_python(loss)})
    return model, make_objective(config, model)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: str(loss["kind"]))
def test_only_known_items_are_scored(loss: dict[str, object]) -> None:
    model, loss_of = objective(loss)
    states, targets = torch.randn(40, 8), torch.tensor(KNOWN * 8)
    loss_of(states, targets).backward()
    gradient = model.item_embedding.weight.grad
    assert gradient is not None
    moved = set(gradient.to_dense().abs().sum(dim=1).nonzero()[:, 0].tolist())
    assert moved == set(KNOWN)


@pytest.mark.parametrize("kind", ["bce", "gbce"])
def test_a_target_is_never_its_own_negative(kind: str) -> None:
    """With all other items as negatives, a target that were one of them would be pushed away from its own state."""
    options = {"calibration": 0.0} if kind == "gbce" else {}
    model, loss_of = objective({"kind": kind, "num_negatives": 4, **options})
    state = torch.zeros(1, 8)
    state[0, 0] = 1.0
    for _ in range(20):
        model.zero_grad()
        loss_of(state, torch.tensor([5])).backward()
        gradient = model.item_embedding.weight.grad
        assert gradient is not None
        towards = gradient.to_dense()[:, 0]
        assert towards[5] < 0
        assert (towards[[2, 3, 7, 8]] >= 0).all()


def test_a_shared_negative_does_not_count_where_it_is_the_target() -> None:
    _, loss_of = objective({"kind": "sampled_softmax", "num_negatives": 1}, known=[5, 7])
    losses = [loss_of(torch.ones(1, 8), torch.tensor([5])).item() for _ in range(20)]
    assert len(set(losses)) == 2, "the one negative is the target itself, or the other item"
    assert min(losses) == 0.0


@pytest.mark.parametrize("kind", ["bce", "sampled_softmax"])
def test_more_negatives_than_items_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match="5 negatives for 5 items"):
        objective({"kind": kind, "num_negatives": 5})
