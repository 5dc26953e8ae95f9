"""Reports: what prediction files score, as JSON, Markdown and one self-contained page, and how two models compare.

Everything here is a function of the predictions: no times, no paths, no order of rows. The same answers give the same
bytes, whether a run was interrupted or not.
"""
