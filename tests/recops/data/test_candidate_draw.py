"""The benchmark of drawing candidates runs, in small: the command that docs/splits.md quotes."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import candidate_draw
from recops.config.validated_splits import CandidatesConfig
from recops.versioning import git_commit
from tests.pipeline.project import CHECKOUT


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_the_benchmark_draws_and_says_how_fast(
    negatives: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["candidate_draw", "--interactions", "4000", "--items", "200", "--negatives", negatives]
    )
    candidate_draw.main()
    told = capsys.readouterr().out
    assert re.search(r"^[\d,]+ samples in .* M a minute$", told, flags=re.MULTILINE)
    assert re.match(rf"commit {git_commit(Path(CHECKOUT))}, .+, \d+ cores, \d+ GiB, ", told), "what it is a timing of"


def test_the_candidates_that_the_page_shows_are_a_section() -> None:
    page = (Path(CHECKOUT) / "docs" / "splits.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"^`candidates: (\{.*?\})`", page, flags=re.MULTILINE)
    assert CandidatesConfig.model_validate(yaml.safe_load(shown)).further_negatives == ("popularity",)
