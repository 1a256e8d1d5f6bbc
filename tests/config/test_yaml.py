"""Reading configs: scalars by YAML 1.2, the place of every key, and files that are no configs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from estbench.config import document, load
from estbench.config.document import EXAMPLE, MAX_VALUES, parse, read
from estbench.config.scalar import scalar
from estbench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("1E3", 1000.0), (".5", 0.5), ("1.", 1.0), ("-4.0", -4.0), ("+7", 7), ("007", 7), ("0o17", 15),
        ("0x1F", 31), (".inf", math.inf), ("-.INF", -math.inf), ("~", None), ("", None), ("null", None), ("True", True),
        ("false", False), ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"), ("1_000", "1_000"),
        ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("1e", "1e"), ("0b11", "0b11"), ("tRue", "tRue"),
        ("nan", "nan"), ("inf", "inf"), ("1.5.2", "1.5.2"), ("0x", "0x"), ("e3", "e3"), (".", "."), ("-", "-"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    """`1e-3` is a number; `on`, `yes`, `1_000` and dates are text; types are exact."""
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_nan_and_numbers_too_long_for_int() -> None:
    """.nan is NaN, and thousands of digits are no trap."""
    assert math.isnan(scalar(".NaN"))
    assert scalar("9" * 5000) == math.inf


def test_quotes_make_text() -> None:
    """What is quoted is text, whatever it looks like."""
    assert parse("a: '1'\nb: \"true\"\nc: |\n  2\n", "x").data == {"a": "1", "b": "true", "c": "2\n"}


def test_every_key_and_value_has_its_place() -> None:
    """Lines and columns count from 1; what has no place of its own has that of what is around it."""
    doc = parse("a: 1\nlist:\n  - x\n  - {k: v}\n", "x.yaml")
    assert str(doc.place(("a",))) == "x.yaml:1:4"
    assert str(doc.place(("a",), key=True)) == "x.yaml:1:1"
    assert str(doc.place(("list", 0))) == "x.yaml:3:5"
    assert str(doc.place(("list", 1, "k"))) == "x.yaml:4:9"
    assert str(doc.place(("list", 1, "missing", 3))) == "x.yaml:4:5"
    assert doc.place(("list", 0)).text == "  - x"


def test_anchors_are_copied() -> None:
    """An alias is its anchor's value over again, not the same object."""
    data = parse("a: &x {k: [1, 2]}\nb: *x\n", "x").data
    assert data["b"] == data["a"] == {"k": [1, 2]}
    assert data["b"] is not data["a"]


def test_a_byte_order_mark_is_no_part_of_the_config(tmp_path: Path) -> None:
    """A file that begins with a BOM, or has Windows line ends, reads like any other."""
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfseed: 1\r\nname: a\r\n")
    doc = read(tmp_path / "x.yaml")
    assert doc.data == {"seed": 1, "name": "a"}
    assert doc.place(("name",)).line == 2


BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"x.yaml:1:1: the config is empty ({EXAMPLE})"),
        (b"# only a comment\n", f"x.yaml:1:1: the config is empty ({EXAMPLE})"),
        (b"hello", f"x.yaml:1:1: expected key: value, got 'hello' ({EXAMPLE})"),
        (b"- a\n- b\n", f"x.yaml:1:1: expected key: value, got a list ({EXAMPLE})"),
        (b"name: caf\xe9\n", "x.yaml:1:10: not UTF-8 text; save the config as UTF-8"),
        ("seed: 1".encode("utf-16"), "x.yaml:1:1: not UTF-8 text; save the config as UTF-8"),
        (b"name: a\x07\n", "x.yaml:1:8: not YAML: a control character"),
        (b"a:\n\t- b\n", "x.yaml:2:1: a tab: YAML is indented with spaces"),
        (b"seed: 1: 2\n", "x.yaml:1:8: not YAML: mapping values are not allowed here"),
        (b"a: [1, 2\nb: 3\n", "x.yaml:2:2: not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'"),
        (
            b"estimators: [ste, reinforce[baseline=mean]]\n",
            "x.yaml:1:28: not YAML: while parsing a flow sequence, expected ',' or ']', but got '['; "
            'inside [...] write an option in quotes, "name[option=value]"',
        ),
        (
            b"seed: !!python/object/apply:os.system ['ls']\n",
            "x.yaml:1:7 seed: the tag !!python/object/apply:os.system is not allowed; give a plain value",
        ),
        (b"a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document starts here; a config is one"),
        (b"? [a, b]\n: 1\n", "x.yaml:1:3: a key must be a plain name"),
        (b"a: *b\n", "x.yaml:1:4 a: *b has no finished &b before it"),
        (b"a: &a [*a]\n", "x.yaml:1:8 a[0]: *a has no finished &a before it"),
        (BOMB.encode(), f"x.yaml:5:20 a4[2]: aliases that unfold to more than {MAX_VALUES} values"),
        (b"a: " + b"[" * 10_000, "x.yaml:1:44 a: nested more than 40 levels deep"),
        (b"#" * 10_000_000, "x.yaml: larger than 1 MB, which no config needs; is it the right file?"),
    ],
    ids=lambda value: value[:20].decode("latin1") if isinstance(value, bytes) else "",
)
def test_a_file_that_is_no_config_gets_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    """Empty, binary, broken, malicious or huge: where, and what to do."""
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load("x.yaml")
    assert str(caught.value).splitlines()[0] == message


def test_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit to the number of values, and it is the number of values."""
    monkeypatch.setattr(document, "MAX_VALUES", 1000)
    assert len(parse(f"[{'1,' * 999}]", "x").data) == 999
    with pytest.raises(UsageError, match="more than 1000 values"):
        parse(f"[{'1,' * 1000}]", "x")


def test_files_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file names its neighbours; a folder is called a folder."""
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/a.yaml").touch()
    with pytest.raises(UsageError, match=r"^configs/b.yaml: no such file; there is configs/a.yaml$"):
        load("configs/b.yaml")
    with pytest.raises(UsageError, match=rf"^nowhere/b.yaml: no such file \({EXAMPLE}\)$"):
        load("nowhere/b.yaml")
    with pytest.raises(UsageError, match=r"^configs: this is a folder; give a config file "):
        load("configs")


def test_a_long_line_is_shown_around_the_fault(tmp_path: Path) -> None:
    """Of a line of thousands of characters the excerpt shows the part with the caret, which points at the fault."""
    (tmp_path / "x.yaml").write_text(f"problems: [{' ' * 5000}{{a: 1, a: 2}}]\n")
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "x.yaml")
    lines = str(caught.value).splitlines()
    at = next(i for i, line in enumerate(lines) if "given twice" in line)
    excerpt, caret = lines[at + 1 : at + 3]
    assert len(excerpt) < 140
    assert excerpt[caret.index("^") :].startswith("a: 2")


def test_what_is_shown_cannot_steer_a_terminal() -> None:
    """Control characters that escapes bring into a config do not reach the message."""
    with pytest.raises(UsageError) as caught:
        load({"name": "a", "\x1b[31m": "\x1b]0;x\x07", "problems": [], "estimators": []})
    assert "\x1b" not in str(caught.value)
