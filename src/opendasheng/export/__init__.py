"""Models out of what they were made in: training runs, pickled checkpoints, adapters and what they belong to."""

from opendasheng.export.adapters import export_adapters, read_adapters
from opendasheng.export.pickles import Exported, export_pickle
from opendasheng.export.runs import export_run, new_folder, write_model

__all__ = [
    "Exported",
    "export_adapters",
    "export_pickle",
    "export_run",
    "new_folder",
    "read_adapters",
    "write_model",
]
