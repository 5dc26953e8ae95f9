"""The decode loop against transformers' own, against batches of one, and against brute force."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from helpers import tiny_model, tiny_processor
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng import prompts
from opendasheng.errors import ConfigError
from opendasheng.model import MiDashengLMModel
from opendasheng.model.generation import (
    GenerationOptions,
    Prompts,
    Row,
    decode,
    end_token_ids,
    prefill,
    score_choices,
)

DECODERS = ("qwen2", "qwen3", "llama")
MODELS = {name: tiny_model(name) for name in DECODERS}
PROCESSOR = tiny_processor()
TEXTS = ("Caption the audio.", "What sound is heard?", "Transcribe the speech into text <|en|>", "A")
# Bytes that the random models say often, so that answers end at different lengths.
FREQUENT_ENDS = frozenset(range(0, 320, 11))


def make_prompts(clips: Sequence[tuple[str, int]], seed: int = 0) -> Prompts:
    """A batch of prompts with noise of the given lengths in samples; each clip is the same whatever its mates."""
    conversations, waves = [], []
    for text, num_samples in clips:
        noise = np.random.default_rng(num_samples + seed).normal(size=num_samples) * 0.1
        waves.append(noise.astype(np.float32))
        conversations.append(prompts.conversation(text, waves[-1]))
    inputs = PROCESSOR.apply_chat_template(conversations, add_generation_prompt=True, tokenize=True, return_dict=True)
    return Prompts(**inputs)


def answer(
    model: MiDashengLMModel,
    inputs: Prompts,
    options: GenerationOptions,
    end_ids: frozenset[int] = FREQUENT_ENDS,
    budgets: list[int] | None = None,
) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in inputs.input_ids]
    for step in decode(prefill(model, inputs), model, options, end_ids, budgets):
        for row, token in zip(rows, step, strict=True):
            if token is not None:
                row.append(token)
    return rows


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("penalty", [1.0, 1.3])
@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty`")
def test_greedy_equals_transformers(decoder: str, penalty: float) -> None:
    model, clips = MODELS[decoder], [(TEXTS[0], 40_000), (TEXTS[1], 3_040), (TEXTS[2], 170_000)]
    ours = answer(model, make_prompts(clips), GenerationOptions(max_new_tokens=24, repetition_penalty=penalty))
    # One by one: in a padded batch of embeddings transformers does not penalise as many new tokens as there is padding.
    theirs = [
        model.generate(
            **make_prompts([clip])._asdict(),
            max_new_tokens=24,
            do_sample=False,
            repetition_penalty=penalty,
            eos_token_id=sorted(FREQUENT_ENDS),
            pad_token_id=0,
        )[0].tolist()
        for clip in clips
    ]
    assert ours == theirs
    assert len({len(row) for row in ours}) > 1, "the rows should end apart, or this shows little"


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=8)
@given(
    clips=st.lists(st.tuples(st.sampled_from(TEXTS), st.integers(3_200, 40_000)), min_size=2, max_size=7, unique=True)
)
def test_greedy_does_not_depend_on_batch_mates(decoder: str, clips: list[tuple[str, int]]) -> None:
    model, options = MODELS[decoder], GenerationOptions(max_new_tokens=16)
    together = answer(model, make_prompts(clips), options)
    assert together == [answer(model, make_prompts([clip]), options)[0] for clip in clips]


def test_rows_that_are_over_leave_the_batch_when_half_of_it_is() -> None:
    model = MODELS["qwen2"]
    sizes: list[int] = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    try:
        budgets, clips = [1, 2, 3, 5, 8], [(TEXTS[0], 3_200 + 5_000 * n) for n in range(5)]
        rows = answer(model, make_prompts(clips), GenerationOptions(), frozenset({-1}), budgets)
    finally:
        hook.remove()
    for row, clip, budget in zip(rows, clips, budgets, strict=True):
        assert [row] == answer(model, make_prompts([clip]), GenerationOptions(), frozenset({-1}), [budget])
        assert len(row) == budget
    assert sizes == [5, 5, 5, 2, 2, 1, 1, 1]


def test_the_prompt_is_read_for_its_last_logit_alone() -> None:
    model = MODELS["qwen2"]
    shapes: list[tuple[int, ...]] = []
    head = model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _, args, out: shapes.append(tuple(out.shape)))
    try:
        answer(model, make_prompts([("A", 16_000)]), GenerationOptions(max_new_tokens=2), frozenset({-1}))
    finally:
        hook.remove()
    assert shapes == [(1, 1, 320), (1, 1, 320)]


def test_text_alone_needs_no_audio() -> None:
    [ids] = PROCESSOR.apply_chat_template(
        [{"role": "user", "content": "A dog"}], tokenize=True, add_generation_prompt=True
    )
    inputs = Prompts(ids[None], torch.ones_like(ids)[None])
    [row] = answer(MODELS["qwen2"], inputs, GenerationOptions(max_new_tokens=4), frozenset({-1}))
    assert len(row) == 4


# Sampling


@settings(max_examples=6)
@given(seed=st.integers(0, 2**63 - 1), order=st.permutations(range(4)))
def test_a_seeded_sample_does_not_depend_on_batch_mates(seed: int, order: list[int]) -> None:
    model, options = MODELS["qwen3"], GenerationOptions(max_new_tokens=10, temperature=1.0, top_p=0.95, seed=seed)
    clips = [(TEXTS[n], 3_200 + 5_000 * n) for n in order]
    together = answer(model, make_prompts(clips), options)
    assert together == [answer(model, make_prompts([clip]), options)[0] for clip in clips]


def test_seeds_matter_and_their_absence_too() -> None:
    model, inputs = MODELS["qwen2"], make_prompts([("A", 16_000)])

    def sample(seed: int | None) -> list[int]:
        return answer(model, inputs, GenerationOptions(max_new_tokens=12, temperature=2.0, seed=seed))[0]

    assert sample(1) == sample(1)
    assert len({tuple(sample(seed)) for seed in range(5)}) == 5
    assert len({tuple(sample(None)) for _ in range(5)}) > 1


@pytest.mark.parametrize("extra", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6}])
def test_sampling_ends_in_greedy(extra: dict[str, float]) -> None:
    model, inputs = MODELS["qwen2"], make_prompts([("A", 16_000), ("What", 5_000)])
    sampled = GenerationOptions(**{"max_new_tokens": 8, "temperature": 1.0, "seed": 3, **extra})
    assert answer(model, inputs, sampled) == answer(model, inputs, GenerationOptions(max_new_tokens=8))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_k": 99}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_p": 0.5}, [1, 0, 0, 0]),
        ({"top_p": 0.51}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_p": 1.0}, [0.5, 0.25, 0.15, 0.1]),
        ({"temperature": 0.5}, [0.25 / 0.345, 0.0625 / 0.345, 0.0225 / 0.345, 0.01 / 0.345]),
    ],
)
def test_draws_follow_the_distribution(options: dict[str, float], expected: list[float]) -> None:
    row = Row(GenerationOptions(**{"temperature": 1.0, "seed": 5, **options}), budget=1)
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()
    counts = torch.bincount(torch.tensor([row.choose(logits) for _ in range(4000)]), minlength=4) / 4000
    for share, wanted in zip(counts.tolist(), expected, strict=True):
        assert abs(share - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / 4000) + 1e-9


# Choices


def brute_force(model: MiDashengLMModel, inputs: Prompts, choice: list[int], end_ids: frozenset[int]) -> float:
    """The log-likelihood by one pass over prompt and choice, without a cache."""
    ids = torch.cat([inputs.input_ids, torch.tensor([choice])], dim=1)
    with torch.no_grad():
        out = model(**{**inputs._asdict(), "input_ids": ids, "attention_mask": torch.ones_like(ids)})
    scores = out.logits[0, inputs.input_ids.shape[1] - 1 :].double().log_softmax(-1)
    said = sum(float(scores[place, token]) for place, token in enumerate(choice))
    return said + float(scores[len(choice), sorted(end_ids)].logsumexp(0))


@pytest.mark.parametrize("decoder", DECODERS)
def test_choices_are_scored_as_by_brute_force(decoder: str) -> None:
    model, clips = MODELS[decoder], [(TEXTS[0], 20_000), (TEXTS[3], 3_200), (TEXTS[1], 9_000)]
    texts = ["dog", "a man speaks", "rain", "s", *(f"sound number {number}" for number in range(20))]
    choices = [PROCESSOR.tokenizer.encode(text, add_special_tokens=False) for text in texts]
    ends = frozenset({296, 297})
    state = prefill(model, make_prompts(clips))
    length = state.cache.get_seq_length()
    for row, clip in enumerate(clips):
        alone = make_prompts([clip])
        wanted = [brute_force(model, alone, choice, ends) for choice in choices]
        assert score_choices(state, row, model, choices, ends) == pytest.approx(wanted, abs=1e-4)
    assert state.cache.get_seq_length() == length
    assert len(state.logits) == len(clips)


def test_one_clip_is_heard_once_for_all_choices() -> None:
    model, heard = MODELS["qwen2"], []
    hook = model.audio_encoder.register_forward_pre_hook(lambda *_: heard.append(1))
    try:
        state = prefill(model, make_prompts([("A", 16_000)]))
        score_choices(state, 0, model, [[65 + n] for n in range(40)], frozenset({296}))
    finally:
        hook.remove()
    assert heard == [1]


# Ends and options


def test_ends_are_those_of_files_tokenizer_and_family() -> None:
    model, tokenizer = tiny_model(), PROCESSOR.tokenizer
    family = {tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")}
    assert end_token_ids(model, tokenizer) == family
    model.generation_config._from_model_config = False
    model.generation_config.eos_token_id = [7, 8]
    assert end_token_ids(model, tokenizer) == family | {7, 8}
    model.generation_config.eos_token_id = 9
    assert end_token_ids(model, tokenizer) == family | {9}


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": 1.5},
        {"max_new_tokens": True},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": "hot"},
        {"temperature": 1.0, "top_k": 0},
        {"temperature": 1.0, "top_p": 0.0},
        {"temperature": 1.0, "top_p": 1.1},
        {"temperature": 1.0, "seed": -1},
        {"repetition_penalty": 0.0},
        {"top_p": 0.9},
    ],
)
def test_options_out_of_range_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong.keys() - {"temperature"}), "temperature")):
        GenerationOptions.of(wrong)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean temperature"):
        GenerationOptions.of({"temprature": 1.0})
