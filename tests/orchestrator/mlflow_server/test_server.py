"""A tracking server with passwords on the real PostgreSQL, and a sweep's mirror against it."""

import signal
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from benchmarks.mlflow_server import Server, missing, served
from benchmarks.processes import descendants
from benchmarks.small_shards import write_shards
from orchestrator.mlflow_server.__main__ import main
from orchestrator.mlflow_server.postgres import binaries, postgres
from orchestrator.mlflow_server.server import Secrets
from orchestrator.tracking import store_check
from orchestrator.tracking.background import start_tracker
from orchestrator.tracking.identity import Sweep
from orchestrator.tracking.mlflow_runs import PARENT, Mirror
from tests.builders.mirrored_runs import finish, rois
from tests.builders.tcp_listeners import closed_port, silent_port
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Trial, Untuned

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
LACKS = missing()
needs_postgres = pytest.mark.skipif(LACKS is not None, reason=f"PostgreSQL not tested: {LACKS}")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # A pytest that starts elsewhere closes pytest's own directories to PostgreSQL's user.
    with TemporaryDirectory(prefix="mlflow-") as home, served(Path(home) / "mlflow-server") as one:
        yield one


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a server that has just started on a busy machine."""
    monkeypatch.setattr(store_check, "ANSWER_SECONDS", 100.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "100")


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    for name, value in server.client.items():
        monkeypatch.setenv(name, value)
    return MlflowClient(tracking_uri=server.client["MLFLOW_TRACKING_URI"])


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    write_shards(tmp_path / "data")
    return Sweep(
        f"nsd-{uuid4().hex}",
        "paper",
        DataDirectory(tmp_path / "data"),
        RunDirectory(tmp_path / "runs"),
        "0123",
    )


def children(client: MlflowClient, sweep: Sweep) -> set[str]:
    experiment = client.get_experiment_by_name(sweep.experiment)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return {run.data.tags["trial_id"] for run in found if PARENT in run.data.tags}


@needs_postgres
def test_trials_are_found_by_search_with_their_scores_and_files(
    server: Server, client: MlflowClient, sweep: Sweep
) -> None:
    trials = [Trial(Contrastive(), (roi,)) for roi in rois(sweep)]
    for trial in trials:
        finish(sweep, trial)
    mirror = Mirror(sweep, server.client["MLFLOW_TRACKING_URI"])
    for trial in trials:
        mirror.write(trial.id)
    mirror.close(complete=True)
    assert children(client, sweep) == {trial.id for trial in trials}
    experiment = client.get_experiment_by_name(sweep.experiment)
    assert experiment is not None
    rule = f"tags.trial_id = '{trials[0].id}'"
    [run] = client.search_runs([experiment.experiment_id], rule)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["nested_r_mean"] == pytest.approx(0.5)
    assert [one.path for one in client.list_artifacts(run.info.run_id)] != []


@needs_postgres
def test_without_the_password_nothing_is_reported_and_the_sweep_goes_on(
    server: Server, client: MlflowClient, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(Untuned(), tuple(rois(sweep)[:1]))
    finish(sweep, trial)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not this one")
    with pytest.raises(MlflowException, match="not authenticated"):
        client.search_experiments()
    warnings: list[str] = []
    tracker = start_tracker(sweep, warnings.append)
    tracker.due([trial.id])
    assert tracker.close(complete=True) == [trial.id]
    assert warnings
    assert all("not this one" not in one and "\n" not in one for one in warnings)


@needs_postgres
def test_what_was_missed_while_it_was_down_is_caught_up(
    server: Server, client: MlflowClient, sweep: Sweep
) -> None:
    first, second = (Trial(Contrastive(), (roi,)) for roi in rois(sweep)[:2])
    warnings: list[str] = []
    tracker = start_tracker(sweep, warnings.append)
    assert server.stop(signal.SIGKILL) == set()  # its children end with it
    finish(sweep, first)
    tracker.due([first.id])
    server.start()
    finish(sweep, second)
    tracker.due([second.id])
    assert tracker.close(complete=True) == []
    assert children(client, sweep) == {first.id, second.id}


@needs_postgres
def test_an_sqlite_store_moves_by_mirroring_again(
    server: Server, client: MlflowClient, sweep: Sweep, tmp_path: Path
) -> None:
    trial = Trial(Contrastive(), tuple(rois(sweep)[:1]))
    finish(sweep, trial)
    sqlite = f"sqlite:///{tmp_path}/mlflow.db"
    moved = replace(sweep, experiment=f"{sweep.experiment}-moved")
    for uri, one in ((sqlite, sweep), (server.client["MLFLOW_TRACKING_URI"], moved)):
        mirror = Mirror(one, uri)
        mirror.write(trial.id)
        mirror.close(complete=True)
    before = MlflowClient(tracking_uri=sqlite)
    runs = []
    for store, one in ((before, sweep), (client, moved)):
        experiment = store.get_experiment_by_name(one.experiment)
        assert experiment is not None
        [run] = store.search_runs([experiment.experiment_id], f"tags.trial_id = '{trial.id}'")
        runs.append(run)
    assert runs[0].data.metrics == runs[1].data.metrics
    assert runs[0].data.params == runs[1].data.params


@needs_postgres
def test_no_secret_is_printed_or_readable_by_others(server: Server) -> None:
    known = Secrets.of(server.home)
    private = [server.home / name for name in ("secrets", "auth.ini", "client.env")]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in private)
    logs = [server.log, server.home / "mlflow.log", server.home / "postgres.log"]
    for path in logs:
        text = path.read_text()
        assert all(one not in text for one in (known.admin, known.database, known.session))
    arguments = [
        path.read_text().replace("\0", " ")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    ]
    assert sum("mlflow" in one for one in arguments) >= 2
    assert not any(known.database in one or known.admin in one for one in arguments)


@needs_postgres
def test_no_process_waits_for_jobs_of_language_models(server: Server) -> None:
    assert server.process is not None
    titles = descendants(server.process.pid).values()
    assert any("mlflow server" in one for one in titles)
    assert [one for one in titles if "huey" in one or "mlflow.server.jobs" in one] == []


@needs_postgres
def test_postgresql_listens_on_loopback_alone_and_asks_for_the_password(server: Server) -> None:
    import psycopg

    known = Secrets.of(server.home)
    words = (server.home / "postgres" / "postmaster.pid").read_text().split("\n")
    port, address = words[3], words[5]
    assert address == "127.0.0.1"
    for password in ("", "not this one"):
        where = f"host=127.0.0.1 port={port} user=mlflow dbname=mlflow password='{password}'"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(where)
    psycopg.connect(
        f"host=127.0.0.1 port={port} user=mlflow dbname=mlflow", password=known.database
    )


def test_without_postgresql_the_cure_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    assert main(["--home", str(tmp_path / "home")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: postgres: not installed; install PostgreSQL's server")
    assert "--database" in message
    assert message.count("\n") == 1


def test_damaged_secrets_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secrets").write_text("only one\n")
    assert main(["--home", str(tmp_path)]) == 2
    assert "expected three lines of secrets, found 2" in capsys.readouterr().err


@needs_postgres
def test_a_postgresql_that_does_not_start_is_reported_with_its_log(tmp_path: Path) -> None:
    assert binaries().is_dir()
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9.1\n")
    with (
        pytest.raises(ValueError, match=r"does not start; its messages are in .*postgres\.log"),
        postgres(tmp_path / "postgres", "secret"),
    ):
        pass


def test_another_postgresql_that_is_not_there_is_reported_without_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"postgresql+psycopg://mlflow:secret-word@127.0.0.1:{closed_port()}/mlflow"
    arguments = ["--home", str(tmp_path), "--port", str(closed_port()), "--database", address]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: --database postgresql+psycopg://mlflow:***@127.0.0.1:")
    assert "refused" in message
    assert message.count("\n") == 1


def test_a_database_of_another_kind_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--home", str(tmp_path), "--port", str(closed_port()), "--database", "mysql://h/d"]
    assert main(arguments) == 2
    assert "expected postgresql://USER@HOST/NAME" in capsys.readouterr().err


def test_a_port_in_use_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with silent_port() as port:
        assert main(["--home", str(tmp_path), "--port", str(port)]) == 2
    assert f"127.0.0.1:{port}: Address already in use; give another --port" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("address", [("no.such.host.example", "5000"), ("127.0.0.1", "99999")])
def test_an_address_that_is_none_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: tuple[str, str]
) -> None:
    host, port = address
    assert main(["--home", str(tmp_path), "--host", host, "--port", port]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {host}:{port}: ")
    assert message.endswith("; give another --port or --host\n")
    assert message.count("\n") == 1
