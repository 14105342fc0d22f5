"""`llm_baselines`: language models that rank without tools, from the agent's backbone and on the agent's candidates.

LLaRA and S-DPO, each where the recipe does not switch it off. Both learn on `policy_train` alone.
"""

from dataclasses import dataclass
from pathlib import Path

from recops.artifacts import write_json
from recops.config.agent import AgentConfig
from recops.config.llm_baselines import LlmBaselinesConfig
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.records import Sample
from recops.retrieval.sasrec import SasRec, load_sasrec
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.train.callbacks import write_curve
from recops.train.llara import LLARA, LlaraReport, train_llara
from recops.train.llm_baseline import BaselineRun
from recops.train.s_dpo import S_DPO, SDpoReport, train_s_dpo

SYSTEMS = "systems.json"


@dataclass(frozen=True)
class LlmBaselinesReport:
    """How many samples of `policy_train` there were, and the numbers of each baseline; None where it is off."""

    samples: int
    llara: LlaraReport | None
    s_dpo: SDpoReport | None


def run_llm_baselines(io: StageIO, config: LlmBaselinesConfig, *, seed: int, agent: AgentConfig) -> LlmBaselinesReport:
    """Train the baselines that are on; write a folder for each, and which there are.

    Raises:
        InputError: an input is damaged or does not fit the others, there is no training sample, or a setting does not
            fit the candidates.
        FloatingPointError: the loss or the weights are not finite.
        RuntimeError: a training moved nothing.
    """
    splits, embeddings = io.input("validated_splits"), io.input("sasrec_embeddings")
    io.input("base_policy")
    store, sasrec = SampleStore.load(splits, embeddings), load_sasrec(embeddings)
    _check_catalogue(sasrec, store, embeddings)
    samples = [store.sample(int(sample_id)) for sample_id in store.sample_ids("policy_train")]
    _check_samples(samples, config)
    run = BaselineRun(io, config, agent, store, sasrec, samples, sub_seed(seed, io.stage))
    llara, llara_curve = train_llara(run, config.llara) if config.llara else (None, [])
    s_dpo, s_dpo_curve = train_s_dpo(run, config.s_dpo) if config.s_dpo else (None, [])
    trained = {LLARA: llara is not None, S_DPO: s_dpo is not None}
    write_json(io.out / SYSTEMS, {"systems": [name for name, on in trained.items() if on]})
    if any(trained.values()):
        write_curve([*llara_curve, *s_dpo_curve], io.out)
    return LlmBaselinesReport(samples=len(samples), llara=llara, s_dpo=s_dpo)


def _check_catalogue(sasrec: SasRec, store: SampleStore, folder: Path) -> None:
    if sasrec.num_items != store.num_items:
        raise InputError(
            folder,
            found=f"embeddings of {sasrec.num_items} items",
            expected=f"of the {store.num_items} items of validated_splits",
            next_step="Run the stage sasrec_embeddings again.",
        )


def _check_samples(samples: list[Sample], config: LlmBaselinesConfig) -> None:
    if not samples:
        step = "Change validated_splits.slices, or bring more data."
        raise InputError("slice policy_train", found="no samples", expected="at least one", next_step=step)
    most = len(samples[0].candidates) - 1
    if config.s_dpo is not None and config.s_dpo.num_negatives > most:
        raise InputError(
            "llm_baselines.s_dpo.num_negatives",
            found=config.s_dpo.num_negatives,
            expected=f"at most {most}: the candidates but the target",
            next_step="Lower num_negatives, or raise validated_splits.candidates.num_candidates.",
        )
