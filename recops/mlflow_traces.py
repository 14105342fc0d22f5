"""Writes traces into MLflow, all of a run at once.

MLflow's fluent calls write each span in a transaction of its own, to a store that is chosen per process, and say what
failed in a log only. Its client of traces takes whole traces, the store's address, and raises.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Any

from recops.traces import Step, Trace


def write_traces(tracking_uri: str, *, experiment_id: str, run_id: str, traces: Sequence[Trace]) -> None:
    """Write traces as those of a run."""
    from mlflow.tracing.client import TracingClient

    client = TracingClient(tracking_uri)
    spans: list[Any] = []
    for trace in traces:
        # Ids as OpenTelemetry has them: 16 and 8 random bytes. They are no part of any artefact.
        trace_id = f"tr-{secrets.token_hex(16)}"
        client.start_trace(_info(trace, trace_id, experiment_id=experiment_id, run_id=run_id))
        root = secrets.token_hex(8)
        spans.append(_span(trace.whole, trace_id, span_id=root, parent_id=None))
        spans += [_span(step, trace_id, span_id=secrets.token_hex(8), parent_id=root) for step in trace.steps]
    client.log_spans(experiment_id, spans)


def _info(trace: Trace, trace_id: str, *, experiment_id: str, run_id: str) -> Any:
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    whole = trace.whole
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=whole.started_ns // 1_000_000,
        execution_duration=(whole.ended_ns - whole.started_ns) // 1_000_000,
        state=TraceState.ERROR if whole.error else TraceState.OK,
        request_preview=_preview(whole.inputs),
        response_preview=_preview(whole.outputs),
        trace_metadata={"mlflow.sourceRun": run_id},
        tags={"mlflow.traceName": whole.name, **trace.tags},
        assessments=_feedback(trace, trace_id),
    )


def _feedback(trace: Trace, trace_id: str) -> list[Any]:
    from mlflow.entities import AssessmentSource, Feedback

    source = AssessmentSource(source_type="CODE", source_id="recops.agent.rewards")
    return [
        Feedback(name=name, value=value, source=source, trace_id=trace_id) for name, value in trace.feedback.items()
    ]


def _span(step: Step, trace_id: str, *, span_id: str, parent_id: str | None) -> Any:
    from mlflow.entities import Span

    attributes = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.spanType": step.kind,
        "mlflow.spanInputs": step.inputs,
        "mlflow.spanOutputs": step.outputs,
        **step.facts,
    }
    return Span.from_dict(
        {
            "trace_id": trace_id,
            "span_id": span_id,
            "parent_span_id": parent_id,
            "name": step.name,
            "start_time_unix_nano": step.started_ns,
            "end_time_unix_nano": step.ended_ns,
            "events": [],
            "status": {"code": "ERROR" if step.error else "OK", "message": step.error or ""},
            "attributes": {name: _json(value) for name, value in attributes.items()},
        }
    )


_PREVIEW_CHARACTERS = 1000


def _preview(content: Any) -> str:
    return _json(content)[:_PREVIEW_CHARACTERS]


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)
