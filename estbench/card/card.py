"""The report card: findings about one estimator that can be written out in several formats."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass

from estbench.card import render
from estbench.card.findings import Findings
from estbench.card.strict_json import strict
from estbench.tables.junit import junit


@dataclass(frozen=True)
class Card(Findings):
    """What was found about one estimator. It prints itself."""

    def to_text(self, width: int = 100) -> str:
        """Lines no wider than that; what fails has lines of its own."""
        return render.text(self, width)

    def to_markdown(self) -> str:
        """Markdown (GitHub's)."""
        return render.markdown(self)

    def to_junit(self) -> str:
        """XML as JUnit writes it and CI services read it: one test case for each claim."""
        return junit({self.target: render.cases(self)})

    def to_json(self) -> str:
        """JSON: the target, `ok`, and all findings with their status, text and cause. NaN and infinity are null."""
        return strict(self.to_dict())

    def to_dict(self) -> dict[str, object]:
        """What `to_json` writes."""
        findings = [{**asdict(f), "status": f.status} for f in self.findings]
        return {
            "target": self.target,
            "form": self.form,
            "ok": self.ok,
            "measured": self.measured,
            "findings": findings,
            "bias": [asdict(b) for b in self.biases],
            "beside": [asdict(b) for b in self.beside],
        }

    def __str__(self) -> str:
        return self.to_text(max(40, min(shutil.get_terminal_size((100, 24)).columns, 120)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return render.html(self)
