"""Losses over the token after a prompt: the language modelling loss of one label, and S-DPO.

Shape suffixes: B prompts, N negatives, V vocabulary.
"""

from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softplus


def label_loss(logits_BV: Tensor, chosen_B: Tensor) -> Tensor:
    """Return the mean cross-entropy of the target's label over the whole vocabulary, in nats."""
    return cross_entropy(logits_BV, chosen_B)


def s_dpo_loss(ratios_B: Tensor, rejected_ratios_BN: Tensor, beta: float) -> Tensor:
    """Return the mean softmax-DPO loss (Chen et al. 2024, arXiv 2406.09215, equation 10).

    -log sigmoid(-log sum_n exp(beta * (rejected_n - chosen))), which is DPO with one negative.

    Args:
        ratios_B: log of the target's probability over that of the reference.
        rejected_ratios_BN: the same of each negative.
        beta: weight of the distance to the reference, above 0.
    """
    gaps_BN = beta * (rejected_ratios_BN - ratios_B[:, None])
    return softplus(gaps_BN.logsumexp(dim=1)).mean()


def label_log_probabilities(logits_BV: Tensor, labels_BN: Tensor) -> Tensor:
    """Return the log-probability of label tokens as the next token, (B, N)."""
    return log_softmax(logits_BV, dim=-1).gather(1, labels_BN)
