"""What the package loads: ``python -m xares.run --max-jobs 0 opendasheng/evaluate/xares/entry.py tasks/TASK.py``.

X-ARES turns that path into the name of this module, so it works from any folder, and calls the one name in it that
ends in ``Encoder``. The model is named by the environment variable OPENDASHENG_XARES_MODEL (default ``mini``), in the
words of :func:`opendasheng.evaluate.xares.encoder.load_encoder`: a folder, a hub id, a ``.safetensors`` file of an
encoder alone, or ``random:NAME`` for one before training.
"""

import os

from opendasheng.evaluate.xares import encoder

MODEL = "OPENDASHENG_XARES_MODEL"


def OpenDashengEncoder() -> encoder.XaresEncoder:
    """The encoder of the model that OPENDASHENG_XARES_MODEL names."""
    return encoder.load_encoder(os.environ.get(MODEL, "mini"))
