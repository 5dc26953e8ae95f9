"""What follows from the findings of a clip: its domain and category, and captions by the template."""

from opendasheng.curate.categories import category_of, domain_of
from opendasheng.curate.record import Record
from opendasheng.curate.template import captions_of


def describe(record: Record) -> Record:
    """The same with all of it; a dropped record as it is."""
    if record.dropped is not None:
        return record
    return record.model_copy(
        update={
            "domain": record.domain or domain_of(record),  # a source may know better
            "category": category_of(record),
            "captions": {**record.captions, "template": captions_of(record)},
        }
    )
