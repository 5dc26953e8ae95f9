"""Tables in Markdown: what stands in a cell does not break them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from opendasheng.markdown import cell, table


@given(st.text())
def test_a_cell_is_one_line_without_open_bars(text):
    found = cell(text)
    assert "\n" not in found
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", found)
    assert "<" not in found


def test_a_table_aligns_figures_to_the_right():
    assert table(["a", "b"], [["x", "1"]], right=(1,)) == "| a | b |\n| --- | ---: |\n| x | 1 |"
