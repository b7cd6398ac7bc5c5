"""The results of a search, the ranking of configurations, and the proposal of new ones.

Everything here is a function of the trials' outcomes, so that a killed search can be rebuilt:
proposals depend on the seed and on the earlier rounds, all of whose trials have ended.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.stats import rankdata

from trainables.results.outcome import Outcome
from trainables.spec.evaluation import training_of
from trainables.spec.search import (
    Choice,
    IntegerRange,
    LogUniform,
    Range,
    Search,
    Value,
    checked,
    name_of,
)

DIGITS: Final = 4
"""Significant digits of a proposed number."""
REDRAWS: Final = 100
"""Draws to find a new configuration; a small space may have no more."""


@dataclass(frozen=True)
class Record:
    """The epochs and the retrieval that one configuration reached on one ROI."""

    configuration: str
    roi_id: str
    """For a pooled model, data set, hemisphere and name of its ROIs."""
    epochs: int
    """Epochs done; 0 for a training that diverged in its first epoch."""
    of_epochs: int
    top1: float
    """Top-1 retrieval on held-out training images after the last epoch; 0 if diverged."""
    stopped: bool

    @property
    def key(self) -> tuple[bool, float]:
        """Return the sort key of trials: the last top-1; diverged trials rank below all others.

        The number of epochs is not part of the key, because it is a hyperparameter itself: short
        trainings pass few rungs, and would rank high only because they were rarely compared.
        """
        return self.epochs > 0, self.top1


def diverged(outcome: Outcome) -> bool:
    """Return whether a trial failed because of its settings, with a loss of NaN."""
    return outcome.error_kind == "diverged"


def record(configuration: str, outcome: Outcome) -> Record:
    """Make a record from the outcome of a trial without encoding.

    A diverged trial ranks below all others.
    """
    trial = training_of(outcome.trial)
    of_epochs = int(getattr(trial.objective, "epochs"))  # noqa: B009
    if diverged(outcome):
        return Record(configuration, trial.place, 0, of_epochs, 0.0, stopped=False)
    last = outcome.history[-1]
    if last.retrieval_top1 is None:
        raise ValueError(f"{outcome.trial.id}: no retrieval was measured; too few training images")
    stopped = outcome.status == "stopped"
    return Record(configuration, trial.place, last.epoch, of_epochs, last.retrieval_top1, stopped)


def rank_shares(records: Sequence[Record]) -> dict[str, float]:
    """Average each configuration's rank share over ROIs: from 0 (worst) to 1 (best), exclusive.

    Within an ROI of n configurations, the share is (rank − ½) / n, where rank n is the best and
    ties are averaged. Configurations are in the order of the records.
    """
    shares: dict[str, list[float]] = {one.configuration: [] for one in records}
    for roi in dict.fromkeys(one.roi_id for one in records):
        alike = [one for one in records if one.roi_id == roi]
        order = {key: number for number, key in enumerate(sorted({one.key for one in alike}))}
        ranks = rankdata([order[one.key] for one in alike])
        for one, rank in zip(alike, ranks, strict=True):
            shares[one.configuration].append((float(rank) - 0.5) / len(alike))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def distribution(span: Range) -> BaseDistribution:
    """Convert a range to a distribution of Optuna."""
    match span:
        case LogUniform(low, high):
            return FloatDistribution(low, high, log=True)
        case IntegerRange(low, high):
            return IntDistribution(low, high)
        case Choice(values):
            return CategoricalDistribution(values)


def _tpe(seed: int, search: Search) -> optuna.samplers.BaseSampler:
    startup = search.per_round  # the first round is drawn at random
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=startup)


def _random(seed: int, search: Search) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


SEARCHERS: Final[dict[str, Callable[[int, Search], optuna.samplers.BaseSampler]]] = {
    "optuna": _tpe,
    "random": _random,
}

Configurations = Mapping[str, Mapping[str, Value]]
"""Values by the configuration's name, in the order of proposal."""


def build_study(
    search: Search,
    searcher: str,
    round_number: int,
    configurations: Configurations,
    records: Sequence[Record],
) -> optuna.Study:
    """Rebuild the study from finished rounds: one trial per configuration, valued by rank share."""
    sampler_seed = int(np.random.SeedSequence([search.seed, round_number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = SEARCHERS[searcher](sampler_seed, search)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    spans = {name: distribution(span) for name, span in search.ranges.items()}
    for name, share in rank_shares(records).items():
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(configurations[name]), distributions=spans, value=share
            )
        )
    return study


def propose(
    study: optuna.Study, search: Search, n: int, known: Configurations
) -> dict[str, dict[str, Value]]:
    """Ask a study for n new configurations; fewer if the space has no more."""
    spans = {name: distribution(span) for name, span in search.ranges.items()}
    found: dict[str, dict[str, Value]] = {}
    for _ in range(REDRAWS + n):
        if len(found) == n:
            break
        asked = study.ask(spans)
        values = checked({name: _plain(asked.params[name], spans[name]) for name in spans})
        if name_of(values) not in known:
            found[name_of(values)] = values
    return found


def _plain(value: Any, span: BaseDistribution) -> Value:
    """Round a proposed number to DIGITS significant digits, within its range."""
    if isinstance(span, FloatDistribution):
        return min(max(float(f"{value:.{DIGITS}g}"), span.low), span.high)
    return int(value) if isinstance(span, IntDistribution) else value
