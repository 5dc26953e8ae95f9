"""Models out of what they were made in: training runs, pickled checkpoints, adapters and what they belong to."""

from opendasheng.export.adapters import export_adapters
from opendasheng.export.pickles import Exported, export_pickle
from opendasheng.export.runs import Told, export_run, new_folder, read_told, write_model

__all__ = [
    "Exported",
    "Told",
    "export_adapters",
    "export_pickle",
    "export_run",
    "new_folder",
    "read_told",
    "write_model",
]
