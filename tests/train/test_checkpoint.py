"""A checkpoint comes back to the bit, appears whole or not at all, and says what is wrong with it."""

import json
import shutil

import pytest
import torch
from full_disk import largest_file
from helpers import tiny_processor
from safetensors.torch import save_file
from torch import nn

from opendasheng.errors import TrainingError
from opendasheng.train.checkpoint import FOLDER, Checkpoints, checkpoints, load_checkpoint, writing
from opendasheng.train.world import World


def _model(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 4))
    model[0].bias.requires_grad = False
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, fused=True)
    for _ in range(3):
        model(torch.randn(5, 8)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


@pytest.fixture
def saved(tmp_path):
    """A folder with two checkpoints of a model, the model and its optimiser."""
    model, optimizer = _model(0)
    kept = Checkpoints(tmp_path, 2, World())
    for step in (1, 2, 3):
        kept.save(step, model, optimizer)
    kept.settle()
    return tmp_path, model, optimizer


def test_it_comes_back_to_the_bit(saved):
    folder, model, optimizer = saved
    other, its_optimizer = _model(1)
    with torch.no_grad():
        other[0].bias.copy_(model[0].bias)  # it does not learn: the model of step 0 has it
    assert Checkpoints(folder, 2, World()).load_newest(other, its_optimizer) == 3
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    for a, b in zip(optimizer.state.values(), its_optimizer.state.values(), strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert its_optimizer.param_groups[0]["lr"] == 0.01


def test_it_is_a_copy_of_what_was_there(tmp_path):
    model, optimizer = _model(0)
    kept = Checkpoints(tmp_path, 2, World())
    before = model[2].weight.detach().clone()
    kept.save(1, model, optimizer)
    with torch.no_grad():
        model[2].weight.zero_()
    kept.settle()
    load_checkpoint(tmp_path / "step-00000001", model)
    assert torch.equal(model[2].weight, before)


def test_the_losses_come_with_it(saved):
    folder, model, optimizer = saved
    kept = Checkpoints(folder, 2, World())
    kept.save(4, model, optimizer, [0.5, 0.25])
    kept.settle()
    again = Checkpoints(folder, 2, World())
    assert again.losses == []
    assert (again.load_newest(model, optimizer), again.losses) == (4, [0.5, 0.25])


def test_the_newest_stay(saved):
    folder, *_ = saved
    assert [path.name for path in checkpoints(folder)] == ["step-00000002", "step-00000003"]
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002", "step-00000003"]


def test_without_any_a_run_begins(tmp_path):
    assert Checkpoints(tmp_path / "none", 2, World()).load_newest(*_model(0)) == 0


def test_a_full_disk_leaves_those_before(saved):
    folder, model, optimizer = saved
    kept = Checkpoints(folder, 2, World())
    with largest_file(100):
        kept.save(4, model, optimizer)
        with pytest.raises(TrainingError, match=r"step-00000004: .*File too large.*last checkpoint is .*step-00000003"):
            kept.settle()
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002", "step-00000003"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(1000)),
        lambda path: save_file({"a": torch.zeros(1000)}, path),
        lambda path: tiny_processor().save_pretrained(path),
    ],
    ids=["file", "tensors", "tokenizer"],
)
def test_a_full_disk_is_said_of_whatever_is_written(tmp_path, write):
    def attempt():
        with largest_file(100), writing(tmp_path / "model", tmp_path):
            write(tmp_path / "model")

    with pytest.raises(TrainingError, match=r"model cannot be written .*too large.*there is no checkpoint: make room"):
        attempt()
    (tmp_path / FOLDER / "step-00000003").mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"the last checkpoint is .*step-00000003: make room, and the same command"):
        attempt()
    with pytest.raises(ValueError, match="of another kind"), writing(tmp_path / "model", tmp_path):
        raise ValueError("of another kind")


def _cut(folder):
    [path] = folder.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])


def _put_zeros(folder):
    """As a page that never reached the disk: the file's header stays whole."""
    [path] = folder.glob("*.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-400] + bytes(400))


def _remove(folder):
    [path] = folder.glob("*.safetensors")
    path.unlink()


def _tell(**values):
    """Damage by which ``state.json`` says something else."""

    def damage(folder):
        path = folder / "state.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return damage


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_cut, "cannot be resumed .*remove it"),
        (_put_zeros, r"cannot be resumed \(shard.*safetensors is damaged: .*crc32.*; remove it"),
        (_remove, r"cannot be resumed \(it holds \[\], not \['shard"),
        (lambda folder: (folder / "state.json").unlink(), "cannot be resumed .*state.json"),
        (lambda folder: (folder / "state.json").write_text("{"), "cannot be resumed"),
        (lambda folder: (folder / "state.json").write_text(json.dumps({"step": 3})), "cannot be resumed .*files"),
        (lambda folder: (folder / "state.json").write_text("[]"), r"cannot be resumed \(state.json is damaged: .*list"),
        (_tell(step=2), r"cannot be resumed \(state.json is damaged: step is 2, not 3"),
        (_tell(losses=5), r"cannot be resumed \(state.json is damaged: losses are 5"),
        (_tell(losses=[None]), r"cannot be resumed \(state.json is damaged: losses are"),
    ],
)
def test_damage_is_said(saved, damage, told):
    folder, model, optimizer = saved
    damage(folder / "step-00000003")
    with pytest.raises(TrainingError, match=f"step-00000003: {told}"):
        Checkpoints(folder, 2, World()).load_newest(model, optimizer)
    shutil.rmtree(folder / "step-00000003")
    assert Checkpoints(folder, 2, World()).load_newest(model, optimizer) == 2


def test_one_of_before_files_had_checksums_is_loaded(saved):
    folder, model, optimizer = saved
    path = folder / "step-00000003" / "state.json"
    state = json.loads(path.read_text())
    assert all(told["bytes"] == (path.parent / name).stat().st_size for name, told in state["files"].items())
    path.write_text(json.dumps({**state, "files": list(state["files"])}))
    assert Checkpoints(folder, 2, World()).load_newest(model, optimizer) == 3
    _remove(path.parent)
    with pytest.raises(TrainingError, match=r"cannot be resumed \(it holds \[\], not \['shard"):
        Checkpoints(folder, 2, World()).load_newest(model, optimizer)


def test_what_has_another_name_is_none(saved):
    folder, *_ = saved
    for name in ("step-00000003.bad", "step-", "step-x"):
        shutil.copytree(folder / "step-00000003", folder / name)
    (folder / "step-00000003").rename(folder / "step-100000000")  # a digit more than the others
    assert [path.name for path in checkpoints(folder)] == ["step-00000002", "step-100000000"]


def test_another_model_is_refused(saved):
    folder, *_ = saved
    model = nn.Linear(8, 16)
    with pytest.raises(TrainingError, match="holds other tensors than this model"):
        load_checkpoint(folder / "step-00000003", model, torch.optim.AdamW(model.parameters()))
    wider, _ = _model(0)
    wider[2] = nn.Linear(16, 5)
    with pytest.raises(TrainingError, match=r"cannot be resumed .*[Ss]ize"):
        load_checkpoint(folder / "step-00000003", wider)
