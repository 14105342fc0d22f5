"""The door to MLflow's model registry: versions of one model, the two aliases, and who was champion before.

The name of a registered model is the recipe's. `challenger` is the version that was registered last, `champion` the one
that serves. Everything that happens to them is a run of the experiment `RECIPE.registry`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recops.artifacts import exclusive
from recops.errors import InputError
from recops.tracked_run import tracked_run
from recops.tracking import MlflowTracker, open_client, store_uri
from recops.versioning import git_commit

CHALLENGER, CHAMPION = "challenger", "champion"
BUNDLE_SHA256 = "bundle_sha256"
ROLLED_BACK = "rolled_back"
_CHAMPIONS = "champions"
"""Tag of the registered model: versions in the order in which they became champion, the current one last."""

_MAX_CHAMPIONS = 100


@dataclass(frozen=True)
class Version:
    """One version of the model; `artifacts` is where MLflow keeps its files."""

    number: int
    tags: dict[str, str]
    artifacts: str


class ModelRegistry:
    """Versions and aliases of one model."""

    def __init__(self, root: Path, name: str) -> None:
        self._client, self._root, self.name = open_client(root), root, name

    def aliased(self, alias: str) -> Version | None:
        """Return the version that an alias points to, None without one."""
        model = self._model()
        return self.version(int(model.aliases[alias])) if model and alias in model.aliases else None

    def version(self, number: int) -> Version:
        """Return one version."""
        found = self._client.get_model_version(self.name, str(number))
        artifacts = self._client.get_model_version_download_uri(self.name, str(number))
        return Version(number, dict(found.tags), artifacts)

    def find(self, bundle_sha256: str) -> Version | None:
        """Return the newest version of a model that was registered before, by its hash; None if it was not."""
        condition = f"name = '{self.name}' and tag.{BUNDLE_SHA256} = '{bundle_sha256}'"
        found = self._client.search_model_versions(condition, order_by=["version_number DESC"], max_results=1)
        return self.version(int(found[0].version)) if found else None

    def download(self, version: Version, folder: Path) -> Path:
        """Return a version's files: where MLflow keeps them if that is this machine, else a copy in `folder`."""
        import mlflow.artifacts

        uri = store_uri(self._root)
        location = None if version.artifacts.startswith(("file:", "/")) else str(folder)
        return Path(
            mlflow.artifacts.download_artifacts(artifact_uri=version.artifacts, dst_path=location, tracking_uri=uri)
        )

    def create(self, *, artifacts: str, run_id: str, model_id: str, tags: Mapping[str, str]) -> Version:
        """Add a version whose files lie at `artifacts`."""
        if self._model() is None:
            self._client.create_registered_model(self.name, description="The final policy of the recipe of this name.")
        made = self._client.create_model_version(
            self.name, artifacts, run_id=run_id, tags=dict(tags), model_id=model_id
        )
        return self.version(int(made.version))

    def challenge(self, number: int) -> None:
        """Point `challenger` to a version."""
        self._client.set_registered_model_alias(self.name, CHALLENGER, str(number))

    def crown(self, number: int) -> None:
        """Point `champion` to a version, and remember who held it before."""
        before = self._before(number)
        # The alias first: whoever is stopped in between finds a champion that is remembered by nobody, and no worse.
        self._client.set_registered_model_alias(self.name, CHAMPION, str(number))
        self._remember([*before, number])

    def uncrown(self) -> tuple[int, int]:
        """Point `champion` back to the version that held it before; return that one and the one that lost it.

        Raises:
            InputError: there is no champion, or none before it.
        """
        champion = self.aliased(CHAMPION)
        before = self._champions()
        while champion and before and before[-1] == champion.number:
            before.pop()
        if champion is None or not before:
            found = "no champion" if champion is None else f"version {champion.number}, and no champion before it"
            step = f"Promote a version: recops promote {self.name}"
            raise InputError(self.name, found=found, expected="a champion that took another's place", next_step=step)
        self.tag(champion.number, {ROLLED_BACK: "true"})
        self._remember(before)
        self._client.set_registered_model_alias(self.name, CHAMPION, str(before[-1]))
        return before[-1], champion.number

    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(self.name, str(number), key, value)

    def _before(self, number: int) -> list[int]:
        """The champions so far, and who holds the alias now even if somebody gave it by hand."""
        champions, current = self._champions(), self.aliased(CHAMPION)
        if current and current.number not in (number, *champions[-1:]):
            champions.append(current.number)
        return champions

    def _champions(self) -> list[int]:
        model = self._model()
        return [int(number) for number in model.tags.get(_CHAMPIONS, "").split()] if model else []

    def _remember(self, champions: list[int]) -> None:
        told = " ".join(map(str, champions[-_MAX_CHAMPIONS:]))
        self._client.set_registered_model_tag(self.name, _CHAMPIONS, told)

    def _model(self) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


@contextmanager
def one_at_a_time(root: Path, recipe: str) -> Iterator[Path]:
    """Keep other processes away from a recipe's registry for the block; give a folder for temporary files."""
    lock = root / "checkpoints" / recipe / "registry.lock"
    with exclusive(lock, wait=True):
        yield lock.parent


@contextmanager
def registry_run(
    root: Path, recipe: str, *, action: str, parameters: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[MlflowTracker]:
    """Record what is done to the registry as a run of the experiment `RECIPE.registry`."""
    told = {"recipe": recipe, "action": action, "git_commit": git_commit(root), **tags}
    with tracked_run(
        root, experiment=f"{recipe}.registry", name=action, parameters=parameters, tags=told, resume=None
    ) as tracker:
        yield tracker
