"""The benchmark of a GPU: it runs on a bare machine, and its sums are right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, gpu_check, gpu_sharing, programme
from benchmarks.gpu_variants import DEFAULT, HALF, Size

CPU = torch.device("cpu")
TINY = Size("narrow-alexnet", 64, 60, 40, 16, (10, 20), 30, (1,), 20)
LAYERS = ("features.2", "features.12", "classifier.5")
ABSENT = ("ray", "mlflow", "nilearn", "rich", "optuna", "simpy", "himalaya", "yaml")

BARE = f"""
import sys
for name in {ABSENT}:
    sys.modules[name] = None  # importing it fails
import benchmarks.gpu, benchmarks.gpu_check, benchmarks.gpu_sharing
print("runs")
"""


@pytest.mark.slow
def test_it_needs_no_more_than_a_bare_machine_has() -> None:
    home = Path(gpu.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", BARE], cwd=home, capture_output=True, text=True, check=False
    )
    assert done.stdout == "runs\n", done.stderr


@pytest.mark.slow
def test_the_check_writes_every_figure_and_records_an_error(monkeypatch, tmp_path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setitem(gpu_check.SECTIONS, "host", fail)
    path = tmp_path / "check.json"
    sections = "host,latencies,gram,deterministic,tf32"
    monkeypatch.setattr(
        sys, "argv", ["gpu-check", "--small", "--only", sections, "--json", str(path)]
    )
    gpu_check.main()
    found = json.loads(path.read_text())
    assert found["host"]["error"]["error"] == "RuntimeError: no kernel"
    assert found["latencies"]["eigh 100 float64"]["seconds"] > 0
    assert all(found["gram"][f"{one}: difference"]["r"] < 1e-4 for one in LAYERS)
    assert found["deterministic"]["twice"] == {"equal": True, "n": 16}
    for off in (found["tf32"]["product"], found["tf32"]["convolution"]):
        assert off["nearest"] < 1e-6 < 1e-4 < min(off["truncated"], off["float32"])


def test_sections_after_one_that_breaks_the_gpu_run_in_a_new_process(monkeypatch, tmp_path) -> None:
    commands: list[list[str]] = []

    def fail(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setitem(gpu_check.SECTIONS, "host", fail)
    monkeypatch.setattr(gpu_check, "is_device_lost", lambda: True)
    monkeypatch.setattr(
        gpu_check.subprocess, "run", lambda command, check: commands.append(command)
    )
    path, sections = tmp_path / "check.json", "host,latencies,gram"
    monkeypatch.setattr(
        sys, "argv", ["gpu-check", "--small", "--only", sections, "--json", str(path)]
    )
    gpu_check.main()
    found = json.loads(path.read_text())["host"]
    assert found["error"]["error"].startswith("AcceleratorError: CUDA error")
    assert found["device lost"] == {"left": ["latencies", "gram"]}
    [command] = commands
    assert command[command.index("--only") + 1] == "latencies,gram"
    assert command[command.index("--json") + 1] == str(tmp_path / "check-after-host.json")
    assert command[-1] == "--small"


@pytest.mark.slow
def test_every_step_is_measured(monkeypatch, tmp_path, capsys) -> None:
    variants = tuple(one for one in gpu.VARIANTS if not one.compiled)
    monkeypatch.setattr(gpu, "VARIANTS", variants)
    finetuning = gpu.steps_of_finetuning(TINY, CPU)
    assert len(finetuning) == 7 + 2  # a graph is a GPU's
    scoring = gpu.steps_of_scoring(TINY, CPU, tmp_path)
    assert all(seconds > 0 for runs in scoring.values() for seconds in runs)
    gpu.project(TINY, finetuning, scoring, gpu.loads(TINY, tmp_path))
    assert capsys.readouterr().out.count("GPU-hours") == 2


def test_a_variant_that_does_not_run_is_reported_and_left_out(monkeypatch, capsys) -> None:
    monkeypatch.setattr(gpu, "VARIANTS", (DEFAULT,))

    def fail(*_: object) -> None:
        raise RuntimeError("no kernel\nfor this")

    monkeypatch.setattr(gpu.Stepper, "step", fail)
    assert gpu.steps_of_finetuning(TINY, CPU) == {}
    assert (
        "TF32 products too, channels last, 10 vertices: not run (no kernel)"
        in capsys.readouterr().out
    )


def test_the_programme_is_summed_over_all_its_models(capsys) -> None:
    size = Size(vertices=(600, 5741))
    names = [f"{one.name}, {n:,} vertices" for one in (DEFAULT, HALF) for n in size.vertices]
    finetuning = {name: {"seconds": [0.1, 0.2]} for name in names}
    scoring = {"features": [1.0], "Gram matrices": [2.0]}
    for protocol in gpu.PROTOCOLS:
        scoring[f"{protocol}: factorisation"] = [3.0]
        for n in (*size.vertices, size.all_vertices):
            scoring[f"{protocol}: ridge, {n:,} vertices"] = [0.0]
    gpu.project(size, finetuning, scoring, [0.5])
    # Epochs of subjects: 312 ROIs by two objectives, 86 ROIs of eight subjects by two heads.
    epochs = 8364 / 1024 * (312 * (30 + 75) + 86 * 2 * 8 * 30)
    low, high = (epochs * seconds / 3600 for seconds in (0.1, 0.2))
    # Nine seconds for every backbone on every subject.
    scores = 9.0 * (312 * 2 + 86 * 2 * 8 + 8) / 3600
    transfer = 9.0 * 312 * 2 * 7 / 3600
    # Each training and each transfer loads a backbone.
    loading = 0.5 * (312 * 2 + 86 * 2 + 312 * 2 * 7) / 3600
    scores_and_loads = scores + transfer + loading
    expected = (
        f"{low + scores_and_loads:.2f} to {high + scores_and_loads:.2f} GPU-hours "
        f"(finetuning {low:.2f} to {high:.2f}, scoring {scores:.2f} to {scores:.2f}, "
        f"transfer {transfer:.2f} to {transfer:.2f}, loading {loading:.2f} to {loading:.2f})"
    )
    assert expected in capsys.readouterr().out


def test_heads_wider_than_those_measured_take_longer() -> None:
    assert programme.between(300, (100, 500), [1.0, 2.0]) == 1.5
    assert programme.between(900, (100, 500), [1.0, 2.0]) == 3.0
    assert programme.between(900, (100, 500), [2.0, 1.0]) == 1.0  # noise of a measurement
    of_constant = programme.subject_epochs()["pooled-const"]
    assert list(of_constant) == [pytest.approx(5741 / 0.8)]


def test_the_model_of_the_programme_lists_what_takes_its_time(capsys) -> None:
    host = (*programme.host(), *programme.host_of_transfer())
    for row in (*programme.tuning(), *programme.scoring(), *host):
        floor, bfloat16, default = row.seconds
        assert 0 <= floor <= bfloat16 <= default, row.name
    steps = programme.added(*(row.seconds for row in programme.scoring()[1:]))
    assert steps[2] == pytest.approx(programme.MEASURED_SCORING, rel=0.02)
    assert [row.times for row in host if "load" in row.name] == [796, 4368]
    programme.main()
    lines = capsys.readouterr().out.splitlines()
    core, transfer, whole = (list(map(float, line.split()[-3:])) for line in lines[-4:-1])
    assert [sum(parts) for parts in zip(core, transfer, strict=True)] == pytest.approx(
        whole, abs=0.02
    )
    assert core == sorted(core)


def test_scorings_of_the_needed_times_reach_the_goals() -> None:
    tuned, waited = 2 * programme.HOURS, 1e3
    own, transfer = programme.needed(tuned, waited)
    n, loads = (
        programme.scorings(),
        (programme.LOAD + programme.WRITE) * programme.scorings()["transfer"],
    )
    n_own = n["of own ROIs"] + n["of pooled models"]
    assert tuned + waited + own * n_own == pytest.approx(5 * 3600)
    assert loads + transfer * n["transfer"] == pytest.approx(5 * 3600)
    assert programme.needed(6 * programme.HOURS, waited)[0] < 0


@pytest.mark.slow
def test_trials_together_take_the_steps_of_trials_apart() -> None:
    load = gpu_sharing.Load("narrow-alexnet", 64, 4, 10, 1)
    found = gpu_sharing.measure(load, (1, 2), CPU, 1)
    assert list(found) == ["1 round-robin", "2 round-robin", "2 in processes", "2 as one batch"]
    assert all(rate > 0 for rates in found.values() for rate in rates)
