"""Hosts on one machine: namespaces with an address, a home, shared storage and an sshd each."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.processes import descendants, kill

ROOT: Final = Path(__file__).parents[2]
NETWORK: Final = "10.77.0"
GATEWAY: Final = f"{NETWORK}.254"
BRIDGE: Final = "cortex-br"
SHARED: Final = Path("/mnt")
"""Where every host sees the shared directory."""


def missing() -> str | None:
    """Say what this machine lacks to be several hosts; None where it lacks nothing."""
    if os.geteuid() != 0:
        return "not root"
    for program in ("/usr/sbin/sshd", "rsync", "ssh", "ip", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    tried = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount", "--uts", "--ipc", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else None


def call(*command: str | Path) -> None:
    """Run a command that has to succeed."""
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)


@dataclass
class Host:
    """A host that runs."""

    name: str
    address: str
    key: Path
    process: subprocess.Popen[str]

    def ssh(self, command: str) -> list[str]:
        """Give the command line that runs a shell command on the host, as a login does."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        chosen = [word for option in options for word in ("-o", option)]
        return ["ssh", "-i", str(self.key), *chosen, f"root@{self.address}", command]

    def run(self, command: str, timeout: float = 60) -> str:
        """Run a shell command on the host; return what it printed."""
        done = subprocess.run(
            self.ssh(command), capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{self.name}: {command}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def processes(self) -> dict[int, str]:
        """Map the host's processes to their titles."""
        return descendants(self.process.pid)

    def end(self) -> None:
        """Cut the power."""
        kill({self.process.pid, *self.processes()})
        self.process.wait()

    def unplug(self, *, plugged: bool = False) -> None:
        """Take its network cable out, or put it back."""
        call("ip", "link", "set", f"v-{self.name}", "up" if plugged else "down")


@contextmanager
def hosts(home: Path, shared: Path, n: int) -> Iterator[list[Host]]:
    """Have n hosts within the block; nothing of them is left after it."""
    key = home / "id_ed25519"
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    with ExitStack() as stack:
        stack.callback(_remove_network, n)
        _remove_network(n)  # of a test that was killed
        call("ip", "link", "add", BRIDGE, "type", "bridge")
        call("ip", "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        call("ip", "link", "set", BRIDGE, "up")
        found = []
        for number in range(1, n + 1):
            found.append(_start(number, home / f"h{number}", shared, key))
            stack.callback(found[-1].end)
        for host in found:
            _await_login(host)
        yield found


def _start(number: int, home: Path, shared: Path, key: Path) -> Host:
    name, address = f"h{number}", f"{NETWORK}.{number}"
    _connect(name, address)
    _furnish(home, key)
    base = Path(sys.base_prefix)
    kept = [ROOT, *([base] if base.is_relative_to("/root") or base.is_relative_to("/tmp") else [])]
    apart = ["--pid", "--fork", "--kill-child=SIGKILL", "--mount", "--uts", "--ipc", "--mount-proc"]
    command: Sequence[str | Path] = (
        *("ip", "netns", "exec", name, "unshare", *apart, "--propagation", "private"),
        *("bash", Path(__file__).with_name("host_init.sh"), name, home, shared, *kept),
    )
    with (home / "log").open("w") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, text=True)
    return Host(name, address, key, process)


def _connect(name: str, address: str) -> None:
    call("ip", "netns", "add", name)
    call("ip", "link", "add", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
    call("ip", "link", "set", f"v-{name}", "master", BRIDGE, "up")
    call("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    call("ip", "-n", name, "link", "set", "eth0", "up")
    call("ip", "-n", name, "link", "set", "lo", "up")
    call("ip", "-n", name, "route", "add", "default", "via", GATEWAY)


def _furnish(home: Path, key: Path) -> None:
    """Give a host its home: who may log in, and the shell's start files that Debian has."""
    (home / "tmp").mkdir(parents=True)
    (home / "tmp").chmod(0o1777)
    ssh = home / "home" / ".ssh"
    ssh.mkdir(parents=True)
    shutil.copy(key.with_suffix(".pub"), ssh / "authorized_keys")
    (home / "home" / ".bashrc").write_text("# ~/.bashrc\n")
    (home / "home" / ".profile").write_text(". ~/.bashrc\n")
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / "host_key")
    lines = (
        "HostKey /run/host_key",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "StrictModes no",
        "AuthorizedKeysFile /root/.ssh/authorized_keys",
        "PidFile none",
        "UsePAM no",
        "MaxStartups 100",
        "",
    )
    (home / "sshd_config").write_text("\n".join(lines))


def _await_login(host: Host, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while subprocess.run(host.ssh("true"), capture_output=True, check=False).returncode != 0:
        assert time.monotonic() < deadline, f"{host.name}: no login by ssh"
        time.sleep(0.3)


def _remove_network(n: int) -> None:
    for number in range(1, n + 1):
        _try("ip", "link", "del", f"v-h{number}")
        _try("ip", "netns", "del", f"h{number}")
    _try("ip", "link", "del", BRIDGE)


def _try(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=False)
