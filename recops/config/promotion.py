"""Recipe section `promotion`: when a newly registered model may take the place of the one that serves.

No stage reads it: a limit that changes makes no artefact stale.
"""

from typing import Annotated

from pydantic import Field

from recops.config.section import Section

Share = Annotated[float, Field(ge=0, le=1)]


class PromotionConfig(Section):
    """Limits of `recops promote`.

    `margin` is the loss in NDCG@10 that counts as none: the lower end of the interval of the paired difference (drawn
    as in `evaluation_reports`) must be above minus the margin. `max_invalid_fraction` bounds invalid answers on the
    newest candidates; `max_gained_fraction` the episodes in which the strongest planted text lifts its item, and null
    asks nothing of it; `max_latency_p95_seconds` what 95 % of the `num_latency_requests` take that are timed when a
    model is registered, on the machine that registers it.
    """

    margin: Share
    max_invalid_fraction: Share
    max_gained_fraction: Share | None
    max_latency_p95_seconds: Annotated[float, Field(gt=0)]
    num_latency_requests: Annotated[int, Field(ge=1)]
