"""What the simulated store can be asked beside the next item: the planted case, what goes with an item, requests."""

import re

import numpy as np
import polars as pl

from recops.data.shop_catalogue import Catalogue
from recops.data.shop_communities import PLANTED_COMMUNITY
from recops.data.shop_rules import milliseconds_of
from recops.data.shop_words import ACCESSORIES, GAMES
from recops.data.shopper import user_id

FOLLOWING = 2
"""What goes with an item: so many that follow it in its community's order."""

_USERS_PER_REQUEST = 20
_REQUESTS = (
    "a gift for someone who loves {use}: a {noun}",
    "a {noun} for {use}, from {store} if they make one",
    "something for {category} in {colour}, a present for a friend who is into {use}",
)
_TEXTS = ("title", "category", "store", "description")


def planted_case(interactions: pl.DataFrame, users: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Return every interaction in which a user who has accessories of one console takes a game for another.

    No word of the game, its category or its store occurs in anything that the user took before. `user_id`, `item_id`
    and `timestamp` name the interaction, and with it the sample; `accessories` are the ids that came before.
    """
    led = users.filter(pl.col("community") == PLANTED_COMMUNITY)["user_id"]
    table = catalogue.table
    words = dict(zip(table["item_id"], (_words(*row) for row in table.select(_TEXTS).rows()), strict=True))
    category = dict(table.select("item_id", "category").iter_rows())
    found = []
    for (user,), events in interactions.filter(pl.col("user_id").is_in(led.implode())).group_by(
        "user_id", maintain_order=True
    ):
        before: list[str] = []
        for item, timestamp in events.sort("timestamp", maintain_order=True).select("item_id", "timestamp").iter_rows():
            accessories = [past for past in before if category[past] == ACCESSORIES]
            if (
                category[item] == GAMES
                and len(accessories) > 1
                and not any(words[item] & words[past] for past in before)
            ):
                found.append((user, item, timestamp, accessories))
            before.append(item)
    schema: dict[str, pl.DataType] = {
        "user_id": pl.String(),
        "item_id": pl.String(),
        "timestamp": pl.Int64(),
        "accessories": pl.List(pl.String()),
    }
    return pl.DataFrame(found, schema=schema, orient="row").sort("timestamp", "user_id")


def complements(catalogue: Catalogue) -> pl.DataFrame:
    """Return what goes with an item: the items that follow it in its community's order, the nearest first.

    Columns `item_id`, `complement_id`. Nothing in their words says so; those who took the one took the other.
    """
    pairs = [
        (int(item), int(order[(place + step) % len(order)]))
        for order in catalogue.communities
        for place, item in enumerate(order)
        for step in range(1, FOLLOWING + 1)
    ]
    ids = catalogue.table["item_id"]
    columns = zip(("item_id", "complement_id"), zip(*pairs, strict=True), strict=True)
    return pl.DataFrame({name: ids.gather(list(positions)) for name, positions in columns})


def requests(
    interactions: pl.DataFrame, catalogue: Catalogue, *, num_users: int, day: float, generator: np.random.Generator
) -> pl.DataFrame:
    """Return what some users ask for in words on a day, and the item that is meant, on sale and new to the user.

    Columns `user_id`, `timestamp`, `request`, `item_id`. Some requests fit more items than the one.
    """
    timestamp = milliseconds_of(day)
    before = interactions.filter(pl.col("timestamp") < timestamp)
    taken = dict(before.group_by("user_id").agg("item_id").iter_rows())
    users = generator.choice(num_users, size=max(1, num_users // _USERS_PER_REQUEST), replace=False)
    described = catalogue.table.select("item_id", "category", "store").hstack(catalogue.words)
    on_sale = described.filter(pl.Series(catalogue.release_day <= day)).to_dicts()
    rows = []
    for number in np.sort(users):
        new = [item for item in on_sale if item["item_id"] not in taken.get(user_id(number), ())]
        item = new[int(generator.integers(len(new)))]
        request = _REQUESTS[int(generator.integers(len(_REQUESTS)))].format(**item)
        rows.append((user_id(number), timestamp, request, item["item_id"]))
    schema = {"user_id": pl.String, "timestamp": pl.Int64, "request": pl.String, "item_id": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _words(*texts: str | None) -> set[str]:
    return set(re.findall(r"[a-z]+", " ".join(text or "" for text in texts).lower()))
