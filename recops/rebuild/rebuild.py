"""Makes a run of MLflow again from what it holds, and says whether what came out is what came out then."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recops.artifacts import verify
from recops.paths import Layout
from recops.rebuild.checkout import check_out, recorded_targets, use_remote
from recops.rebuild.recorded import RecordedRun, recorded_run
from recops.runner import numbers_of
from recops.versioning import remote_of, show_dvc


@dataclass(frozen=True)
class Difference:
    """A number of the report, then and now; None where there was, or is, none."""

    name: str
    then: float | None
    now: float | None


@dataclass(frozen=True)
class Rebuilt:
    """What came out.

    Attributes:
        artefact: where it lies.
        num_numbers: how many numbers its report has.
        differences: those that are others than in the run.
        changed_files: names of the artefact's files that have other bytes, or that only one of both has.
        libraries: what was installed in another version, as `NAME THEN -> NOW`.
        pulled_from: address of the DVC remote, None where everything was computed.
    """

    run: RecordedRun
    artefact: Path
    num_numbers: int
    differences: tuple[Difference, ...]
    changed_files: tuple[str, ...]
    libraries: tuple[str, ...]
    pulled_from: str | None

    @property
    def is_same(self) -> bool:
        """Whether every file has the bytes, and every number the value, that it had."""
        return not self.differences and not self.changed_files


def rebuild(root: Path, run_id: str, folder: Path, *, compute: bool) -> Rebuilt:
    """Make the artefact of a run again, with everything that it was made from.

    Args:
        root: the project, whose MLflow has the run, whose git has its commit, and whose DVC remote is pulled from.
        run_id: in MLflow.
        folder: empty or not there; becomes a checkout of its own.
        compute: pull nothing, also where there is a remote.

    Raises:
        InputError: the run is unknown, cannot be made again, or the remote lacks its artefacts; a stage failed.
    """
    run = recorded_run(root, run_id)
    remote = None if compute or run.lock is None else remote_of(root)
    check_out(root, run, folder)
    if remote is not None:
        use_remote(root, remote, folder)
        step = f"Push them where they were made (make push), or compute them: recops rebuild {run_id} FOLDER --compute"
        show_dvc(folder, "pull", *recorded_targets(run, folder), next_step=step)
    step = f"Mend what the stage names; the checkout stays in {folder}."
    # After a pull there is nothing to do, unless something in the commit is not what dvc.lock says.
    show_dvc(folder, "repro", run.target, next_step=step)
    return _compared(run, folder, pulled_from=remote.url if remote else None)


def _compared(run: RecordedRun, folder: Path, *, pulled_from: str | None) -> Rebuilt:
    artefact = Layout(folder, run.name).artefact(run.stage)
    manifest = verify(artefact)
    then, now = (numbers_of(one["report"]) for one in (run.manifest, manifest))
    files_then, files_now = run.manifest["files"], manifest["files"]
    return Rebuilt(
        run=run,
        artefact=artefact,
        num_numbers=len(now),
        differences=tuple(
            Difference(name, then.get(name), now.get(name))
            for name in sorted({*then, *now})
            if then.get(name) != now.get(name)
        ),
        changed_files=tuple(
            name for name in sorted({*files_then, *files_now}) if files_then.get(name) != files_now.get(name)
        ),
        libraries=_other_libraries(run.manifest["libraries"], manifest["libraries"]),
        pulled_from=pulled_from,
    )


def _other_libraries(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    changed = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    return tuple(f"{name} {then.get(name, 'none')} -> {now.get(name, 'none')}" for name in changed)
