"""The results of every suite as one HTML page that opens offline: nothing is fetched from anywhere, and no script runs.

Great Expectations' own pages load from the internet. Jinja escapes every text: values found are data of strangers.
"""

from pathlib import Path
from typing import Any

from recops.offline_page import page_environment

_TEMPLATES = Path(__file__).parent / "templates"


def render_validation(validation: dict[str, Any], report: dict[str, Any]) -> str:
    """Return the page; equal input gives equal text.

    Args:
        validation: content of validation.json.
        report: the numbers of the stage.
    """
    environment = page_environment(_TEMPLATES)
    environment.filters["found"] = _found
    return environment.get_template("validation_page.html").render(
        suites=validation["suites"],
        quarantine=validation["quarantine"],
        warnings=validation["warnings"],
        fractions=report["quarantine_fraction"],
        dropped=report["dropped"],
        tally=report["expectations"],
        report=report,
    )


def _found(one: dict[str, Any]) -> str:
    """What an expectation found, in words: how many values break it, or the value itself."""
    if "found" in one:
        return ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in one["found"][:5])
    if one.get("unexpected_count"):
        return f"{one['unexpected_count']} of {one['element_count']}"
    return str(one.get("observed_value", ""))
