"""Which pairs of a tuned model and a cell are evaluated, and how many have seen test images."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import subject_number
from orchestrator.execution.plan import Plan
from orchestrator.scores.score_table import is_named
from trainables.data.stimuli import KnownStimuli
from trainables.results.outcome import Outcome
from trainables.results.score_files import score_file
from trainables.spec import Cell, Pooled, Trial, Untuned
from trainables.spec.evaluation import Evaluation, Work, serves

NOD: Final = "nod"
SHOWN: Final = 6

Pairing = Callable[[Trial, Cell], bool]
"""Tells whether a model is evaluated on a cell."""


@dataclass(frozen=True)
class Models:
    """The tuned trials of a sweep whose trunks can be evaluated."""

    trials: tuple[Trial, ...]
    n_without_data: int
    """How many more are left out, because the data that they were tuned on is not there."""


@dataclass(frozen=True)
class Choice:
    """Which models are evaluated; None and no names stand for all."""

    methods: tuple[str, ...] | None = None
    subjects: tuple[int, ...] | None = None
    """Numbers of subjects that a model was tuned on, all of them."""
    names: tuple[str, ...] = ()
    """Ids, beginnings of ids, or settings' 8 hex digits."""


def find_models(runs: Path, cells: Sequence[Cell]) -> Models:
    """Find the finished tuned trials of a sweep; raise InputError when there is none.

    cells: all of the data directory. A model that was tuned on others is left out: what it has
    seen can't be told.
    """
    found = [outcome.trial for outcome in _finished(runs) if _is_tuned(outcome.trial)]
    trials = [trial for trial in found if isinstance(trial, Trial)]
    known = set(cells)
    usable = tuple(trial for trial in trials if known.issuperset(trial.cells))
    if not trials:
        raise InputError(
            f"{runs}: holds no finished tuned trial; run python -m orchestrator.sweep first, "
            "or give --out the directory of a sweep"
        )
    if not usable:
        raise InputError(
            f"{runs}: none of its {len(trials)} tuned trials was tuned on the data that is given; "
            "give --data the directory that the sweep ran on"
        )
    return Models(usable, len(trials) - len(usable))


def _finished(runs: Path) -> Iterable[Outcome]:
    for path in sorted((runs / "trials").glob("[!.]*.json")):
        outcome = Outcome.read(runs, path.stem)
        if outcome is not None and outcome.status == "finished":
            yield outcome


def _is_tuned(work: Work) -> bool:
    """Tell whether a work is a tuned and scored trial: a search's trials are not scored."""
    return (
        isinstance(work, Trial)
        and not isinstance(work.objective, Untuned)
        and work.encoding is not None
    )


def choose(models: Sequence[Trial], choice: Choice) -> list[Trial]:
    """Keep the chosen models; raise InputError, with what there is, when none is left."""
    for name in choice.names:
        if not any(is_named(model, name) for model in models):
            raise InputError(f"--models {name}: no such model; there are {_some(models)}")
    kept = [m for m in models if not choice.names or any(is_named(m, n) for n in choice.names)]
    if choice.methods is not None:
        present = sorted({model.method for model in kept})
        kept = [model for model in kept if model.method in choice.methods]
        if not kept:
            raise InputError(
                f"no finished {' or '.join(choice.methods)} trial among the models, which are "
                f"{', '.join(present)}; run the sweep first, or name others by --methods"
            )
    if choice.subjects is not None:
        subjects = sorted({cell.subject for model in kept for cell in model.cells})
        kept = [model for model in kept if _numbers(model) <= set(choice.subjects)]
        if not kept:
            raise InputError(
                f"--model-subjects {','.join(map(str, choice.subjects))}: no model is tuned on "
                f"these alone; there are models of {', '.join(subjects)}"
            )
    return kept


def _numbers(model: Trial) -> set[int | None]:
    return {subject_number(cell.subject) for cell in model.cells}


def _some(models: Sequence[Trial]) -> str:
    names = sorted(model.id for model in models)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def is_transfer(model: Trial, cell: Cell) -> bool:
    """Pair a model of one cell with the same ROI and hemisphere of other subjects."""
    own = model.cells[0]
    same = len(model.cells) == 1 and own.dataset == cell.dataset and own.subject != cell.subject
    return same and serves(own, cell)


def is_onto_nod(model: Trial, cell: Cell) -> bool:
    """Pair a model of NSD with the NOD cells that its ROI stands for, in its hemisphere."""
    own = model.cells[0]
    return cell.dataset == NOD and own.dataset != NOD and serves(own, cell)


def is_pooled(model: Trial, cell: Cell) -> bool:
    """Pair a pooled model with its ROI in every subject of its data set."""
    own = model.cells[0]
    pooled = isinstance(model.objective, Pooled)
    return pooled and own.dataset == cell.dataset and serves(own, cell)


def is_any(model: Trial, cell: Cell) -> bool:
    """Pair every model with every cell."""
    return True


def evaluations(
    models: Iterable[Trial], cells: Sequence[Cell], pairing: Pairing, *, drop_seen: bool
) -> list[Evaluation]:
    """List what to evaluate: one evaluation a model and subject, with all its cells.

    A model's own cells are left out, as its trial scores them; with drop_seen those of a pooled
    model are not, whose trial counts the other subjects' training images but keeps them.
    """
    listed = []
    for model in models:
        by_shard: dict[str, list[Cell]] = {}
        own = set() if drop_seen and isinstance(model.objective, Pooled) else set(model.cells)
        for cell in cells:
            if cell not in own and pairing(model, cell):
                by_shard.setdefault(cell.shard, []).append(cell)
        listed += [Evaluation(model, tuple(each), drop_seen) for each in by_shard.values()]
    return listed


def baselines(evaluated: Iterable[Evaluation]) -> list[Trial]:
    """List the untuned trials to compare evaluations with: a trunk on the same cells each."""
    merged: dict[str, Trial] = {}
    for one in evaluated:
        trial = Trial(Untuned(), one.cells, one.trunk, one.encoding)
        known = merged.get(trial.id, trial)
        merged[trial.id] = known.scoring(dict.fromkeys((*known.cells, *trial.cells)))
    return list(merged.values())


def pair_notes(plan: Plan, models: Models, data: Path, runs: Path) -> tuple[str, ...]:
    """Count a plan's pairs: all, those done, and those that have seen test images."""
    evaluated = [work for work in plan.trials if isinstance(work, Evaluation)]
    pairs = [(work, cell) for work in evaluated for cell in work.cells]
    n_done = sum(score_file(runs, work.id, cell).exists() for work, cell in pairs)
    notes = [f"{len(pairs)} pairs of a model and a cell: {n_done} done"]
    notes += _seen_notes(pairs, KnownStimuli(data))
    if models.n_without_data:
        notes.append(
            f"{models.n_without_data} models are left out: the data that they were tuned on is "
            f"not in {data}, so the images that they have seen can't be told"
        )
    return tuple(notes)


def _seen_notes(pairs: Sequence[tuple[Evaluation, Cell]], known: KnownStimuli) -> list[str]:
    counts = []
    for work, cell in pairs:
        n_test = len(known.of(cell).test)
        counts.append((known.overlap(work.model, cell).n_test, n_test))
    seen = [(n_seen, n_test) for n_seen, n_test in counts if n_seen]
    if not seen:
        return ["no model was trained on a test image of the subjects that it is scored on"]
    most, of_those = max(seen, key=lambda pair: pair[0] / pair[1])
    dropped = any(work.drop_seen for work, _ in pairs)
    cure = "r leaves these out" if dropped else "--drop-seen scores without them"
    return [
        f"{len(seen)} of {len(pairs)} pairs have test images that the model was trained on, "
        f"at most {most} of {of_those}; {cure}"
    ]
