"""Pages that open offline: one frame of head, colours and layout, which the templates of each page extend.

Jinja escapes every text: titles and values found are data of strangers. The content policy lets nothing be fetched.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FRAME = Path(__file__).parent / "templates"


def page_environment(templates: Path) -> Environment:
    """Return where the templates of a folder are rendered, each free to extend `offline_page.html`."""
    return Environment(
        loader=FileSystemLoader([templates, _FRAME]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
