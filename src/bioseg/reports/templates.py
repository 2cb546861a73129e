"""The templates that lie in this folder."""

import jinja2


def environment() -> jinja2.Environment:
    """Where they are found; what is filled in is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("bioseg", "reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
