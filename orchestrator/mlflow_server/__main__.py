"""Serve MLflow with passwords, on PostgreSQL, until Ctrl-C.

cortex-sweep mlflow-server [--home mlflow-server] [--port 5000]
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.process import leave
from orchestrator.cli.signals import interruptible

app: Final = new_app("mlflow-server")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line until interrupted; return the exit code."""
    return run_app(app, arguments)


@app.default
def mlflow_server(
    *,
    home: Annotated[Path, Parameter(metavar="DIR", help="Directory of the server.")] = Path(
        "mlflow-server"
    ),
    host: Annotated[str, Parameter(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(metavar="N", help="Port to listen on.")] = 5000,
    artifacts: Annotated[
        str | None,
        Parameter(
            metavar="DIR|s3://…", help="Directory of artifacts.", show_default="HOME/artifacts"
        ),
    ] = None,
    database: Annotated[
        str | None,
        Parameter(
            metavar="postgresql://…",
            help="Address of a running PostgreSQL. Its user needs the right to create tables; keep "
            "its password in ~/.pgpass.",
            show_default="a private PostgreSQL in HOME",
        ),
    ] = None,
) -> None:
    """Serve MLflow with passwords, on PostgreSQL, until Ctrl-C."""
    from orchestrator.mlflow_server.server import ServerSettings, serve

    with interruptible():
        serve(ServerSettings(home, host, port, artifacts, database))


if __name__ == "__main__":
    leave(main())
