"""What sections say: each number against the raw scores, of one method and one ROI group."""

import itertools
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.analyze.questions import classification, mutual_information, saliency
from orchestrator.report.sections.catalogue import SECTIONS
from orchestrator.report.sections.section import of_each
from tests.builders.uneven_sweep import GAINS, roi_means, table_of


def section_of(inputs, name):
    return SECTIONS[name](table_of(inputs, name))


def made_up(schema, rows):
    """Make a table of rows in which the columns that they lack have some value."""
    fillers = {pa.string(): "x", pa.int32(): 10, pa.float64(): 0.0, pa.bool_(): True}
    filled = {f.name: fillers.get(f.type, []) for f in schema}
    return pa.Table.from_pylist([{**filled, **row} for row in rows], schema)


def models(values):
    """Yield rows of two methods and two groups, with the value of each."""
    for (method, group), one in values.items():
        for number, subject in enumerate(("subj01", "subj02")):
            spread = 0.001 * (2 * number - 1)
            place = {"dataset": "nsd", "subject": subject, "hemisphere": "lh"}
            yield {"method": method, "group": group, "roi": group, **place}, one + spread


VALUES = {
    ("contrastive", "early"): 0.6,
    ("contrastive", "higher"): 0.2,
    ("regression", "early"): 0.4,
    ("regression", "higher"): 0.9,
}


def test_improvement_gives_every_row_its_own_label_and_number(uneven):
    inputs, raw = uneven
    reading = section_of(inputs, "improvement").reading
    found = [sentence for sentence in reading if ", over subjects: " not in sentence]
    labels = [sentence.split(" (")[0] for sentence in found]
    assert labels == ["early", "higher", "streams", "all"]
    for label, sentence in zip(labels, found, strict=True):
        said = dict(re.findall(r"([\w-]+) ([+-]\d\.\d{3}) in mean r", sentence))
        expected = {m: f"{gain:+.3f}" for (m, g), gain in GAINS.items() if g == label}
        expected = {m: text for m, text in expected.items() if not m.startswith("transfer")}
        if label == "all":
            own, base = (roi_means(raw, m) for m in ("contrastive", "untuned"))
            groups = own.index.get_level_values("group") != "streams"
            gain = (own - base)[groups].groupby("subject").mean().mean()
            expected = {"contrastive": f"{gain:+.3f}"}
        assert said == expected


def test_improvement_counts_each_vertex_once(uneven):
    inputs, raw = uneven
    of_method = raw[raw["method"] == "contrastive"]
    n = {
        "early": len(of_method[of_method["group"] == "early"]),
        "higher": len(
            of_method[of_method["group"] == "higher"][["subject", "vertex"]].drop_duplicates()
        ),
    }
    for figure in section_of(inputs, "improvement").figures:
        counted = dict(re.findall(r"(\w+) (\d+)[,;]", figure.caption.split("counted once:")[1]))
        assert int(counted["early"]) == n["early"] == 130
        assert int(counted["higher"]) == n["higher"] == 120
        assert int(counted["all"]) == sum(n.values())


def test_transfer_says_the_planted_gain_of_each_group(uneven):
    found = section_of(uneven[0], "transfer").reading
    assert [one.split(":")[0] for one in found] == [
        f"transfer-contrastive, {group}" for group in ("early", "higher", "streams")
    ]
    for group, sentence in zip(("early", "higher", "streams"), found, strict=True):
        assert "change mean r by +0.010 from untuned" in sentence
        assert f"own models change it by {GAINS['contrastive', group]:+.3f}" in sentence


def test_pooling_keeps_the_two_pooled_methods_apart(uneven):
    found = section_of(uneven[0], "pooling").reading
    assert len(found) == 2
    assert "pooled-avg, early" in found[0]
    assert "in 3 of 3 ROIs; the difference is +0.020" in found[0]
    assert "in 0 of 3 ROIs; the difference is -0.030" in found[1]


def test_brain_fit_counts_backbones_of_one_group(uneven):
    section = section_of(uneven[0], "brain_fit")
    n_trials = {"early": 5 + 5 + 2, "higher": 4, "streams": 3}
    for (group, n), sentence in zip(n_trials.items(), section.reading, strict=True):
        assert sentence.startswith(f"{group}, objects: of {n} fine-tuned backbones and the untuned")
    assert f"(n = {sum(n_trials.values())})" in section.figures[0].caption


def test_layers_names_the_best_layer_of_each_method_and_group(uneven):
    inputs, raw = uneven
    found = section_of(inputs, "layers").reading
    labels = [one.split(":")[0] for one in found]
    assert labels[:3] == ["untuned, early", "untuned, higher", "untuned, streams"]
    untuned = raw[(raw["method"] == "untuned") & (raw["group"] == "early")]
    at_layer = np.stack(untuned["r_by_layer"])
    frame = pd.DataFrame(at_layer).groupby([untuned["roi"].values, untuned["subject"].values])
    best = frame.mean().groupby(level=0).mean().mean().max()
    assert f"{best:.3f} on average over 2 ROIs" in found[0]


def test_classification_keeps_methods_and_groups_apart():
    groups = {"early": "Early-L", "higher": "Face"}
    rows = [
        {"level": "group", "method": method, "model_group": groups[group], "accuracy": value}
        | {"difference": value - 0.5, "low": value - 0.6, "high": value - 0.4, "n_backbones": 2}
        for (method, group), value in VALUES.items()
    ]
    untuned = {"model_group": None, "roi": None, "accuracy": 0.5}
    rows.append({"level": "backbone", "method": "untuned", **untuned})
    table = made_up(classification.SCHEMA, rows)
    _, *sentences = SECTIONS["classification"](table).reading
    for sentence, method in zip(sentences, ("regression", "contrastive"), strict=True):
        parts = sentence.split(": ")[1].split("; ")
        assert sentence.startswith(f"{method} on ")
        for group, part in zip(groups, (parts[0], parts[2]), strict=True):
            value = VALUES[method, group]
            change = f"{100 * value - 50:+.1f} percentage points"
            interval = f"({100 * value - 60:+.1f} to {100 * value - 40:+.1f}"
            assert f"{groups[group]} {value:.1%}, {change} {interval}" in part


def test_mutual_information_keeps_methods_and_groups_apart():
    extra = {"bits_running": 0.01, "bits_beta_test_running": 0.02}
    rows = [
        {**place, "bits": value, "bits_beta_test": value + 0.03}
        | {name: value + more for name, more in extra.items()}
        for place, value in models(VALUES)
    ]
    section = SECTIONS["mutual_information"](made_up(mutual_information.SCHEMA, rows))
    found = section.reading
    assert len(found) == 4
    for (method, group), value in VALUES.items():
        [sentence] = [one for one in found if one.startswith(f"{method}, {group}:")]
        assert f"at least {value:.2f} bits" in sentence
        both = f"{value + 0.01:.2f} and {value + 0.02:.2f} by BatchNorm's running statistics"
        assert f"({value + 0.03:.2f} with β from the test images; {both})" in sentence
    batch, running = (figure.alt for figure in section.figures)
    assert "from 0.20 to 0.90 bits" in batch
    assert "running statistics" in running
    assert "from 0.22 to 0.92 bits" in running


def saliency_rows(changes):
    """Rows of lh and rh backbones of two methods: the interval of each bias change."""
    for (method, side), change in changes.items():
        interval = {} if change is None else {"bias_change_low": change, "bias_change_high": change}
        yield {
            **{"method": method, "hemisphere": side, "dataset": "nsd", "subject": "subj01"},
            **{"roi": "V1v", "group": "early", "mean_map": [[1.0]], "bias_change": change},
            **({"bias_change_low": None, "bias_change_high": None} | interval),
        }


def test_saliency_keeps_methods_and_hemispheres_apart():
    changes = dict(
        zip(
            itertools.product(("contrastive", "regression"), ("lh", "rh")),
            (0.1, -0.1, 0.1, None),
            strict=True,
        )
    )
    section = SECTIONS["saliency"](made_up(saliency.SCHEMA, saliency_rows(changes)))
    assert len(section.reading) == 4
    left, right, other, unknown = section.reading
    assert all(one in left for one in ("regression, lh", "1 have saliency further left", "and 0 "))
    assert all(one in right for one in ("regression, rh", "no backbone could be compared"))
    assert all(one in other for one in ("contrastive, lh", "1 have saliency further left"))
    assert all(one in unknown for one in ("contrastive, rh", "0 have saliency", "and 1 further"))


@pytest.mark.parametrize("with_second", [False, True])
def test_a_data_set_is_named_where_there_are_several(with_second):
    rows = pd.DataFrame(
        {
            "method": ["contrastive"] * 3,
            "dataset": ["nsd", "nsd", "nod" if with_second else "nsd"],
            "group": ["higher", "early", "early"],
        }
    )
    labels = [label for label, _ in of_each(rows, ("method", "dataset", "group"))]
    few = ["contrastive, early", "contrastive, higher"]
    many = ["contrastive, nod, early", "contrastive, nsd, early", "contrastive, nsd, higher"]
    assert labels == (many if with_second else few)
