"""Detection of optional libraries."""

import importlib


def import_problem(module: str) -> str | None:
    """Return why the module cannot be imported; None if it can."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return str(error)
    return None
