"""How every HTML report is made: text from files and metadata is never markup, and never hides what it says."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

# Characters that could disguise a name on the page (controls, direction overrides) or cannot be written as UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def environment(templates: Path) -> Environment:
    """The templates in the folder ``templates``, autoescaped; an undefined name is an error."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: object) -> object:
    """What a template writes: text with every character that could hide or disguise something spelt out."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", value)
    return value
