"""Libraries that need not be installed: the modules that use one say whether it is there."""

import importlib


def import_problem(module: str) -> str | None:
    """Why the module cannot be imported; None: it can."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return str(error)
    return None
