"""Where the rows of a task come from: a file for each kind of data set. All give :class:`~.base.Record`."""
