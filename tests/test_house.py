"""The house keeps its own rules: sizes, imports, characters, links."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "opendasheng").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
HOUSE_FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "LICENSE")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_DATACLASS_FIELDS = 15

LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of these kinds in the sources, with the place to name in a failure."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", node


def is_dataclass(node: ast.ClassDef) -> bool:
    decorators = (item.func if isinstance(item, ast.Call) else item for item in node.decorator_list)
    return any(getattr(item, "id", getattr(item, "attr", "")) == "dataclass" for item in decorators)


def num_fields(node: ast.ClassDef) -> int:
    annotated = (item for item in node.body if isinstance(item, ast.AnnAssign))
    return sum("ClassVar" not in ast.unparse(item.annotation) for item in annotated)


def test_no_file_has_two_subjects() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert sizes, "no sources found"
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    long = {
        f"{place} {node.name}": node.end_lineno - node.lineno + 1
        for place, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_no_dataclass_is_a_bag() -> None:
    classes = [(place, node) for place, node in nodes(ast.ClassDef) if isinstance(node, ast.ClassDef)]
    wide = {
        f"{place} {node.name}": num_fields(node)
        for place, node in classes
        if is_dataclass(node) and num_fields(node) > MAX_DATACLASS_FIELDS
    }
    assert wide == {}


def test_no_exception_is_swallowed_whole() -> None:
    bare = [
        place for place, node in nodes(ast.ExceptHandler) if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sources_are_ascii_and_finished(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    strange = sorted({character for character in text if not character.isascii()})
    assert strange == []
    assert re.findall(r"\b(?:TODO|FIXME|XXX)\b", text) == []


def test_import_rules_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter comes with the [dev] extra, which is not installed here")
    done = subprocess.run(
        [program, "--no-cache", "--config", ".importlinter"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["opendasheng", "opendasheng.errors", "opendasheng.lengths", "opendasheng.audio"])
def test_light_modules_load_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(sorted({{'torch', 'transformers', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", HOUSE_FILES)
def test_house_files_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^(```|~~~).*?^\1", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [target.partition("#")[0] for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]
    missing = [target for target in targets if target and not (path.parent / target).exists()]
    assert missing == []


def test_ci_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert "make --no-print-directory test" in script.read_text(encoding="utf-8")


def test_constraints_pin_every_requirement_exactly() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", pin) for pin in pins), "a local or open version"
    pinned = {pin.partition("==")[0] for pin in pins}
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["train"]]
    names = {re.split(r"[\[<>=!~; ]", line)[0].lower().replace("_", "-") for line in wanted} - {"opendasheng"}
    assert names - pinned == set()
