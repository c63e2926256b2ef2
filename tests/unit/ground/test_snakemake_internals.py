"""workflow/snakemake_internals.py reaches into Snakemake: this fails where another lacks a part."""

import ast
import json
import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake import __version__
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, ResourceSettings
from snakemake.workflow import Workflow

from commands import ROOT, snakemake

FILE = ROOT / "workflow/snakemake_internals.py"

# Of the object that Snakefiles know as `workflow`.
ATTRIBUTES = {
    "is_main_process",
    "config_settings.config",
    "config_settings.configfiles",
    "resource_settings.nodes",
    "resource_settings.cores",
    "global_resources",
    "modifier.is_main_snakefile",
    "configfiles",
    "overwrite_workdir",
}


def reached_into() -> set[str]:
    """Every `workflow.….…` in the file, without what its values have themselves."""
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    texts = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    texts = {
        text.removesuffix(".keys") for text in texts if re.fullmatch(r"workflow(\.\w+)+", text)
    }
    whole = (text for text in texts if not any(each.startswith(f"{text}.") for each in texts))
    return {text.removeprefix("workflow.") for text in whole}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """A workflow that has not read its Snakefile."""
    snakefile = tmp_path_factory.mktemp("workflow") / "Snakefile"
    snakefile.touch()
    resources = ResourceSettings(cores=4, nodes=2, resources={"gpu": 3})
    with SnakemakeApi() as api:
        made = api.workflow(
            resource_settings=resources,
            config_settings=ConfigSettings(config={"title": "given"}),
            snakefile=snakefile,
        )
        yield made._workflow


def test_every_attribute_is_named_here() -> None:
    assert reached_into() == ATTRIBUTES


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_this_snakemake_has_it(workflow: Workflow, name: str) -> None:
    try:
        operator.attrgetter(name)(workflow)
    except AttributeError as error:
        pytest.fail(f"Snakemake {__version__} has no workflow.{name} ({error}); see {FILE.name}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("is_main_process", True),
        ("config_settings.config", {"title": "given"}),
        ("resource_settings.cores", 4),
        ("resource_settings.nodes", 2),
    ],
)
def test_it_means_what_is_read_into_it(workflow: Workflow, name: str, value: object) -> None:
    assert operator.attrgetter(name)(workflow) == value


def test_resources_of_the_command_line_have_values(workflow: Workflow) -> None:
    assert "gpu" in workflow.global_resources and "other" not in workflow.global_resources
    assert workflow.global_resources["gpu"].value == 3


def test_configuration_files_can_be_exchanged_for_those_of_jobs(workflow: Workflow) -> None:
    before = workflow.config_settings.configfiles
    workflow.config_settings.configfiles = [Path("frozen.json")]
    assert workflow.overwrite_configfiles == [Path("frozen.json")]  # what jobs are started with
    workflow.config_settings.configfiles = before


SNAKEFILE = """
import json
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
            "keys": sorted(internals.command_line_keys(workflow)),
            "cluster": internals.on_cluster(workflow),
            "lent": internals.cores_and_gpus(workflow),
            "files": list(map(str, workflow.config_settings.configfiles)),
            "read": list(map(str, internals.config_files(workflow))),
            "called here": internals.runs_where_it_was_called(workflow),
        }},
        file,
    )


rule all:
    localrule: True
"""


def found(folder: Path, *options: object, imported: bool = False) -> dict[str, Any]:
    """What the file says of a workflow that a command starts, perhaps imported by another."""
    where = folder / "imported" if imported else folder
    where.mkdir(exist_ok=True)
    text = SNAKEFILE.format(folder=FILE.parent, found=folder / "found.json")
    (where / "Snakefile").write_text(text)
    if imported:
        module = 'module other:\n    snakefile: "imported/Snakefile"\n    config: config\n\n\n'
        (folder / "Snakefile").write_text(module + "use rule * from other as other_*\n")
    snakemake(folder, "--dry-run", *options, root=folder)
    return json.loads((folder / "found.json").read_text())


def test_a_workflow_on_this_machine(tmp_path: Path) -> None:
    options = ["--cores", 3, "--resources", "gpu=2", "--config", "title=given", "seeds=[1]"]
    assert found(tmp_path, *options) == {
        "main": True,
        "keys": ["seeds", "title"],
        "cluster": False,
        "lent": [3, 2],
        "files": [],
        "read": [],
        "called here": False,  # the tests name a --directory
    }


def test_a_job_of_a_workflow(tmp_path: Path) -> None:
    options = ["--cores", 1, "--mode", "subprocess", "--configfile", ROOT / "config.yaml"]
    job = found(tmp_path, *options)
    assert not job["main"] and not job["read"]


@pytest.mark.parametrize("imported", [False, True])
def test_the_files_that_a_configuration_is_in(tmp_path: Path, imported: bool) -> None:
    """Unless another workflow imports this one, whose files they are."""
    files = [str(ROOT / "config.yaml"), str(ROOT / "demo/config.yaml")]
    options = ["--cores", 1, "--configfile", *files]
    assert found(tmp_path, *options, imported=imported)["read"] == ([] if imported else files)


@pytest.mark.parametrize("imported", [False, True])
def test_a_workflow_on_a_cluster_keeps_its_configuration(tmp_path: Path, imported: bool) -> None:
    """Unless another imports it, whose configuration it is."""
    options = ["--executor", "slurm", "--jobs", 2, "--config", "title=given"]
    one = found(tmp_path, *options, imported=imported)
    assert one["main"] and one["cluster"]
    assert one["lent"] == [1, 1]
    kept = list((tmp_path / ".snakemake/ablations").glob("*"))
    assert one["files"] == ([] if imported else list(map(str, kept)))
    assert [json.loads(path.read_text()) for path in kept] == [{"title": "given"}] * (not imported)


def test_the_folder_of_a_snakefile_is_known_while_it_is_read() -> None:
    """What the Snakefile and common.smk find config.yaml and the library by."""
    assert hasattr(Workflow, "current_basedir"), "Snakemake has no workflow.current_basedir"
