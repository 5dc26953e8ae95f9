"""Experts, a file each. What needs a package imports it when the expert is made."""
