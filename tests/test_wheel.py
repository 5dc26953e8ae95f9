"""The built wheel works where nothing of this checkout is."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "examples" / "clips" / "animal.ogg"
NEEDED = ("py.typed", "prompts.toml", "data/languages.toml", "model/chat_template.jinja", "mini/model.safetensors")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_its_data_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"opendasheng/{name}" for name in NEEDED} <= set(names)
    package = [name for name in names if ".dist-info/" not in name]
    assert all(name.startswith("opendasheng/") and "__pycache__" not in name for name in package)


def _answers(folder, *pip):
    """Make an environment in ``folder``, install there, and caption a clip from a folder that is not this one."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OPENDASHENG_OFFLINE": "1"}
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pip], check=True)
    if "--no-deps" in pip:  # the dependencies are those of the environment that runs the tests
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = [python, "-c", "import opendasheng; print(opendasheng.__file__)"]
    assert str(folder) in subprocess.run(where, cwd=folder, env=environment, capture_output=True, text=True).stdout
    command = [folder / "bin" / "opendasheng", "caption", CLIP]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_answers_from_another_environment(wheel, tmp_path):
    done = _answers(tmp_path / "venv", "--no-deps", wheel)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.full
def test_the_wheel_answers_from_an_empty_environment(wheel, tmp_path):
    done = _answers(tmp_path / "venv", wheel, "-c", ROOT / "constraints.txt")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
