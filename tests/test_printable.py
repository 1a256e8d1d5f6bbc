"""Text that can be printed."""

from __future__ import annotations

import pytest

from estbench.cli.catalogue import contents
from estbench.printable import wrapped

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
