"""workflow/snakemake_internals.py reaches into Snakemake: this fails where another lacks a part."""

import ast
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from commands import ROOT, snakemake

FILE = ROOT / "workflow/snakemake_internals.py"

# Calls every function of the file, while Snakemake reads it.
SNAKEFILE = """
import json
import os
import sys

sys.path.insert(0, "{folder}")
import snakemake_internals as internals

main = internals.is_main(workflow)
if internals.on_cluster(workflow):
    internals.freeze(workflow, config)
with open("{found}", "w") as file:
    json.dump(
        {{
            "main": main,
            "asked": internals.is_asked_itself(workflow),
            "imported": internals.is_imported(workflow),
            "given": internals.given(workflow),
            "cluster": internals.on_cluster(workflow),
            "slurm": internals.uses_slurm(workflow),
            "conda": internals.has_conda(workflow),
            "lent": internals.cores_and_gpus(workflow),
            "read": list(map(str, internals.config_files(workflow))),
            "of jobs": list(map(str, workflow.overwrite_configfiles)),
            "called here": internals.runs_where_it_was_called(workflow),
            "located": internals.located(workflow, "made"),
        }},
        file,
    )


made = internals.located(workflow, "made")


def there(wildcards):
    if config.get("again"):
        internals.make_again(workflow, made)
    return "there"


internals.end_on_hang_up()


onstart:
    internals.leave_account_to_slurm(workflow)
    with open("{found}", "w") as file:
        account = workflow.scheduler._executor._fallback_account_arg
        json.dump([sorted(map(str, internals.inputs(workflow))), account], file)


rule all:
    input:
        "made",
    localrule: True


rule made:
    input:
        there,
    output:
        "made",
    localrule: True
    params:
        snakemake=os.getpid(),
    shell:
        "trap 'touch heard; exit 1' HUP; kill -HUP {{params.snakemake}};"
        " for _ in 1 2 3 4 5 6 7 8 9; do sleep 0.2; done; touch made"
"""

FILES = [str(ROOT / "config.yaml"), str(ROOT / "demo/config.yaml")]
GIVEN = ["--configfile", *FILES, "--config", "title=given", "seeds=[1]"]
ON_CLUSTER = ["--executor", "slurm", "--jobs", 2]


def write(folder: Path, imported: bool = False) -> None:
    """A workflow, perhaps one that another imports."""
    where = folder / "imported" if imported else folder
    where.mkdir(exist_ok=True)
    text = SNAKEFILE.format(folder=FILE.parent, found=folder / "found.json")
    (where / "Snakefile").write_text(text)
    for place in (folder, folder / "below"):
        place.mkdir(exist_ok=True)
        (place / "there").touch()
    if imported:
        module = 'module other:\n    snakefile: "imported/Snakefile"\n    config: config\n'
        module += '    prefix: "below"\n\n\n'
        (folder / "Snakefile").write_text(module + "use rule * from other as other_*\n")


def found(folder: Path, *options: object, imported: bool = False) -> dict[str, Any]:
    """What the file says of a workflow that a command starts."""
    write(folder, imported)
    planned(folder, *options)
    return json.loads((folder / "found.json").read_text())


def planned(folder: Path, *options: object) -> str:
    """What Snakemake says of what it would do."""
    return snakemake(folder, "--dry-run", *options, root=folder).stdout


def test_every_function_is_called_here() -> None:
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    public = {name for name in names if not name.startswith("_")}
    assert {name for name in public if f"internals.{name}(" in SNAKEFILE} == public


def test_a_workflow_on_this_machine(tmp_path: Path) -> None:
    assert found(tmp_path, "--cores", 3, "--resources", "gpu=2", *GIVEN) == {
        "main": True,
        "asked": True,
        "imported": False,
        "given": {"title": "given", "seeds": ["1"]},
        "cluster": False,
        "slurm": False,
        "conda": False,
        "lent": [3, 2],
        "read": FILES,
        "of jobs": FILES,
        "called here": False,  # the tests name a --directory
        "located": "made",
    }


def test_a_job_of_a_workflow(tmp_path: Path) -> None:
    job = found(tmp_path, "--cores", 1, "--mode", "subprocess", *GIVEN)
    assert not job["main"] and not job["asked"]
    assert job["read"] == FILES


def test_the_jobs_of_a_cluster_are_started_with_the_configuration_of_now(tmp_path: Path) -> None:
    one = found(tmp_path, *ON_CLUSTER, "--config", "title=given")
    assert one["main"] and one["cluster"]
    assert one["lent"] == [1, 1]
    (kept,) = (tmp_path / ".snakemake/ablations").iterdir()
    assert one["of jobs"] == [str(kept)]
    assert json.loads(kept.read_text()) == {"title": "given"}


def test_what_a_workflow_reads_and_that_a_closed_terminal_leaves_no_lock(tmp_path: Path) -> None:
    write(tmp_path)
    done = snakemake(tmp_path, "--cores", 1, root=tmp_path, check=False)
    assert done.returncode == 1
    assert "Terminating processes on user request" in done.stdout
    assert json.loads((tmp_path / "found.json").read_text()) == [["there"], ""]
    assert (tmp_path / "heard").exists()
    assert not list((tmp_path / ".snakemake/locks").glob("*"))


def test_an_imported_workflow_leaves_that_to_the_one_that_imports_it(tmp_path: Path) -> None:
    one = found(tmp_path, *ON_CLUSTER, *GIVEN, imported=True)
    assert one["main"] and one["imported"] and not one["asked"]
    assert one["of jobs"] == FILES
    assert one["located"] == "below/made"
    assert not (tmp_path / ".snakemake/ablations").exists()


@pytest.mark.parametrize(("imported", "made"), [(False, "made"), (True, "below/made")])
def test_a_file_is_made_again_though_it_is_there(tmp_path: Path, imported: bool, made: str) -> None:
    write(tmp_path, imported)
    (tmp_path / made).touch()
    os.utime(tmp_path / made, (time.time() + 60,) * 2)  # than its input
    assert "Nothing to be done" in planned(tmp_path)
    assert "Forced execution" in planned(tmp_path, "--config", "again=true")
