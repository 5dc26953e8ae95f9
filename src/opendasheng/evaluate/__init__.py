"""Evaluation: tasks as data, predictions kept row by row, metrics in two definitions, and reports made from them."""
