"""Where data sets are published, and where their files lie after `recops fetch`."""

import re

from recops.errors import InputError

PUBLISHED_AT = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
DEFAULT_FOLDER = "${RECOPS_DATA:-../shared/data}/amazon_reviews_2023"

_CATEGORY = re.compile(r"[A-Za-z0-9_]+")


def published_urls(category: str, base_url: str) -> dict[str, str]:
    """Return the addresses of a category's files in Amazon Reviews 2023, under `reviews` and `meta`.

    Raises:
        InputError: the category cannot be the name of a file, or the address is not of the web.
    """
    if not _CATEGORY.fullmatch(category):
        step = "Write it as published, for example Musical_Instruments."
        raise InputError("--category", found=repr(category), expected="letters, digits and _", next_step=step)
    if not base_url.startswith(("https://", "http://")):
        step = f"The published address is {PUBLISHED_AT}"
        raise InputError("--base-url", found=repr(base_url), expected="an address with https://", next_step=step)
    base = base_url.rstrip("/")
    return {
        "reviews": f"{base}/review_categories/{category}.jsonl.gz",
        "meta": f"{base}/meta_categories/meta_{category}.jsonl.gz",
    }
