"""The one place that imports OpenVINO, which otherwise reports its import to its vendor over the network.

The package's own `__init__` imports its conversion tools if it can, and those send an event to Google
Analytics at once, and leave an identifier in `~/intel`, unless the user has opted out beforehand. Running a
model needs none of these tools, and the package goes on without them: with 14 MB less and in a third of the
time.
"""

import importlib
import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """Import OpenVINO without its tools.

    Returns:
        The module.

    Raises:
        ImportError: Where it is not installed or broken.
    """
    # What is None here counts as not installed. Left so: a later import of the tools would report as well.
    sys.modules.setdefault("openvino.tools", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")
