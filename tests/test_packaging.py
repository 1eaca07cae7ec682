"""What pyproject.toml, constraints.txt, CITATION.cff and CHANGELOG.md say of one another is true."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tune
from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def needed(asked: list[str]) -> set[str]:
    """The packages that these requirements lead to here."""
    seen: set[str] = set()
    left = [Requirement(text) for text in asked]
    while left:
        requirement = left.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        for further in map(Requirement, metadata.requires(requirement.name) or []):
            extras = requirement.extras or {""}
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                left.append(further)
    return {canonicalize_name(Requirement(text).name) for text in seen}


@pytest.mark.skipif(metadata.version("torch") != pins()["torch"], reason="other versions than in constraints.txt")
def test_the_constraints_pin_all_that_is_installed() -> None:
    extras = PROJECT["optional-dependencies"].values()
    all_of_them = needed(PROJECT["dependencies"] + [text for extra in extras for text in extra])
    assert all_of_them - pins().keys() <= {"setuptools"}  # torch needs it; any will do


def test_the_constraints_are_in_the_ranges() -> None:
    for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)]), text


def test_one_version_everywhere() -> None:
    (cited,) = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    newest, *older = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [newest, *older] if newest != "Unreleased" else older
    assert cited == tune.__version__
    assert released[:1] in ([], [tune.__version__])
