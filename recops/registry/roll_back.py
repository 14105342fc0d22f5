"""Takes a promotion back: the version that was champion before serves again."""

from dataclasses import dataclass

from recops.paths import Layout
from recops.registry.model_registry import CHAMPION, ModelRegistry, one_at_a_time, registry_run
from recops.tracking import open_client


@dataclass(frozen=True)
class RolledBack:
    """Version `champion` serves again in the place of `removed`; `run_id` records it in MLflow."""

    champion: int
    removed: int
    run_id: str


def roll_back(layout: Layout) -> RolledBack:
    """Point `champion` to the version that held it before.

    The version that lost it is marked, so that no later `promote` gives it back by itself.

    Raises:
        InputError: there is no champion, or none before it.
    """
    with one_at_a_time(layout.root, layout.recipe):
        registry = ModelRegistry(layout.root, layout.recipe)
        with registry_run(layout.root, layout.recipe, action="rollback", parameters={}, tags={}) as tracker:
            champion, removed = registry.uncrown()
            client = open_client(layout.root)
            for key, value in {CHAMPION: champion, "removed": removed, "decision": "rolled back"}.items():
                client.set_tag(tracker.run_id, key, str(value))
        return RolledBack(champion, removed, tracker.run_id)
