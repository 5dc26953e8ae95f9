"""Builders that turn named public packages into shards of clips with transcripts, labels and captions."""
