"""What a sweep shows: counts, scores, failures and an ETA, with a terminal and without."""

import io
import re
import threading

import pytest
from rich.console import Console

from orchestrator.cli.text import duration
from orchestrator.execution.progress import Display

SCORES = {"a": 0.25, "b": 0.5, "c": None}


def display(*, terminal: bool = False, **changes) -> tuple[Display, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=200, color_system=None)
    settings = {
        "costs": {"a": 10.0, "b": 10.0, "c": 20.0},
        "epochs": {"a": 30},
        "progress": list,
        "score": SCORES.get,
        "missing": lambda: "a trial needs 1 GPU; this Ray cluster has 0",
    }
    return Display(console, **{**settings, **changes}), stream


def running(**changes) -> dict:
    known = {"epoch": 0, "loss": None, "retrieval_top1": None, "images_per_second": None}
    return {"trial_id": "a", "group": "g1", "stage": "reading", **known, **changes}


def shown(one: Display, jobs: list[dict]) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200, color_system=None).print(one._render(jobs))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45.4, "45 s"), (89, "89 s"), (90, "2 min"), (720, "12 min"), (12600, "3.5 h")],
)
def test_a_duration_is_reported_as_people_do(seconds, text) -> None:
    assert duration(seconds) == text


def test_a_finished_trial_is_one_line_with_its_count_and_score() -> None:
    one, stream = display(progress=lambda: [running()])
    one._refresh_once()
    one.finished("a")
    assert stream.getvalue().startswith("[1/3] a  mean r 0.250  about ")
    assert stream.getvalue().count("\n") == 1


def test_trials_are_shown_by_what_differs_between_them() -> None:
    published: list = []
    names = {"a": "contrastive subj01 lh V1v τ=0.1 seed 2"}
    one, stream = display(
        names=names,
        progress=lambda: [running()],
        publish=lambda named, left: published.extend(named),
    )
    one._refresh_once()
    one.finished("a")
    one.failed("b", "ValueError: x")
    assert stream.getvalue().startswith(f"[1/3] {names['a']}  mean r 0.250")
    assert "[2/3] b  failed" in stream.getvalue()
    assert names["a"] in shown(one, [running()])
    assert f"best 0.250 {names['a']}" in shown(one, [])
    assert [line["name"] for line in published] == [names["a"]]


def test_a_trial_without_a_score_says_so_and_is_not_zero() -> None:
    one, stream = display()
    one.finished("c")
    assert "no score" in stream.getvalue()
    assert one.best is None


def test_the_best_score_so_far_is_kept() -> None:
    one, _ = display()
    for trial_id in ("a", "b", "c"):
        one.finished(trial_id)
    assert one.best == (0.5, "b")


def test_a_failure_is_reported_with_the_last_line_of_its_error() -> None:
    one, stream = display()
    one.failed("a", "Traceback (most recent call last):\n  …\nValueError: no [bold]such[/bold] x\n")
    assert stream.getvalue() == "[1/3] a  failed: ValueError: no [bold]such[/bold] x\n"
    assert one.failures == {"a": "ValueError: no [bold]such[/bold] x"}


def test_a_failure_without_a_word_is_unknown() -> None:
    one, _ = display()
    one.failed("a", " \n")
    assert one.failures == {"a": "unknown"}


def test_failed_trials_count_as_ended() -> None:
    one, stream = display()
    one.failed("a", "no")
    one.finished("b")
    assert "[2/3] b" in stream.getvalue()


def test_the_time_left_counts_running_trials_and_is_published(monkeypatch) -> None:
    published: list = []
    one, stream = display(
        progress=lambda: [running(), running(trial_id="b")],
        publish=lambda named, left: published.append(left),
    )
    monkeypatch.setattr("orchestrator.execution.progress.time.time", lambda: one._started)
    one._refresh_once()
    monkeypatch.setattr("orchestrator.execution.progress.time.time", lambda: one._started + 100.0)
    one.finished("a")
    assert "about 3 min left" in stream.getvalue()  # c takes 200 s; b ends now, as a did
    one._refresh_once()
    assert published == [None, 200.0]
    one.finished("b")
    one.finished("c")
    assert stream.getvalue().splitlines()[-1].rstrip() == "[3/3] c  no score"


def test_of_more_trials_than_a_terminal_has_lines_the_counts_are_still_shown() -> None:
    one, _ = display()
    one.console.height = 10
    text = shown(one, [running(trial_id=f"t{number:03}") for number in range(500)])
    assert len(text.splitlines()) < 10
    assert "t005" in text
    assert "t006" not in text
    assert "… and 494 more" in text
    assert "[0/3] 500 running, 0 failed" in text.splitlines()[-1]


def test_a_running_trial_is_one_line_with_stage_epoch_loss_and_rate() -> None:
    one, _ = display()
    text = shown(
        one,
        [
            running(
                stage="finetuning",
                epoch=3,
                loss=1.5,
                retrieval_top1=0.125,
                images_per_second=1234.5,
            )
        ],
    )
    assert re.search(r"a +finetuning 1,23[45] images/s +epoch 3/30 +loss 1.500 +top-1 12.5%", text)


def test_what_is_not_known_yet_is_left_out() -> None:
    one, _ = display()
    text = shown(one, [running(), running(trial_id="untuned", stage="features", epoch=0)])
    assert "loss" not in text
    assert "epoch" not in text
    assert "None" not in text


def test_before_any_trial_runs_the_terminal_says_that_workers_start() -> None:
    one, _ = display()
    assert "starting workers" in shown(one, [])


def test_a_line_of_status_counts_failures_and_names_the_best() -> None:
    one, _ = display()
    one.finished("b")
    one.failed("a", "no")
    assert re.search(r"\[2/3\] 1 running, 1 failed, .* best 0.500 b", shown(one, [running()]))


def test_a_terminal_is_refreshed_and_left_clean(monkeypatch) -> None:
    monkeypatch.setattr("orchestrator.execution.progress.REFRESH_SECONDS", 0.02)
    asked, shown_again = [], threading.Event()

    def progress() -> list[dict]:
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionError("the queue is busy")
        if len(asked) == 3:  # the second answer has been shown
            shown_again.set()
        return [running()]

    one, stream = display(terminal=True, progress=progress)
    with one:
        assert shown_again.wait(60)
        one.finished("a")
    assert "reading" in stream.getvalue()
    assert "[1/3] a  mean r 0.250" in stream.getvalue()
    assert one._thread is not None
    one._thread.join(60)
    assert not one._thread.is_alive()


@pytest.mark.parametrize("part", ["progress", "publish"])
def test_an_error_of_the_display_does_not_end_it(monkeypatch, part) -> None:
    monkeypatch.setattr("orchestrator.execution.progress.REFRESH_SECONDS", 0.01)
    asked, again = [], threading.Event()

    def fail(*arguments: object) -> list[dict]:
        asked.append(1)
        if len(asked) == 3:
            again.set()
        raise OSError("the terminal is gone")

    one, _ = display(**{part: fail})
    with one:
        assert again.wait(60)


def test_a_trial_whose_score_cannot_be_read_is_counted() -> None:
    def unreadable(trial_id: str) -> float | None:
        raise ValueError("damaged")

    one, _ = display(score=unreadable)
    with pytest.raises(ValueError, match="damaged"):
        one.finished("a")
    assert one.finished_ids == ["a"]


def test_without_a_terminal_nothing_is_refreshed() -> None:
    one, stream = display(progress=lambda: pytest.fail("asked without a terminal"))
    with one:
        one.finished("a")
    assert stream.getvalue().count("\n") == 1


def test_a_display_without_workers_says_what_is_missing(monkeypatch) -> None:
    monkeypatch.setattr("orchestrator.execution.progress.IDLE_SECONDS", 0.0)
    one, stream = display()
    one._warn_when_idle([])
    assert "no worker has started" in stream.getvalue()
    assert "a trial needs 1 GPU" in stream.getvalue()


def test_a_display_with_workers_is_quiet(monkeypatch) -> None:
    monkeypatch.setattr("orchestrator.execution.progress.IDLE_SECONDS", 0.0)
    one, stream = display()
    one._warn_when_idle([running()])
    assert stream.getvalue() == ""
