"""A language model behind a real server, which answers well, badly or not at all."""

import dataclasses
import json
from pathlib import Path

import pytest
from chat_servers import Server
from findings import heard, tagged, valued

from opendasheng.curate.config import CurationConfig, PoolConfig, WriterConfig
from opendasheng.curate.describe import describe
from opendasheng.curate.pipeline import write_about
from opendasheng.curate.record import DIFFICULTIES, QUESTION_CATEGORIES, Drop, Record
from opendasheng.curate.report import writings
from opendasheng.curate.writer import Writer
from opendasheng.errors import ConfigError

FIELDS = ("short", "long", "speech", "music", "sound", "environment")
CAPTIONS = {field: f"A dog barks, as {field} says." for field in FIELDS}
QUESTIONS = [
    {"category": category, "difficulty": DIFFICULTIES[0], "question": f"What of {category}?", "answer": "A dog."}
    for category in QUESTION_CATEGORIES[:5]
]
GOOD = (json.dumps(CAPTIONS), json.dumps({"questions": QUESTIONS}))


def clip(number: int = 0) -> Record:
    return heard(
        tagged(("Dog", 0, 2 + number / 10), ("Bark", 1, 2)), valued("levels", loudness_lufs=-30.5), id=f"clip-{number}"
    )


def write(server: Server | str, folder: Path, records: list[Record], **options: object) -> list[Record]:
    url = server if isinstance(server, str) else server.url
    config = WriterConfig(
        **{
            "endpoints": (url,),
            "model": "m",
            "concurrency": 1,
            "server_attempts": 1,
            "timeout_seconds": 20.0,
            **options,
        }
    )
    found = dict(Writer(config, folder).write(records))
    assert sorted(found) == list(range(len(records)))
    return [found[number] for number in range(len(records))]


def test_captions_and_questions_go_into_the_record_and_nothing_is_asked_twice(serve, tmp_path):
    server = serve(*GOOD)
    [record] = write(server, tmp_path, [clip()])
    assert record.captions["model"].model_dump() == {
        "maker": "m, prompts 4",
        **CAPTIONS,
        "speech": "No speech is heard.",
        "music": "No music is heard.",
    }
    assert [question.model_dump() for question in record.questions] == QUESTIONS
    assert {name: w.error for name, w in record.writing.items()} == {"captions": "", "questions": ""}
    assert Record.from_line(record.to_line()) == record
    prompt = server.requests[0]["body"]["messages"][0]["content"]
    assert prompt.endswith("heard: Dog 0.0 to 2.0 s, Bark 1.0 to 2.0 s\nquality: loudness: soft")
    assert "{evidence}" not in prompt
    schema = server.requests[1]["body"]["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert "questions" in schema["schema"]["properties"]

    assert write(server, tmp_path, [clip()]) == [record]
    assert len(server.requests) == 2


def test_after_a_bad_answer_it_is_asked_again_with_the_reason(serve, tmp_path):
    cat = json.dumps({**CAPTIONS, "sound": "A cat meows."})
    server = serve('{"short": ""}', cat, "{thoughts", GOOD[0], GOOD[1])
    [record] = write(server, tmp_path, [clip()], attempts=4)
    written = record.writing["captions"]
    assert written.error == ""
    assert written.rejected == (
        "no JSON of this form: long: Field required",
        "sound: not grounded: cat",
        "no JSON",
    )
    first, _, third, *_ = (request["body"]["messages"] for request in server.requests)
    assert [message["role"] for message in third] == ["user"]
    assert third[0]["content"].startswith(first[0]["content"])
    assert third[0]["content"].endswith("not be taken: sound: not grounded: cat. Write another one.")
    assert [request["body"]["temperature"] for request in server.requests] == [0.0, 0.7, 0.7, 0.7, 0.0]
    assert len({request["body"]["seed"] for request in server.requests[:4]}) == 4


def test_what_is_never_taken_is_told_and_the_next_clip_goes_on(serve, tmp_path):
    few = json.dumps({"questions": QUESTIONS[:4]})
    twice = json.dumps({"questions": [*QUESTIONS[:4], QUESTIONS[0]]})
    server = serve(GOOD[0], few, twice, *GOOD)
    first, second = write(server, tmp_path, [clip(0), clip(1)], attempts=2)
    assert first.questions == ()
    assert first.captions["model"].short == CAPTIONS["short"]
    assert first.writing["questions"].rejected == ("4 questions in the place of 5", "a question is asked twice")
    assert first.writing["questions"].error == "no attempt was taken"
    assert len(second.questions) == 5


def test_reasoning_and_tokens_are_kept_apart_from_the_answer(serve, tmp_path):
    """The action "think" answers with the prompt, which is no JSON, and with reasoning."""
    [record] = write(serve("think", "think"), tmp_path, [clip()], attempts=1)
    for written in record.writing.values():
        assert written.prompt_tokens == 7
        assert written.completion_tokens > 100
        assert written.rejected[0].startswith("no JSON")
        assert written.reasoning == ""  # of an answer that was not taken, none is kept
    text = writings([record], prompt_price=1e6, completion_price=0)
    assert "| captions | 1 | 0 | 1 | 7 |" in text
    assert "7.0000" in text
    assert "- rejected, captions: no JSON (1)" in text


@pytest.mark.parametrize("fault", ["400", "429-after-0", "500", "garbage", "empty", "drop"])
def test_a_server_that_fails_is_told_and_asked_again_by_the_next_run(serve, tmp_path, fault):
    server = serve(fault, fault, *GOOD)
    [failed] = write(server, tmp_path, [clip()])
    assert failed.captions == {}
    assert all("clip-0: http" in written.error for written in failed.writing.values())
    [mended] = write(server, tmp_path, [clip()])
    assert {written.error for written in mended.writing.values()} == {""}


def test_a_server_that_is_gone_is_not_asked_for_every_clip(tmp_path):
    records = write("http://127.0.0.1:9/v1", tmp_path, [clip(number) for number in range(30)])
    errors = [written.error for record in records for written in record.writing.values()]
    assert len(errors) == 60
    assert sum("no connection" in error for error in errors) == 20
    assert sum("not asked: no server has answered 20 times in a row" in error for error in errors) == 40


def test_a_damaged_answer_on_disk_is_asked_again(serve, tmp_path):
    server = serve(*GOOD, *GOOD)
    write(server, tmp_path, [clip()])
    for path in tmp_path.rglob("*.json"):
        path.write_text("{")
    [record] = write(server, tmp_path, [clip()])
    assert len(record.questions) == 5
    assert len(server.requests) == 4


def test_thought_inside_an_answer_is_reasoning_and_no_part_of_it(serve, tmp_path):
    server = serve("<think>Is it { a cat? No.</think>\n" + GOOD[0], GOOD[1])
    [record] = write(server, tmp_path, [clip()], attempts=1)
    assert record.captions["model"].short == CAPTIONS["short"]
    assert record.writing["captions"].reasoning == "Is it { a cat? No."


def test_a_run_asks_about_some_of_what_is_heard(serve, tmp_path, capsys):
    """Of two sources one clip each; what is dropped or silent is not asked about."""
    described = [
        describe(record)
        for record in (
            *(clip(number).model_copy(update={"source": f"s{number % 2}"}) for number in range(6)),
            heard(id="silent"),
            heard(tagged(("Dog", 0, 2)), id="dropped", dropped=Drop(step="read", reason="x")),
        )
    ]
    server = serve(*GOOD, *GOOD)
    writer = WriterConfig(endpoints=(server.url,), model="m", clips=2, concurrency=1)
    config = CurationConfig(name="x", output=str(tmp_path), pools=(PoolConfig(("tags",)),), writer=writer)
    found = write_about(config, described)
    assert [record.id for record in found] == [record.id for record in described]
    written = [record for record in found if record.writing]
    assert [len(record.questions) for record in written] == [5, 5]
    assert {record.source for record in written} == {"s0", "s1"}
    assert "2 clips are written about by m, prompts 4" in capsys.readouterr().err
    assert write_about(dataclasses.replace(config, writer=WriterConfig()), described) == described


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"attempts": 0}, "writer.attempts is 0"),
        ({"temperature": -1.0}, "writer.temperature"),
        ({"endpoints": ("ftp://x",)}, "no address"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, told):
    with pytest.raises(ConfigError, match=told):
        write("http://127.0.0.1:9/v1", tmp_path, [clip()], **options)
