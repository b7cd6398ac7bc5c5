"""Read a data set's folders into shards, or simulate such folders.

cortex-sweep ingest algonauts SRC --out DATA
cortex-sweep ingest nsd SRC --out DATA
cortex-sweep ingest nsd-synthetic SRC --out DATA
cortex-sweep ingest nod SRC --out DATA --atlas FILE
cortex-sweep ingest mosaic FILES --out DATA --atlas FILE --stimuli DIR
cortex-sweep ingest folder SRC --out DATA
cortex-sweep ingest task SRC --out DATA --name NAME
cortex-sweep ingest check SRC
cortex-sweep ingest assembly nsd-subj01 --data DATA --out FILE
cortex-sweep ingest simulate --out SRC
"""

from collections.abc import Sequence
from typing import Final

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.process import leave
from orchestrator.ingest.algonauts.command import algonauts
from orchestrator.ingest.assembly.command import assembly
from orchestrator.ingest.check.command import check
from orchestrator.ingest.folder.command import folder
from orchestrator.ingest.mosaic.command import mosaic
from orchestrator.ingest.nod.command import nod
from orchestrator.ingest.nsd.command import nsd
from orchestrator.ingest.nsd_synthetic.command import nsd_synthetic
from orchestrator.ingest.simulate.command import simulate
from orchestrator.ingest.task.command import task

app: Final = new_app("ingest", "Read a data set's folders into the shards that sweeps use.")
app.command(algonauts, sort_key=0)
app.command(nsd, sort_key=1)
app.command(nsd_synthetic, sort_key=2)
app.command(nod, sort_key=3)
app.command(mosaic, sort_key=4)
app.command(folder, sort_key=5)
app.command(task, sort_key=6)
app.command(check, sort_key=7)
app.command(assembly, sort_key=8)
app.command(simulate, sort_key=9)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for bad input)."""
    return run_app(app, arguments)


if __name__ == "__main__":
    leave(main())
