"""Averages over tasks, against the tables that the package's README prints (percent as shares, three decimals)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.evaluate.xares.averages import Scored, averages, weighted_average
from opendasheng.evaluate.xares.tasks import official_tasks

ENCODERS = ("dasheng", "wav2vec2", "whisper", "data2vec")

KNN = {
    "asvspoof2015": (0.869, 0.858, 0.843, 0.942),
    "cremad": (0.380, 0.221, 0.372, 0.351),
    "esc50": (0.618, 0.081, 0.191, 0.040),
    "fluentspeechcommands": (0.260, 0.017, 0.032, 0.630),
    "freemusicarchive": (0.592, 0.251, 0.406, 0.106),
    "gtzan_genre": (0.758, 0.303, 0.350, 0.108),
    "libricount": (0.311, 0.235, 0.246, 0.176),
    "librispeechmalefemale": (0.791, 0.606, 0.617, 0.724),
    "nsynthinstument": (0.499, 0.251, 0.205, 0.179),
    "ravdess": (0.408, 0.169, 0.296, 0.313),
    "speechcommandsv1": (0.903, 0.208, 0.096, 0.852),
    "urbansound8k": (0.662, 0.339, 0.215, 0.156),
    "vocalimitations": (0.107, 0.010, 0.016, 0.018),
    "vocalsound": (0.382, 0.269, 0.405, 0.308),
    "voxceleb1": (0.262, 0.003, 0.010, 0.033),
    "voxlingua33": (0.376, 0.034, 0.360, 0.058),
    "key_scratching": (0.955, 0.923, 0.691, 0.550),
    "finger_snap": (0.848, 0.787, 0.401, 0.461),
    "inside_outside_car": (0.798, 0.575, 0.730, 0.588),
    "subway_broadcast": (0.949, 0.533, 0.884, 0.530),
}
MLP = {
    "asvspoof2015": (0.964, 0.924, 0.966, 0.937),
    "clotho": (0.029, 0.014, 0.038, 0.008),
    "cremad": (0.767, 0.541, 0.572, 0.523),
    "desed": (0.537, 0.313, 0.127, 0.136),
    "esc50": (0.857, 0.510, 0.528, 0.229),
    "fluentspeechcommands": (0.946, 0.468, 0.776, 0.978),
    "freemusicarchive": (0.643, 0.469, 0.581, 0.334),
    "fsd50k": (0.409, 0.166, 0.262, 0.085),
    "fsdkaggle2018": (0.534, 0.241, 0.241, 0.153),
    "gtzan_genre": (0.851, 0.630, 0.622, 0.448),
    "libricount": (0.681, 0.583, 0.549, 0.492),
    "librispeech": (0.608, 0.405, 0.721, 0.893),
    "librispeechmalefemale": (0.986, 0.948, 0.973, 0.752),
    "maestro": (0.524, 0.180, 0.011, 0.116),
    "nsynthinstument": (0.688, 0.443, 0.532, 0.336),
    "ravdess": (0.749, 0.442, 0.459, 0.467),
    "speechcommandsv1": (0.969, 0.714, 0.933, 0.927),
    "urbansound8k": (0.833, 0.659, 0.687, 0.426),
    "vocalimitations": (0.253, 0.147, 0.180, 0.128),
    "vocalsound": (0.910, 0.768, 0.860, 0.803),
    "voxceleb1": (0.780, 0.340, 0.388, 0.105),
    "voxlingua33": (0.814, 0.553, 0.873, 0.620),
}


def of(table: dict[str, tuple[float, ...]], column: int) -> list[Scored]:
    tasks = official_tasks()
    return [Scored(row[column], tasks[name].weight, tasks[name].private) for name, row in table.items()]


@pytest.mark.parametrize(
    ("column", "public", "everything"),
    [(0, 0.5037, 0.6827), (1, 0.2625, 0.4686), (2, 0.2986, 0.4748), (3, 0.3873, 0.4549)],
    ids=ENCODERS,
)
def test_the_published_averages_of_the_neighbours(column: int, public: float, everything: float) -> None:
    assert set(KNN) == {name for name, task in official_tasks().items() if task.knn}
    found = averages(of(KNN, column))
    assert found.public == pytest.approx(public, abs=5e-5)
    assert found.all == pytest.approx(everything, abs=5e-5)


@pytest.mark.parametrize(("column", "computed"), [(0, 0.694), (1, 0.484), (2, 0.626), (3, 0.593)], ids=ENCODERS)
def test_the_published_averages_of_the_heads_do_not_follow_from_their_table(column: int, computed: float) -> None:
    published = (0.699, 0.490, 0.632, 0.598)[column]
    found = averages(of(MLP, column)).public
    assert found == pytest.approx(computed, abs=5e-4)
    assert abs(found - published) > 0.004


def test_what_the_package_prints_as_public_is_the_private_average() -> None:
    tasks = [Scored(0.9, 1, private=False), Scored(0.5, 3, private=True), Scored(0.1, 1, private=True)]
    found = averages(tasks)
    assert found.public == pytest.approx(0.9)
    assert found.printed_public == pytest.approx(0.4)
    assert found.all == pytest.approx(0.5)
    assert averages(tasks[:1]).printed_public is None


def test_nothing_has_no_average() -> None:
    assert weighted_average([]) is None
    assert weighted_average([Scored(1.0, 0)]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 10000)), min_size=1, max_size=20), st.randoms())
def test_an_average_lies_among_its_scores_whatever_their_order(rows: list[tuple[float, int]], random) -> None:
    tasks = [Scored(score, weight) for score, weight in rows]
    found = weighted_average(tasks)
    assert min(s.score for s in tasks) - 1e-9 <= found <= max(s.score for s in tasks) + 1e-9
    random.shuffle(tasks)
    assert weighted_average(tasks) == pytest.approx(found)
