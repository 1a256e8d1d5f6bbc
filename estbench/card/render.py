"""A card as text, Markdown, HTML and JUnit's XML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape
from math import isnan

from estbench.card.findings import Beside, Finding, Findings
from estbench.printable import plain
from estbench.tables.junit import Case

HEADS = ("estimator", "N", "evaluations", "variance", "MSE", "cosine")
MEANING = "variance and MSE over ‖g‖²; evaluations of f and ∇f of one estimate"
INDENT, LABEL = 13, 20
LEAST = (2, 3, 1)
"""Columns that are left out where they do not fit, in this order."""


def text(card: Findings, width: int) -> str:
    """Lines no wider than `width`, where words allow it."""
    return "\n".join(_lines(card, width)) + "\n"


def headline(card: Findings) -> str:
    """The verdict in one line."""
    failed = len(card.failures)
    if failed:
        return f"failed: {failed} of {len(card.findings)} claims"
    if not card.measured:
        return f"failed: {unmeasured(card)}"
    unseen = [_part(f) for f in merged(card.findings) if f.status == "not checked"]
    biased = any(f.status == "noted" for f in card.findings if f.claim == "unbiased")
    ok = "ok as far as it was checked" if unseen else "ok"
    return ok + ", biased as meant" * biased + (f"; not checked: {', '.join(unseen)}" if unseen else "")


def unmeasured(card: Findings) -> str:
    """Of which mean nothing is known."""
    where = [f"{f.distribution}: {', '.join(f.unchecked)}" for f in card.unmeasured if f.unchecked]
    return "nothing is known of its mean" + (f" ({'; '.join(where)})" if where else "")


def _part(f: Finding) -> str:
    """A claim that was not checked, and where."""
    return f"{name(f)} on {', '.join(f.unchecked)}" if f.unchecked else name(f)


def _lines(card: Findings, width: int) -> Iterator[str]:
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
    return [replace(f, distribution=" and ".join(dict.fromkeys(filter(None, names)))) for f, names in found.items()]


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
            _number(f.relative_variance, ".3g"),
            _number(f.relative_mse, ".3g"),
            _number(f.cosine, ".3f"),
        )
        for f in beside.figures
    ]
    return [HEADS, *numbers]


def _number(x: float, form: str) -> str:
    return "–" if isnan(x) else f"{x:{form}}"


def _beside(beside: Beside, width: int) -> Iterator[str]:
    yield from _wrapped(f"Beside the nearest of the catalogue, on {beside.problem}:", width, 0)
    rows = _rows(beside)
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    kept = list(range(1, len(HEADS)))
    for out in LEAST:
        if sum(widths[i] + 2 for i in kept) + min(widths[0], LABEL) > width:
            kept.remove(out)
    first = min(widths[0], width - sum(widths[i] + 2 for i in kept))
    for row in rows:
        label = row[0] if len(row[0]) <= first else f"…{row[0][1 - first :]}"
        yield "  ".join([label.ljust(first), *(row[i].rjust(widths[i]) for i in kept)]).rstrip()
    if len(kept) < len(HEADS) - 1:
        left = ", ".join(HEADS[i] for i in range(1, len(HEADS)) if i not in kept)
        yield from _wrapped(f"Left out at this width: {left}.", width, 0)
    yield from _wrapped(MEANING + ".", width, 0)
    if beside.same:
        yield from _wrapped(f"It is {beside.same}.", width, 0)


def markdown(card: Findings) -> str:
    """Headings, a table of findings, and the figures."""
    lines = [f"# {_md(card.target)} ({card.form})", "", f"**{headline(card)}**", ""]
    lines += table(("claim", "status", "found", "usual cause"), [
        (name(f), f.status, f.text, f.cause) for f in merged(card.findings)
    ])  # fmt: skip
    for bias in card.biases:
        lines += ["", f"The bias ({bias.distribution}):", ""]
        lines += [f"- {_md(line)}" for line in bias.lines]
    for beside in card.beside:
        lines += ["", f"Beside the nearest of the catalogue, on {beside.problem} ({MEANING}):", ""]
        head, *rows = _rows(beside)
        lines += table(head, rows)
        lines += ["", f"It is {beside.same}."] if beside.same else []
    return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown, line by line."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(_md(cell) for cell in row)} |" for row in rows]


def _md(cell: str) -> str:
    return plain(cell).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def html(card: Findings) -> str:
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


def cases(card: Findings) -> list[Case]:
    """One test case for each claim, and one that fails where nothing was measured."""
    found = [_case(f) for f in card.findings]
    if not card.measured:
        found.append(Case("something was measured", failure=unmeasured(card), kind="unmeasured"))
    return found


def _case(f: Finding) -> Case:
    if f.status == "failed":
        cause = f"\nusual cause: {f.cause}" if f.cause else ""
        return Case(name(f), failure=f.text + cause, kind=f.key or "failed")
    if f.status == "not checked" and not f.partly:
        return Case(name(f), skipped=f.text)
    return Case(name(f), f.text)
