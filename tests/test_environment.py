"""One reading of the variables that switch the network off."""

import os

import pytest

from opendasheng import environment


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENDASHENG_OFFLINE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "x")  # so that what a test leaves is undone
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["OPENDASHENG_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), (" True ", True), ("ON", True), ("yes", True), ("0", False), ("", False)]
)
def test_either_variable_counts(name: str, value: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not environment.is_offline()
    monkeypatch.setenv(name, value)
    assert environment.is_offline() == offline


def test_what_is_prepared_holds_for_libraries_too() -> None:
    environment.prepare(offline=False)
    assert not environment.is_offline()
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "error"
    os.environ["TRANSFORMERS_VERBOSITY"] = "info"
    environment.prepare(offline=True)
    assert environment.is_offline()
    assert os.environ["HF_DATASETS_OFFLINE"] == "1"
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"  # what a user chose stays
