"""The model as MLflow serves it: rows of users and candidates in; rankings, reasons and calls out.

Loaded from `model_code.py`, so that nothing is pickled. A request that cannot be answered ends in one sentence that
says what is wrong with it (over HTTP with status 400); what the policy itself gets wrong is a row with an `error`.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel
from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema

from recops.errors import InputError
from recops.evaluate.recommend import Asked, Recommendation, Scene, answer, open_scene
from recops.registry.bundle import POLICY, open_bundle

BUNDLE = "bundle"
"""Name of the model's one artifact in MLflow: the folder that `write_bundle` wrote."""

INPUTS = Schema(
    [
        ColSpec(DataType.string, "user_id"),
        ColSpec(Array(DataType.string), "candidates", required=False),
        ColSpec(DataType.string, "request", required=False),
    ]
)
"""`candidates` are item ids, two or more; none: what the whole catalogue has. `request` is what the user asks for."""

_CALL = [Property("tool", DataType.string), Property("arguments", DataType.string), Property("answer", DataType.string)]
OUTPUTS = Schema(
    [
        ColSpec(DataType.string, "user_id"),
        ColSpec(Array(DataType.string), "ranking"),
        ColSpec(Array(DataType.string), "reasons"),
        ColSpec(Array(Object(_CALL)), "calls"),
        ColSpec(DataType.string, "error", required=False),
    ]
)
"""`ranking` holds item ids, best first; `reasons` the agent's thoughts; `arguments` of a call are JSON."""


class ServedModel(PythonModel):
    """Answers rows of `INPUTS` with rows of `OUTPUTS`, greedily: the same every time."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._scene: Scene | None = None

    def load_context(self, context: Any) -> None:
        """Open the bundle; every file is checked against its manifest."""
        bundle = open_bundle(Path(context.artifacts[BUNDLE]))
        self._scene = open_scene(bundle.layout, bundle.recipe, POLICY)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a frame with one row per row of the frame `model_input`.

        Raises:
            MlflowException: a request is wrong; no row is answered.
        """
        assert self._scene is not None, "MLflow calls load_context first"
        rows = []
        for number, row in enumerate(model_input.to_dict("records"), start=1):
            try:
                # The server answers in threads, and two episodes at a time on the same cores take twice as long each.
                with self._one_at_a_time:
                    rows.append(_told(answer(self._scene, asked_of(row))))
            except InputError as error:
                # Without the next step, which names other users and commands: whoever asks here has no terminal.
                words = f"row {number}: {error.where}: found {error.found}; expected {error.expected}"
                raise MlflowException.invalid_parameter_value(words) from error
        return pd.DataFrame(rows, columns=OUTPUTS.input_names())


def asked_of(row: Mapping[str, Any]) -> Asked:
    """Return what a row asks for; a request that is absent reaches it as None or NaN.

    Raises:
        InputError: the user is missing.
    """
    user_id, candidates, request = (row.get(name) for name in ("user_id", "candidates", "request"))
    if not isinstance(user_id, str) or not user_id:
        step = "Name the user."
        raise InputError("user_id", found=repr(user_id), expected="a user of the model's data", next_step=step)
    named = () if candidates is None else tuple(map(str, candidates))
    said = request if isinstance(request, str) else ""
    return Asked(user_id, request=said, catalogue=not named, candidates=named, now=True)


def _told(given: Recommendation) -> dict[str, Any]:
    return {
        "user_id": given.user_id,
        "ranking": [item.item_id for item in given.items],
        "reasons": [turn.text for turn in given.turns if turn.kind == "thought"],
        "calls": [
            {
                "tool": call.tool,
                "arguments": json.dumps(call.arguments, ensure_ascii=False, sort_keys=True),
                "answer": call.answer,
            }
            for call in given.calls
        ],
        "error": given.error,
    }
