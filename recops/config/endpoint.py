"""A model behind an endpoint that speaks the OpenAI chat protocol: it may teach, and is never trained."""

from typing import Annotated

from pydantic import Field

from recops.config.section import Section


class EndpointConfig(Section):
    """Where a model answers, and what is done when it does not.

    Attributes:
        url: what stands before `/chat/completions`; may hold variables of the environment (`${NAME}`).
        model: as the server calls it; may hold variables too.
        api_key_variable: variable of the environment that holds the key, which no file ever does; null for none.
        control_tokens: what the model's tokenizer takes for control tokens, beside everything in angle brackets.
        timeout_seconds: of one request, and the longest wait that a server may ask for.
        max_retries: how often a request is sent again after a time-out, a 429, a server's error or nonsense.
        backoff_seconds: before the first retry; each later wait is twice as long.
        concurrency: how many episodes are played at a time.
        max_failed_fraction: share of episodes that may end without an answer of the endpoint.
    """

    url: str
    model: str
    api_key_variable: str | None
    control_tokens: tuple[str, ...]
    timeout_seconds: Annotated[float, Field(gt=0)]
    max_retries: Annotated[int, Field(ge=0)]
    backoff_seconds: Annotated[float, Field(gt=0)]
    concurrency: Annotated[int, Field(ge=1)]
    max_failed_fraction: Annotated[float, Field(ge=0, le=1)]
