"""A SLURM cluster of one node on this machine: real daemons, in a separate folder, on free ports.

    with cluster.running(gpus=2) as slurm:
        subprocess.run(["sbatch", …], env=os.environ | slurm.environment)

Without systemd, cgroups or accounting. The GPUs are harmless devices that SLURM counts and hands
out. The daemons end with the block, and with this process however it ends.
"""

import getpass
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

# Debian and Ubuntu install the daemons where not every user's PATH looks.
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
PROGRAMS = (
    *("munged", "mungekey", "slurmctld", "slurmd"),
    *("sbatch", "srun", "scancel", "scontrol", "sinfo", "squeue"),
    "setpriv",
)

# More CPUs and memory than the machine need have: what limits the jobs is the number of GPUs.
CPUS = 16
MEMORY_MB = 100_000
DEVICES = ["/dev/null", "/dev/zero", "/dev/full"]

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
# jobs that use more memory than they asked for are killed, as seen once a second
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
KillWait=5
# how long a job is known after its end
MinJobAge=3600
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} {gpus}
PartitionName=main Nodes=node Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs that such a cluster needs and this machine lacks."""
    return [program for program in PROGRAMS if not shutil.which(program, path=PATH)]


@dataclass(frozen=True)
class Job:
    """What SLURM knows of a job, also after its end."""

    id: int
    comment: str  # Snakemake's, as rule_train_wildcards_baseline_123; else empty
    state: str
    start: str  # times in seconds, which sort as text
    end: str
    memory_mb: int
    time_limit: str  # 00:15:00
    gpus: int


@dataclass(frozen=True)
class Cluster:
    """A running cluster; SLURM's commands find it by this environment."""

    environment: dict[str, str]

    def command(self, *arguments: str) -> str:
        """What one of SLURM's commands prints."""
        return subprocess.run(
            arguments,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def jobs(self) -> list[Job]:
        """Every job so far, in the order of their submission."""
        shown = self.command("scontrol", "show", "job", "--oneliner").splitlines()
        jobs = [_job(dict(re.findall(r"(\w+)=(\S*)", line))) for line in shown if "JobId=" in line]
        return sorted(jobs, key=lambda job: job.id)

    def hold(self) -> None:
        """Lets jobs queue, but none start."""
        self.command("scontrol", "update", "PartitionName=main", "State=DOWN")

    def release(self) -> None:
        """Lets them start again."""
        self.command("scontrol", "update", "PartitionName=main", "State=UP")


def _job(facts: dict[str, str]) -> Job:
    memory = facts["MinMemoryNode"]  # 4010M, 8G
    return Job(
        id=int(facts["JobId"]),
        comment=facts.get("Comment", ""),
        state=facts["JobState"],
        start=facts["StartTime"],
        end=facts["EndTime"],
        memory_mb=int(float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]),
        time_limit=facts["TimeLimit"],
        gpus=int(facts.get("TresPerJob", "gpu:0").rsplit(":", 1)[1]),
    )


def until(true: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Waits for it; raises TimeoutError where it does not come."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


@contextmanager
def running(gpus: int) -> Iterator[Cluster]:
    """Starts a cluster whose one node has so many GPUs, and stops it with all its jobs."""
    with ExitStack() as stack:
        # not below pytest's folder: a socket's path may have 107 characters
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        folder.chmod(0o755)
        cluster = _configured(folder, gpus)
        key, munge = folder / "munge.key", folder / "munge.socket"
        cluster.command("mungekey", "--create", f"--keyfile={key}")
        files = {"key": key, "pid": folder / "munged.pid"}
        files |= {"log": folder / "munged.log", "seed": folder / "munge.seed"}
        options = [f"--{name}-file={path}" for name, path in files.items()]
        _start(stack, cluster, "munged", "--foreground", "--force", f"--socket={munge}", *options)
        until(munge.exists, "munged's socket")
        _start(stack, cluster, "slurmctld", "-D")
        _start(stack, cluster, "slurmd", "-D", "-N", "node")
        stack.callback(_cancel_all, cluster)
        try:
            until(lambda: _state(cluster) == "idle", "an idle node")
        except TimeoutError as error:
            logs = "\n".join(path.read_text() for path in folder.glob("*.output"))
            raise RuntimeError(f"SLURM did not start ({error}):\n{logs}") from None
        yield cluster


def _configured(folder: Path, gpus: int) -> Cluster:
    """Writes what its daemons and commands read into the folder."""
    (folder / "state").mkdir()
    controller_port, node_port = _free_ports(2)
    configuration = CONFIGURATION.format(
        folder=folder,
        host=socket.gethostname().split(".")[0],
        user=getpass.getuser(),
        controller_port=controller_port,
        node_port=node_port,
        cpus=CPUS,
        memory=MEMORY_MB,
        gpus=f"Gres=gpu:{gpus}" if gpus else "",
    )
    if gpus:
        configuration += "GresTypes=gpu\n"
        lines = [f"NodeName=node Name=gpu File={device}\n" for device in DEVICES[:gpus]]
        (folder / "gres.conf").write_text("".join(lines))
    conf = folder / "slurm.conf"
    conf.write_text(configuration)
    (folder / "cgroup.conf").write_text("")
    # Snakemake drops SLURM_CONF, as all that begins with SLURM_, before a job calls srun
    srun = folder / "bin/srun"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun", path=PATH)} "$@"\n')
    srun.chmod(0o755)
    return Cluster({"SLURM_CONF": str(conf), "PATH": os.pathsep.join([str(srun.parent), PATH])})


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _start(stack: ExitStack, cluster: Cluster, program: str, *arguments: str) -> None:
    """Starts a daemon that ends with the stack, the last one first, and with this process."""
    folder = Path(cluster.environment["SLURM_CONF"]).parent
    output = stack.enter_context((folder / f"{program}.output").open("w"))
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", program, *arguments],
        env=os.environ | cluster.environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )
    stack.callback(process.wait, 60)
    stack.callback(process.terminate)


def _state(cluster: Cluster) -> str:
    try:
        return cluster.command("sinfo", "--noheader", "--format=%t").strip()
    except subprocess.CalledProcessError:  # the daemon does not answer yet
        return ""


def _cancel_all(cluster: Cluster) -> None:
    """So that no job outlives its cluster."""
    cluster.release()
    cluster.command("scancel", f"--user={getpass.getuser()}")
    until(lambda: not cluster.command("squeue", "--noheader"), "the end of the cancelled jobs")
