"""A copy of the catalogue in which one item of an episode says something else: what an injection is measured with."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recops.config.agent import CatalogueField
from recops.records import Task
from recops.tools.context import ToolContext
from recops.tools.item_text import ItemText
from recops.tools.toolbox import Toolbox

FIRST_ID = -2
"""Planted samples have ids from here downwards; -1 is the sample of a recommendation."""


class PlantedText(ItemText):
    """The catalogue with one field of one item overwritten."""

    def __init__(self, catalogue: ItemText, item: int, name: CatalogueField, shown: str) -> None:
        self._catalogue, self._planted, self._shown = catalogue, (item, name), shown

    def field(self, item: int, name: CatalogueField) -> str:
        """Return one field of an item as text."""
        return self._shown if (item, name) == self._planted else self._catalogue.field(item, name)

    def price(self, item: int) -> float | None:
        """Return the price of an item, None where it is absent."""
        return self._catalogue.price(item)


@dataclass(frozen=True)
class Plant:
    """A task, and the catalogue as its episode reads it."""

    task: Task
    text: ItemText


class PlantedToolbox(Toolbox):
    """A toolbox in which planted tasks read their own catalogue; everything else they are told is the sample's."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._plants: dict[int, Plant] = {}

    def planted(self, task: Task, item: int, name: CatalogueField, shown: str | None) -> Task:
        """Return the task under an id of its own, in whose episode the item's field reads `shown` (None: as it is)."""
        text = self.item_text if shown is None else PlantedText(self.item_text, item, name, shown)
        sample_id = FIRST_ID - len(self._plants)
        self._plants[sample_id] = Plant(task, text)
        return dataclasses.replace(task, sample=dataclasses.replace(task.sample, sample_id=sample_id))

    def context(self, task: Task) -> ToolContext:
        """Return what the tools of a task may look at; the sample's own id decides ties and is known to SASRec."""
        plant = self._plants[task.sample.sample_id]
        return dataclasses.replace(super().context(plant.task), item_text=plant.text)

    def uncut(self, task: Task, name: str, arguments: Mapping[str, Any]) -> str:
        """Return a tool's answer past every limit on its length: what an open door would let in."""
        return self.functions[name](self.context(task), **arguments)
