"""The policy that a training began with: how far from it the policy has come, whether or not the loss holds it back.

With adapters the starting policy is the model without them. Where all weights are trained, the starting ones wait in
main memory, as large as the weights alone, and take their places for one forward pass: no second model lies beside the
gradients and the optimizer's state.
Shapes: N episodes of a pass, T tokens after the prompt.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class StartingPolicy:
    """Remembers a model as it is when this is made."""

    def __init__(self, model: Any) -> None:
        from peft import PeftModel

        self._model, self._has_adapters = model, isinstance(model, PeftModel)
        self._trained = [] if self._has_adapters else [one for one in model.parameters() if one.requires_grad]
        self._others = [one.detach().to("cpu", copy=True) for one in self._trained]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model be what it was at the start, without gradients; then what it is now, bit for bit."""
        device = self._model.device
        # What a dropout of the model itself would draw here, no later draw may miss.
        drawn = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with torch.no_grad(), drawn:
            if self._has_adapters:
                with self._model.disable_adapter():
                    yield
                return
            self._exchange()
            try:
                yield
            finally:
                self._exchange()

    def _exchange(self) -> None:
        for parameter, other in zip(self._trained, self._others, strict=True):
            now = parameter.to("cpu", copy=True)
            parameter.copy_(other)
            other.copy_(now)


def divergence(logps_NT: Tensor, start_logps_NT: Tensor) -> Tensor:
    """Return the estimate k3 of KL(policy || starting policy) per token that the policy drew, at least 0, (N, T).

    k3 = r - 1 - log r with r the starting policy's probability over the policy's: unbiased, and of low variance
    (http://joschu.net/blog/kl-approx.html). TRL's KL term is the same.
    """
    log_ratio_NT = start_logps_NT - logps_NT
    return torch.exp(log_ratio_NT) - 1 - log_ratio_NT
