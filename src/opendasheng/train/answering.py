"""Learning to answer: the model that listens and writes, its conversations, and the loss of the answers (paper 3.2)."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from opendasheng.data.batching import BatchPlan
from opendasheng.data.mixture import Draw, Mixture
from opendasheng.data.tasks import TASKS
from opendasheng.engine import Engine, quiet_transformers
from opendasheng.errors import ConfigError, DashengError, TrainingError
from opendasheng.files import replacing_folder
from opendasheng.model import MiDashengLMModel, MiDashengLMProcessor
from opendasheng.train import four_bit, lora, starting
from opendasheng.train.collate import IGNORED, Collator
from opendasheng.train.config import RunConfig
from opendasheng.train.evaluation import Validation
from opendasheng.train.learner import Batch, Learner, TellClip, as_row
from opendasheng.train.memory import blocks
from opendasheng.train.reading import open_corpus
from opendasheng.train.testing import as_rows, test_model

log = logging.getLogger(__name__)


class AnswerLearner(Learner[Draw]):
    """A whole model on the conversations of a mixture."""

    model: MiDashengLMModel
    mixture: Mixture
    methods = ("embed_audio", "place_audio", "generate")

    def units(self) -> Sequence[nn.Module]:
        """The encoder, whose blocks run once for each group of like chunks, and the decoder's layers."""
        return self.model.audio_encoder, *(layer for _, layer in blocks(self.model.decoder))

    def __init__(self, config: RunConfig, initial: Path, catalogue: Collection[str] = ()) -> None:
        """``initial`` holds the model of step 0, or is where it is kept for a resumed run; ``catalogue`` as in
        :func:`open_corpus`."""
        self.config = config
        self.reader, mixture = open_corpus(config.data, catalogue)
        self.clips = self.reader.clips
        self.model, self.processor = self._load(initial)
        self._prepare()
        self._collator = Collator(
            self.reader,
            self.processor,
            with_transcripts=config.optim.spelling_weight > 0,
            max_answer_tokens=config.data.max_answer_tokens,
            max_positions=self._max_positions(),
        )
        self.mixture = Mixture(self.reader.clips, mixture, config.seed, self._collator.fits)
        self.plan = BatchPlan(
            self.mixture,
            batch_seconds=config.data.batch_seconds,
            batch_clips=config.data.batch_clips,
            tokens=self._collator.num_positions,
            batch_tokens=config.data.batch_tokens,
        )
        self._validation = Validation(config, self.processor, self._max_positions())

    def _load(self, initial: Path) -> tuple[MiDashengLMModel, MiDashengLMProcessor]:
        if not (initial / "config.json").is_file():
            self.model, self.processor = starting.start(self.config, self.reader)
            self.keep_initial(initial)
            return self.model, self.processor
        try:
            if not (initial / "tokenizer.json").is_file():  # transformers would take an empty one
                raise FileNotFoundError("tokenizer.json is missing")
            return starting.load(initial)
        except (DashengError, OSError, ValueError, SafetensorError) as error:
            raise TrainingError(
                f"{initial}, from which this run began, is damaged ({error}): give this run another name, or remove "
                f"{initial.parent}"
            ) from error

    def _max_positions(self) -> int | None:
        """What the decoder can hold of a conversation, audio among it, where it says so."""
        found: int | None = getattr(self.model.config.text_config, "max_position_embeddings", None)
        return found

    def _prepare(self) -> None:
        """Put in the adapters of the run, and let learn what its stage trains."""
        adapters = self.config.adapters
        if adapters.four_bit:
            if not adapters.targets or self.config.compute.sharded:
                raise ConfigError("lora.four_bit needs adapters (lora.targets), and a model that is not sharded")
            log.info("%d linear layers are in 4 bits", four_bit.quantise(self.model, self.config.trains))
        if adapters.targets:
            torch.manual_seed(self.config.seed)  # of the adapters' first matrices
            lora.add_adapters(self.model, adapters)
        lora.freeze(self.model, self.config.trains)
        num_learning = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        log.info("%d parameters learn, the model has %d", num_learning, four_bit.num_parameters(self.model))

    def not_asked(self) -> Mapping[str, int]:
        """See :meth:`Mixture.not_asked`."""
        return self.mixture.not_asked()

    def collate(self, draws: Sequence[Draw]) -> Batch:
        """See :class:`Collator`."""
        return self._collator(draws)

    def num_items(self, batch: Batch) -> int:
        """Answer tokens; the first position of a row has nothing before it that could foretell it."""
        return int((batch["labels"][:, 1:] != IGNORED).sum())

    def loss(self, batch: Batch, num_items: int) -> Tensor:
        """Next-token loss of the answers alone, and with ``spelling_weight`` how well the audio tokens spell."""
        transcripts_AC = batch.pop("transcripts", None)
        audio = self.model.embed_audio(batch["input_values"], batch["audio_length"])
        loss = next_token_loss(self.model, audio, batch, num_items)
        if transcripts_AC is None:
            return loss
        return loss + self.config.optim.spelling_weight * self._spelling(audio, transcripts_AC) / num_items

    def _spelling(self, audio: Sequence[Tensor], transcripts_AC: Tensor) -> Tensor:
        """Summed CTC loss of the transcripts through the decoder's head, the placeholder of audio being the blank.

        It brings audio tokens near the embeddings of what is said in them, so that a decoder of random weights has
        only to copy.
        """
        sizes = (transcripts_AC != IGNORED).sum(1).tolist()
        # Nothing can spell more text than there are audio tokens. The head is most of the work: one product for all.
        told = [row for row, size in enumerate(sizes) if 0 < size <= len(audio[row])]
        lengths = [len(audio[row]) for row in told]
        tokens_NE = torch.cat([audio[row] for row in told] or [audio[0][:0]])
        chances_NV = self.model.get_output_embeddings()(tokens_NE).float().log_softmax(-1)
        if not told:
            return torch.sum(chances_NV)
        loss: Tensor = torch.nn.functional.ctc_loss(
            pad_sequence(list(chances_NV.split(lengths))),
            transcripts_AC[told].clamp_min(0),
            torch.tensor(lengths),
            torch.tensor([sizes[row] for row in told]),
            blank=self.model.config.audio_token_id,
            reduction="sum",
            zero_infinity=True,  # one after itself takes a token more
        )
        return loss

    def sizes(self, batch: Batch) -> tuple[int, int]:
        """Samples of the clips, and of the padded batch."""
        return int(batch["audio_length"].sum()), batch["input_values"].numel()

    def positions(self, batch: Batch) -> tuple[int, int]:
        """Tokens of audio and text, and those of the padded batch."""
        return int(batch["attention_mask"].sum()), batch["attention_mask"].numel()

    def describe(self, draw: Draw) -> dict[str, Any]:
        """The clips, what is asked and answered, and how they are changed."""
        return as_row(draw, self.clips)

    def validate(self, tell: TellClip) -> Mapping[str, object]:
        """See :class:`Validation`."""
        with self.computing():
            return self._validation(self.model, self.placed, tell)

    def save(self, folder: Path) -> None:
        """The released layout, adapters merged."""
        merged = lora.merged_state(self.model) if lora.has_adapters(self.model) else None
        with replacing_folder(folder) as temporary, quiet_transformers():
            self.model.save_pretrained(temporary, state_dict=merged)
            self.processor.save_pretrained(temporary)

    def save_parts(self, folder: Path) -> None:
        """The adapters, and parts that learn in full, for a base that is the model of step 0."""
        if lora.has_adapters(self.model):
            base = self.config.model.init or str(folder / "initial")
            lora.save_adapter(self.model, self.config.adapters, folder / "adapter", base, self.config.trains)

    def finish(self) -> dict[str, Any]:
        """Scores on the test split."""
        engine = Engine(self.model, self.processor, name=self.config.name)
        limit, seed, corpus = self.config.loop.test_clips, self.config.seed, self.config.data.corpus
        tasks = [task for task in TASKS if self.config.data.mixture.weight(task) > 0]
        results = test_model(engine, corpus, tasks, per_task=limit, seed=seed) if limit else []
        return {"test": as_rows(results)}


def next_token_loss(model: MiDashengLMModel, audio: Sequence[Tensor], batch: Batch, num_items: int) -> Tensor:
    """Summed over the answers of a batch whose clips gave the tokens ``audio``, over ``num_items``.

    Answers are at the end of rows that are padded on the left, so logits, the largest tensor of all, are only made from
    the position that foretells the first label of any row.
    """
    labels_BP = batch["labels"]
    scored = labels_BP.shape[1] - max(0, int((labels_BP != IGNORED).any(0).int().argmax()) - 1)
    loss: Tensor = model(
        inputs_embeds=model.place_audio(batch["input_ids"], audio),
        attention_mask=batch["attention_mask"],
        labels=labels_BP[:, -scored:],
        logits_to_keep=scored,
        num_items_in_batch=num_items,
        use_cache=False,
    ).loss
    return loss
