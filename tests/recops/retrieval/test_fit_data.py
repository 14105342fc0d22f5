from pathlib import Path

from recops.artifacts import write_json
from recops.retrieval.fit_data import read_fit_rows
from tests.recops.retrieval.small_splits import interactions, write_splits


def test_rows_are_read_from_the_slices_that_the_splits_name(tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits")
    rows = interactions()
    assert read_fit_rows(splits).items.tolist() == rows.filter(slice="tool_fit")["item"].to_list()
    write_json(splits / "splits.json", {"fitted_slices": ["tool_fit", "policy_train"]})
    naive = read_fit_rows(splits)
    training = rows.filter(rows["slice"].is_in(["tool_fit", "policy_train"]))
    assert naive.items.tolist() == training["item"].to_list()
    assert len(naive) > len(rows.filter(slice="tool_fit"))
