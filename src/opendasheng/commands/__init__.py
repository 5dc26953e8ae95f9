"""The sub-commands that run a model or show what there is, one file each."""
