"""What was found of a config, written out as a card is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from estbench.card.render import table
from estbench.card.strict_json import strict
from estbench.config import load
from estbench.engine.benchmark import kept_apart
from estbench.engine.guarded import demand_survived
from estbench.expand import expand
from estbench.isolation import stdout_to_stderr
from estbench.preflight.check import FALSE, Check, checked
from estbench.printable import plain
from estbench.tables.junit import Case, junit


def config_card(config: Path) -> ConfigCard:
    """The check of a config. UsageError where it cannot be read, or a plug-in ends the process that reads it."""
    demand_survived(config)
    read = load(config)
    with stdout_to_stderr():
        found = checked(expand(read), apart=kept_apart(read))
    return ConfigCard(plain(config), found)


@dataclass(frozen=True, repr=False)
class ConfigCard:
    """What a check of a config found, under its name. `ok`: nothing is wrong, as far as was looked."""

    target: str
    found: Check

    def __str__(self) -> str:
        return self.to_markdown()

    __repr__ = __str__

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.found.well

    def to_json(self) -> str:
        """JSON: `ok`, and all rows and lines of the check."""
        return strict({"target": self.target, "ok": self.ok, **asdict(self.found)})

    def to_markdown(self) -> str:
        """Markdown (GitHub's): three tables and the faults."""
        lines = [f"# {self.target}", "", "**ok**" if self.ok else "**failed**"]
        for rows in (self.found.problems, self.found.objectives, self.found.estimators):
            if rows:
                lines += ["", *table(list(rows[0]), [[str(cell) for cell in row.values()] for row in rows])]
        for head, told in (("Not checked", self.found.unchecked), ("Faults", self.found.faults)):
            lines += ["", f"{head}:", "", *(f"- {line}" for line in told)] if told else []
        return "\n".join(lines) + "\n"

    def to_junit(self) -> str:
        """XML as JUnit writes it: a test case for each objective and each estimator."""
        return junit({self.target: list(self._cases())})

    def _cases(self) -> Iterator[Case]:
        told = list(self.found.faults)
        for kind, rows in (("objective", self.found.objectives), ("estimator", self.found.estimators)):
            for row in rows:
                own = [line for line in told if line.startswith(f"{row[kind]}: ")]
                if row["verdict"] == FALSE:
                    told = [line for line in told if line not in own]
                    yield Case(f"{kind} {row[kind]}", failure="\n".join(own) or row["checked"], kind="false")
                elif str(row["checked"]).startswith("not checked"):
                    yield Case(f"{kind} {row[kind]}", skipped=row["checked"])
                else:
                    yield Case(f"{kind} {row[kind]}", f"{row['verdict']}: {row['checked']}")
        for line in told:
            yield Case(line.partition(":")[0], failure=line, kind="false")
