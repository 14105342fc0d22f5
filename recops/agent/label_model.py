"""A language model that names a candidate: the logits of the token after each prompt, from one forward pass.

Shape suffixes: B prompts, L tokens, W width of the language model, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _IncompatibleKeys

from recops.agent.behaviour import BehaviourProjector
from recops.agent.label_prompts import LabelPrompt


class LabelModel(nn.Module):
    """A causal language model, and for hybrid prompts the projector of behaviour vectors.

    `language_model` is any model of `transformers`, with or without adapters of PEFT.
    """

    def __init__(self, language_model: Any, projector: BehaviourProjector | None) -> None:
        super().__init__()
        self.language_model, self.projector = language_model, projector

    def forward(self, ids_BL: Tensor, items_BL: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the logits after the last token of each prompt, (B, V), float32; other places get none.

        Padding stands at the right, where causal attention never looks from a token of the prompt.
        """
        embedded_BLW = self.language_model.get_input_embeddings()(ids_BL)
        behaviour_BL = items_BL > 0
        if self.projector is not None and bool(behaviour_BL.any()):
            vectors_NW = self.projector(items_BL[behaviour_BL]).to(embedded_BLW.dtype)
            embedded_BLW = embedded_BLW.masked_scatter(behaviour_BL[:, :, None], vectors_NW)
        mask_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device) < lengths_B[:, None]
        body = self.language_model.get_decoder()
        hidden_BLW = body(inputs_embeds=embedded_BLW, attention_mask=mask_BL.long(), use_cache=False).last_hidden_state
        last_BW = hidden_BLW[torch.arange(len(lengths_B), device=ids_BL.device), lengths_B - 1]
        logits_BV: Tensor = self.language_model.get_output_embeddings()(last_BW)
        return logits_BV.float()

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the language model; a projector is float32."""
        dtype: torch.dtype = self.language_model.dtype
        return dtype

    def gradient_checkpointing_enable(self, **settings: Any) -> None:
        """Recompute activations of the language model in the backward pass; a trainer asks for it."""
        self.language_model.gradient_checkpointing_enable(**settings)

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """Return what a checkpoint has to hold: the parameters that train, tied ones once."""
        return {name: parameter.detach() for name, parameter in self.named_parameters() if parameter.requires_grad}

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> _IncompatibleKeys:
        """Load what `state_dict` gave; everything else stays as it is, and is not reported as missing."""
        assert state_dict.keys() == self.state_dict().keys(), "a checkpoint of another model"
        super().load_state_dict(state_dict, strict=False)
        return _IncompatibleKeys([], [])


def collate(prompts: Sequence[LabelPrompt], pad_id: int) -> dict[str, Tensor]:
    """Return prompts as the arguments of `LabelModel.forward`, filled at the right."""
    longest = max(len(prompt.ids) for prompt in prompts)

    def filled(rows: Sequence[list[int]], fill: int) -> Tensor:
        return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])

    return {
        "ids_BL": filled([prompt.ids for prompt in prompts], pad_id),
        "items_BL": filled([prompt.items for prompt in prompts], 0),
        "lengths_B": torch.tensor([len(prompt.ids) for prompt in prompts]),
    }
