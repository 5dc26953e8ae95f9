"""X-ARES's tars: what is written is read, what is not its format is refused."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.dataset import Sample, label_of
from opendasheng.evaluate.xares.tars import READY, TarDataset, is_there, write_task
from opendasheng.evaluate.xares.tasks import official_tasks

GENDER = official_tasks()["librispeechmalefemale"]


def samples(count: int, seed: int = 0) -> list[Sample]:
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        audio = (random.integers(-20_000, 20_000, size=4000 + 10 * number) / 32768).astype(np.float32)
        found.append(Sample(f"clip-{seed}-{number}", {"gender": "MF"[number % 2]}, lambda audio=audio: audio))
    return found


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    archive.addfile(header, io.BytesIO(content))


def write_tar(root: Path, members: dict[str, bytes]) -> TarDataset:
    folder = root / GENDER.name
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "train-clean-100-0.tar", "w") as archive:
        for name, content in members.items():
            add(archive, name, content)
    return TarDataset(root, GENDER)


def wav(rate_hz: int, audio: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate_hz, format="WAV")
    return buffer.getvalue()


def test_what_is_written_is_read_bit_for_bit(tmp_path) -> None:
    given = {name: samples(5, seed) for seed, name in enumerate(GENDER.splits)}
    folder = write_task(tmp_path, GENDER, given)
    assert folder == tmp_path / GENDER.name
    assert (folder / READY).exists()
    assert is_there(tmp_path, GENDER)
    for name, expected in given.items():
        found = TarDataset(tmp_path, GENDER).split(name).samples
        assert [sample.key for sample in found] == [sample.key for sample in expected]
        assert [label_of(GENDER, sample) for sample in found] == list("MFMFM")
        for one, other in zip(found, expected, strict=True):
            assert np.array_equal(one.audio(), other.audio())


def test_the_same_samples_are_the_same_bytes_and_other_audio_another_fingerprint(tmp_path) -> None:
    written = []
    for number, seed in enumerate((0, 0, 7)):
        folder = write_task(tmp_path / str(number), GENDER, {name: samples(3, seed) for name in GENDER.splits})
        written.append([path.read_bytes() for path in sorted(folder.glob("*.tar"))])
    prints = [TarDataset(tmp_path / str(number), GENDER).split("test").fingerprint for number in range(3)]
    assert written[0] == written[1] != written[2]
    assert prints[0] == prints[1] != prints[2]


def test_folds_and_shared_tars_have_the_names_of_the_task(tmp_path) -> None:
    folds = official_tasks()["gtzan_genre"]
    folder = write_task(tmp_path, folds, {name: samples(1) for name in folds.splits})
    assert sorted(path.name for path in folder.glob("*.tar"))[0] == "gtzan_fold_0_0000000.tar"
    shared = official_tasks()["voxlingua33"]
    folder = write_task(tmp_path, shared, {name: samples(1, seed) for seed, name in enumerate(shared.splits)})
    assert len(list(folder.glob("*.tar"))) == 2
    assert TarDataset(tmp_path, shared).split("test").samples[0].key == "clip-2-0"


def test_any_rate_and_channels_are_heard_as_mono_at_16_khz(tmp_path) -> None:
    times = np.arange(44_100) / 44_100
    stereo = np.stack([np.sin(2 * np.pi * 500 * times), np.zeros(44_100)], axis=1)
    dataset = write_tar(tmp_path, {"a.b.wav": b"", "x.wav": wav(44_100, stereo), "x.json": b'{"gender": "M"}'})
    (dataset.folder / "train-clean-100-0.tar").unlink()
    dataset = write_tar(tmp_path, {"x.wav": wav(44_100, stereo), "x.json": b'{"gender": "M"}'})
    audio = dataset.split("train").samples[0].audio()
    assert audio.shape == (16_000,)
    assert np.abs(audio[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a.json": b"{}"}, "a has json; a sample is an audio file and a JSON file"),
        ({"a.flac": b"x"}, "a has flac; a sample is"),
        ({"a.flac": b"x", "a.json": b"{"}, "a.json is not JSON"),
    ],
)
def test_half_samples_are_refused(tmp_path, members, words) -> None:
    with pytest.raises(EvaluationError, match=words):
        write_tar(tmp_path, members).split("train")


def test_bad_audio_is_refused_with_its_name(tmp_path) -> None:
    sample = write_tar(tmp_path, {"a.flac": b"not audio", "a.json": b"{}"}).split("train").samples[0]
    with pytest.raises(EvaluationError, match=r"train-clean-100-0.tar: a: "):
        sample.audio()


def test_missing_and_damaged_tars_are_refused(tmp_path) -> None:
    assert not is_there(tmp_path, GENDER)
    with pytest.raises(EvaluationError, match=r"no train-clean-100\*.tar for the split train"):
        TarDataset(tmp_path, GENDER).split("train")
    dataset = write_tar(tmp_path, {})
    (dataset.folder / "train-clean-100-0.tar").write_bytes(b"junk" * 1000)
    with pytest.raises(EvaluationError, match="not a readable tar"):
        dataset.split("train")


def test_nothing_is_overwritten_and_all_splits_are_wanted(tmp_path) -> None:
    with pytest.raises(EvaluationError, match="its splits are train, valid, test, not train"):
        write_task(tmp_path, GENDER, {"train": samples(1)})
    write_task(tmp_path, GENDER, {name: samples(1) for name in GENDER.splits})
    with pytest.raises(EvaluationError, match="exists already"):
        write_task(tmp_path, GENDER, {name: samples(1) for name in GENDER.splits})


@pytest.mark.parametrize(
    ("task", "content", "words"),
    [
        ("cremad", [1], "is a list, not an object"),
        ("cremad", {"emotion": "A"}, "has no 'label', only 'emotion'"),
        ("cremad", {"label": None}, "'label' is None"),
        ("clotho", {"caption_1": 3}, "no list of captions"),
        ("clotho", {}, "no list of captions"),
        ("desed", {"onset": 1}, "not a list of events"),
        ("desed", [{"onset": 1, "label": "Dog"}], "does not hold 'onset', 'offset' and 'label'"),
    ],
)
def test_labels_of_another_task_are_refused(task, content, words) -> None:
    sample = Sample("clip7", content, lambda: np.zeros(1, np.float32))
    with pytest.raises(EvaluationError, match=f"{task}: sample clip7: .*{words}"):
        label_of(official_tasks()[task], sample)


def test_labels_of_every_kind() -> None:
    def read(task: str, content: object) -> object:
        return label_of(official_tasks()[task], Sample("x", json.loads(json.dumps(content)), lambda: np.zeros(1)))

    assert read("esc50", {"label": 7}) == "7"
    assert read("fsd50k", {"soundevent": "Bark;Dog"}) == ("Bark", "Dog")
    assert read("clotho", {"caption_1": "a", "caption_2": "b"}) == ("a", "b")
    assert read("librispeech", {"trans": "HELLO"}) == "HELLO"
    assert read("desed", [{"onset": 0, "offset": 1.5, "label": "Dog,Cat"}]) == ((0, 1.5, "Dog"), (0, 1.5, "Cat"))
    assert read("maestro", [{"start": 0.5, "end": 1, "note": 60}]) == ((0.5, 1.0, "60"),)
