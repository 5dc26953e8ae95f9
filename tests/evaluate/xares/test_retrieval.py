"""Retrieval learns which caption belongs to which clip."""

import numpy as np
import pytest
import torch

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares import linear, retrieval
from opendasheng.evaluate.xares.tasks import Training


def pairs(vocabulary: retrieval.Vocabulary, texts: list[list[str]], seed: int) -> retrieval.Pairs:
    random = np.random.default_rng(seed)
    clips = torch.tensor(5 * np.eye(len(texts), 8) + 0.1 * random.normal(size=(len(texts), 8)), dtype=torch.float32)
    owned = [(owner, text) for owner, captions in enumerate(texts) for text in captions]
    return retrieval.Pairs(clips, [vocabulary.encode(text) for _, text in owned], [owner for owner, _ in owned])


TEXTS = [[f"the {name} is heard", f"a {name}"] for name in ("dog", "cat", "bell", "horn", "drum", "rain")]


def test_it_learns_and_scores_both_directions() -> None:
    vocabulary = retrieval.words_of([text for texts in TEXTS for text in texts])
    train, test = pairs(vocabulary, TEXTS, 1), pairs(vocabulary, TEXTS, 2)
    head = retrieval.retrieval_head(8, vocabulary, seed=0)
    before = retrieval.score_pairs(head, test, 5)
    examples = retrieval.PairExamples(train)
    fitted = linear.fit(head, examples, retrieval.contrastive_loss, None, Training(epochs=8, batch_size=6), seed=0)
    after = retrieval.score_pairs(fitted.head, test, 5)
    assert before < 0.6
    assert after > 0.9
    assert retrieval.score_pairs(fitted.head, test, 100) == after


def test_a_caption_is_a_bag_and_padding_is_not_in_it() -> None:
    vocabulary = retrieval.words_of(["a dog barks, loudly"])
    head = retrieval.retrieval_head(8, vocabulary, seed=0)
    one = head.read(torch.tensor([vocabulary.encode("a dog barks")]))
    turned = head.read(torch.tensor([vocabulary.encode("barks dog a")]))
    padded = head.read(torch.tensor([[*vocabulary.encode("A dog barks"), 0, 0]]))
    torch.testing.assert_close(one, turned)
    torch.testing.assert_close(one, padded)


def test_unknown_words_share_a_token_and_no_text_is_empty() -> None:
    vocabulary = retrieval.words_of(["a dog"])
    assert vocabulary.encode("a wolf") == [vocabulary.encode("a")[0], 1]
    assert vocabulary.encode("") == [1]
    assert vocabulary.size == 4


def test_the_loss_is_that_of_its_definition() -> None:
    vocabulary = retrieval.words_of(["a dog barks"])
    head = retrieval.retrieval_head(8, vocabulary, seed=0)
    batch = retrieval.PairBatch(torch.randn(3, 8), torch.tensor([[2, 3], [4, 0], [3, 0]]))
    audio, text = head.hear(batch.x), head.read(batch.tokens_BK)
    logits = audio @ text.T / 0.07
    own = sum(-logits.log_softmax(dim)[i, i] for i in range(3) for dim in (0, 1)) / 6
    bounds = sum(x.abs().mean() / x.square().sum().sqrt() for x in (audio, text))
    torch.testing.assert_close(retrieval.contrastive_loss(head, batch), own + bounds)


def test_a_tokenizer_by_folder(tmp_path) -> None:
    from helpers import tiny_tokenizer

    tiny_tokenizer().save_pretrained(tmp_path)
    vocabulary = retrieval.pieces_of(str(tmp_path))
    ids = vocabulary.encode("a dog")
    assert min(ids) >= 1
    assert max(ids) < vocabulary.size
    with pytest.raises(EvaluationError, match="not a tokenizer that can be loaded"):
        retrieval.pieces_of(str(tmp_path / "nowhere"))
