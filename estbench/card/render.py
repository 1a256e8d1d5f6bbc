"""A card as text, Markdown, HTML and JUnit's XML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from estbench.card.findings import Beside, Finding
from estbench.printable import plain

if TYPE_CHECKING:
    from estbench.card.card import Card

HEADS = ("estimator", "N", "evaluations", "variance", "MSE", "cosine")
MEANING = "variance and MSE over ‖g‖²; evaluations of f and ∇f of one estimate"
INDENT = 13


def text(card: Card, width: int) -> str:
    """Lines no wider than `width`, where words allow it."""
    return "\n".join(_lines(card, width)) + "\n"


def headline(card: Card) -> str:
    """The verdict in one line."""
    failed = len(card.failures)
    if failed:
        return f"failed: {failed} of {len(card.findings)} claims"
    if not card.measured:
        return "failed: nothing is known of its mean"
    unseen = sum(f.status == "not checked" for f in card.findings)
    biased = any(f.status == "noted" for f in card.findings if f.claim == "unbiased")
    return ("ok, biased as meant" if biased else "ok") + (f"; {unseen} not checked" if unseen else "")


def _lines(card: Card, width: int) -> Iterator[str]:
    yield from _wrapped(f"{plain(card.target)} ({card.form}): {headline(card)}", width, 0)
    yield ""
    order = {"failed": 0, "not checked": 1, "noted": 2, "ok": 3}
    for f in sorted(merged(card.findings), key=lambda f: order[f.status]):
        yield from _finding(f, width)
    for bias in card.biases:
        yield ""
        yield f"The bias ({bias.distribution}):"
        for line in bias.lines:
            yield from _wrapped(f"- {line}", width, 2)
    for beside in card.beside:
        yield ""
        yield from _beside(beside, width)


def _finding(f: Finding, width: int) -> Iterator[str]:
    status = f"{f.status.upper() if f.status == 'failed' else f.status:<{INDENT - 1}} "
    yield from _wrapped(f"{status}{name(f)}: {plain(f.text)}", width, INDENT)
    if f.cause:
        yield from _wrapped(f"{'':<{INDENT}}usual cause: {plain(f.cause)}", width, INDENT)


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those that are the same for several distributions once."""
    found: dict[Finding, list[str]] = {}
    for f in findings:
        found.setdefault(replace(f, distribution=""), []).append(f.distribution)
    return [replace(f, distribution=" and ".join(filter(None, names))) for f, names in found.items()]


def name(f: Finding) -> str:
    """The claim, and of which variables."""
    return f"{f.claim} ({f.distribution})" if f.distribution else f.claim


def _wrapped(line: str, width: int, indent: int) -> list[str]:
    keep = len(line) - len(line.lstrip())
    return textwrap.wrap(
        line.lstrip(),
        max(width, 30),
        initial_indent=" " * keep,
        subsequent_indent=" " * min(indent, width // 3),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    ) or [""]


def _rows(beside: Beside) -> list[tuple[str, ...]]:
    numbers = [
        (
            plain(f.label),
            str(f.samples),
            f"{f.evaluations:g}",
            f"{f.relative_variance:.3g}",
            f"{f.relative_mse:.3g}",
            f"{f.cosine:.3f}",
        )
        for f in beside.figures
    ]
    return [HEADS, *numbers]


def _beside(beside: Beside, width: int) -> Iterator[str]:
    yield from _wrapped(f"Beside the nearest of the catalogue, on {beside.problem}:", width, 0)
    rows = _rows(beside)
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    room = max(8, width - sum(widths[1:]) - 2 * (len(HEADS) - 1))
    first = min(widths[0], room)
    for row in rows:
        label = row[0] if len(row[0]) <= first else f"…{row[0][1 - first :]}"
        cells = [label.ljust(first), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
    yield from _wrapped(MEANING + ".", width, 0)
    if beside.same:
        yield from _wrapped(f"It is {beside.same}.", width, 0)


def markdown(card: Card) -> str:
    """Headings, a table of findings, and the figures."""
    lines = [f"# {_md(card.target)} ({card.form})", "", f"**{headline(card)}**", ""]
    lines += _md_table(("claim", "status", "found", "usual cause"), [
        (name(f), f.status, f.text, f.cause) for f in merged(card.findings)
    ])  # fmt: skip
    for bias in card.biases:
        lines += ["", f"The bias ({bias.distribution}):", ""]
        lines += [f"- {_md(line)}" for line in bias.lines]
    for beside in card.beside:
        lines += ["", f"Beside the nearest of the catalogue, on {beside.problem} ({MEANING}):", ""]
        head, *rows = _rows(beside)
        lines += _md_table(head, rows)
        lines += ["", f"It is {beside.same}."] if beside.same else []
    return "\n".join(lines) + "\n"


def _md_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(_md(cell) for cell in row)} |" for row in rows]


def _md(cell: str) -> str:
    return plain(cell).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def html(card: Card) -> str:
    """For a notebook."""
    parts = [f"<p><b>{escape(plain(card.target))}</b> ({card.form}): <b>{escape(headline(card))}</b></p>"]
    parts.append(_html_table(("claim", "status", "found", "usual cause"), [
        (name(f), f.status, f.text, f.cause) for f in merged(card.findings)
    ]))  # fmt: skip
    for bias in card.biases:
        items = "".join(f"<li>{escape(plain(line))}</li>" for line in bias.lines)
        parts.append(f"<p>The bias ({escape(bias.distribution)}):</p><ul>{items}</ul>")
    for beside in card.beside:
        parts.append(f"<p>Beside the nearest of the catalogue, on {escape(beside.problem)} ({MEANING}):</p>")
        head, *rows = _rows(beside)
        parts.append(_html_table(head, rows))
        parts += [f"<p>It is {escape(beside.same)}.</p>"] if beside.same else []
    return "".join(parts)


def _html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align:left">{escape(plain(c))}</{tag}>' for c in cells) + "</tr>"

    return f"<table><thead>{row(head, 'th')}</thead><tbody>{''.join(row(r, 'td') for r in rows)}</tbody></table>"


def junit(cards: Sequence[Card]) -> str:
    """One test suite for each card, one test case for each claim; a card that measured nothing has a failure for it."""
    root = ElementTree.Element("testsuites", name="estbench check")
    for card in cards:
        cases = list(_cases(card))
        counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "skipped")}
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=plain(card.target),
            tests=str(len(cases)),
            failures=str(counts["failure"]),
            errors="0",
            skipped=str(counts["skipped"]),
        )
        suite.extend(cases)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _cases(card: Card) -> Iterator[ElementTree.Element]:
    for f in card.findings:
        case = _case(card, name(f))
        if f.status == "failed":
            told = f"{plain(f.text)}" + (f"\nusual cause: {plain(f.cause)}" if f.cause else "")
            ElementTree.SubElement(case, "failure", message=plain(f.text), type=f.key or "failed").text = told
        elif f.status == "not checked" and not f.partly:
            ElementTree.SubElement(case, "skipped", message=plain(f.text))
        else:
            ElementTree.SubElement(case, "system-out").text = plain(f.text)
        yield case
    if not card.measured:
        case = _case(card, "something was measured")
        ElementTree.SubElement(case, "failure", message="nothing is known of its mean", type="unmeasured")
        yield case


def _case(card: Card, claim: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname=plain(card.target), name=claim)
