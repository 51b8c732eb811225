"""`python -m bench [NAME ...]`: run the benchmarks, print a table, write bench/results/NAME.json."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

BENCHMARKS = {
    "mining": "bench.mining",
    "zoo": "bench.zoo",
    "large": "bench.large",
    "load": "bench.load",
    "match_http": "bench.match_http",
    "pages": "bench.pages",
    "inversion": "bench.inversion",
    "map": "bench.map",
}
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> int:
    """Exit code 0, or 2 for an unknown name."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        print(f"no benchmark '{unknown[0]}'; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(exist_ok=True)
    table = Table("benchmark", "figure", "value")
    table.columns[2].justify = "right"
    for name in names or BENCHMARKS:
        print(f"running {name} ...", file=sys.stderr)
        figures = import_module(BENCHMARKS[name]).run()
        (RESULTS / f"{name}.json").write_text(json.dumps({name: figures}, indent=1) + "\n")
        for figure, value in figures.items():
            table.add_row(
                name,
                figure,
                f"{value:,.3g}"
                if isinstance(value, float) and abs(value) < 1000
                else f"{value:,.0f}"
                if isinstance(value, float)
                else str(value),
            )
        table.add_section()
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
