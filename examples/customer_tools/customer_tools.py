"""A tool for recops agents: what the shop's own database says about a customer.

The table `customer_attributes` has a row for every change: `user_id`, `name`, `value`, `valid_from` (UTC, no zone).
"""

import os
from datetime import UTC, datetime
from functools import cache
from typing import Literal

from sqlalchemy import Column, DateTime, Engine, MetaData, String, Table, create_engine, select

from recops.errors import InputError
from recops.tools.context import ToolContext

URL_VARIABLE = "CUSTOMER_DATABASE_URL"

ATTRIBUTES = Table(
    "customer_attributes",
    MetaData(),
    Column("user_id", String),
    Column("name", String),
    Column("value", String),
    Column("valid_from", DateTime),
)


def get_customer_attribute(context: ToolContext, name: Literal["segment", "city"]) -> str:
    """What the shop's own records say of the user.

    Args:
        name: segment or city
    """
    table = ATTRIBUTES.c
    moment = datetime.fromtimestamp(context.now / 1000, UTC).replace(tzinfo=None)
    newest = (
        select(table.value)
        .where(table.user_id == context.user_id, table.name == name, table.valid_from < moment)
        .order_by(table.valid_from.desc())
        .limit(1)
    )
    with _engine(_url()).connect() as connection:
        value = connection.execute(newest).scalar()
    return f"{name}: {context.clean(value)}" if value else f"No {name} is known."


def _url() -> str:
    url = os.environ.get(URL_VARIABLE)
    if not url:
        step = f"export {URL_VARIABLE}=postgresql+psycopg://reader@db.example/shop"
        raise InputError(URL_VARIABLE, found="nothing", expected="an SQLAlchemy URL", next_step=step)
    return url


@cache
def _engine(url: str) -> Engine:
    """One pool of connections for all threads of a stage."""
    return create_engine(url, pool_pre_ping=True)
