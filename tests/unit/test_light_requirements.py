"""What the light installation consists of, held against what the project says it needs."""

from importlib.metadata import version

import pytest
from packaging.utils import canonicalize_name

from bot.makers import scoring_libraries
from tests import light_requirements
from tests.light_requirements import HEAVY, REPLACED, ROOT, constraints, direct

FILE = ROOT / "requirements-light.txt"


def pinned() -> dict[str, str]:
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def test_every_dependency_but_the_heavy_ones_is_there_in_the_version_that_is_tested() -> None:
    found, versions = pinned(), constraints()
    wanted = {canonicalize_name(REPLACED.get(requirement.name, requirement.name)) for requirement in direct()}
    assert wanted <= found.keys()
    assert found == {name: versions[canonicalize_name(name)] for name in found}


def test_nothing_heavy_is_there_and_what_only_the_heavy_ones_need_neither() -> None:
    assert (
        pinned().keys() & (HEAVY | {"sympy", "mpmath", "networkx", "fsspec", "ml-dtypes", "scipy"}) == set()
    )


def test_the_file_is_what_the_documented_command_prints() -> None:
    assert FILE.read_text() == light_requirements.text()


@pytest.mark.parametrize("engine", ["torch-fp32", "onnxruntime-int8", "openvino-fp32"])
def test_a_score_names_the_library_that_made_it_and_no_other_engine(engine: str) -> None:
    library = engine.partition("-")[0]
    found = scoring_libraries(engine)
    assert found[library] == version(library)
    assert found.keys() & {"torch", "onnxruntime", "openvino"} == {library}
    assert {"av", "numpy", "pillow"} <= found.keys()


def test_libraries_that_are_not_installed_are_left_out() -> None:
    assert "nothing" not in scoring_libraries("nothing-int8")
