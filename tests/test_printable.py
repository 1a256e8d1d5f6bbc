"""Text that can be printed."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from estbench.cli.catalogue import contents
from estbench.outputs import TableFormat
from estbench.printable import wrapped
from estbench.tables.formats import encode

PAGE = """mine

Of a class that is named.

A first line of prose that is as long as the source is wide, so that the next word would have been one too many: the
second goes on. An end.
A line of its own.

Options       a=1, b=2, c=3, d=4, e=5
Family        score function

scale  the proxy's own parameter, where it has one,
       by default its paper's

@misc{key,
  title = {{A title that is longer than the page is wide}},
}
"""

AT_40 = """mine

Of a class that is named.

A first line of prose that is as long as
the source is wide, so that the next
word would have been one too many: the
second goes on. An end.
A line of its own.

Options       a=1, b=2, c=3, d=4, e=5
Family        score function

scale  the proxy's own parameter, where
       it has one, by default its
       paper's

@misc{key,
  title = {{A title that is longer than the page is wide}},
}
"""


def test_a_page_is_wrapped_at_words() -> None:
    """Prose is filled anew, the second column of two stays a column, and BibTeX is left as it is."""
    assert wrapped(PAGE, 40) == AT_40
    assert wrapped(AT_40, 40) == AT_40


@pytest.mark.parametrize("width", [80, 120])
def test_every_page_of_the_catalogue_fits(width: int) -> None:
    """No line but of BibTeX is longer than the terminal is wide, and no word is lost."""
    for name, page in contents().pages.items():
        text = wrapped(page, width)
        assert text.split() == page.split(), name
        assert max(map(len, text.partition("\n@")[0].splitlines())) <= width, name


@pytest.mark.parametrize("file_format", ["csv", "json", "markdown", "latex"])
def test_no_format_passes_on_what_steers_a_terminal(file_format: TableFormat) -> None:
    """ESC, DEL, C1 and bidirectional characters are escapes, or left out for readers; JSON has the text as it was."""
    text = "a\x1b[31m\x7f\x9b5m\u202eb\r"
    content = encode(pd.DataFrame({"label": [text]}), file_format).decode()
    assert all(line.isprintable() for line in content.split("\n"))
    if file_format == "json":
        assert json.loads(content) == [{"label": text}]
