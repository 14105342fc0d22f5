"""From published-looking files to the report of the splits: every count equals one made from the lines by hand."""

import random
from collections import Counter
from pathlib import Path

from recops.artifacts import write_manifest
from recops.config.raw_data import RawDataConfig
from recops.data.sources import run_raw_data
from recops.data.splits import run_validated_splits
from tests.recops.data.small_source import DAY, FIRST_TIME, meta, review, splits_config, stage_io, write_lines


def test_the_counts_of_the_stages_equal_those_of_the_lines(tmp_path: Path) -> None:
    draw = random.Random(11)
    users, items = [f"u{number}" for number in range(30)], [f"i{number}" for number in range(20)]
    lines = [
        review(user_id=draw.choice(users), parent_asin=draw.choice(items), timestamp=FIRST_TIME + day * DAY)
        for day in range(400)
    ]
    lines += [dict(line) for line in draw.sample(lines, 25)]  # exact repeats
    lines += [review(user_id="once", parent_asin="i1"), review(user_id="u1", parent_asin="i2", rating=9.0)]
    lines += [review(user_id="u2", parent_asin="i3", timestamp=FIRST_TIME // 1000)]
    write_lines(tmp_path / "reviews.jsonl.gz", lines)
    write_lines(tmp_path / "meta.jsonl.gz", [meta(parent_asin=item) for item in [*items, "unsold"]])

    source = {"kind": "amazon_reviews_2023", "folder": tmp_path, "reviews": "reviews.jsonl.gz", "meta": "meta.jsonl.gz"}
    raw_io = stage_io("raw_data", tmp_path)
    raw = run_raw_data(raw_io, RawDataConfig.model_validate({"source": source}), seed=3)
    write_manifest(raw_io.out, {})
    report = run_validated_splits(stage_io("validated_splits", tmp_path), splits_config(), seed=3)

    assert (raw.num_interactions, raw.num_users, raw.num_items) == (len(lines), 31, 21)
    good = [line for line in lines if line["rating"] == 4.0 and line["timestamp"] >= FIRST_TIME]
    triples = {(line["user_id"], line["parent_asin"], line["timestamp"]) for line in good}
    per_user = Counter(user for user, _, _ in triples)
    assert report.quarantine == {"interactions": {"rating_out_of_range": 1, "time_in_seconds": 1}}
    assert report.dropped["exact_repeats"] == len(good) - len(triples)
    assert report.dropped["interactions_outside_core"] == 1  # of the user with one
    assert report.dropped["items_outside_core"] == 1
    assert report.num_interactions == len(triples) - 1
    assert report.num_users == sum(count >= 2 for count in per_user.values())
    assert report.num_items == len({item for _, item, _ in triples})
