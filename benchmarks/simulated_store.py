"""What each system reaches on a simulated store, by kind of user, as the table of docs/simulated_store.md.

After `recops run` (or the stages up to `baselines`): python -m benchmarks.simulated_store --recipe embedded
"""

import argparse
from pathlib import Path

from recops.artifacts import read_json
from recops.data.shop_rules import KINDS
from recops.evaluate.bounds import LEARNED
from recops.paths import Layout, project_root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="embedded")
    parser.add_argument("--slice", default="test", choices=["valid", "test"])
    arguments = parser.parse_args()
    print(table(Layout(project_root(), arguments.recipe).artefact("baselines"), arguments.slice))


def table(baselines: Path, slice_name: str) -> str:
    found = read_json(baselines / LEARNED)["slices"][slice_name]
    groups = ("all", *KINDS)
    head = ["system", *(f"{group} ({found['num_samples'][group]})" for group in groups), "learned"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for system, cells in sorted(found["systems"].items(), key=lambda pair: -pair[1]["all"]["ndcg@10"]):
        values = [f"{cells[group]['ndcg@10']:.3f}" for group in groups]
        lines.append(f"| {system} | {' | '.join(values)} | {cells['all']['learned']:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
