"""Learning which text fits which clip: an audio-text model by GLAP's sigmoid loss (stage ``contrast``; SPEC 10.1).

In a batch every text is held against every clip. The text tower is a bag of tokens that does not learn, so that words
which no caption has keep their place beside those of like meaning.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from opendasheng.data.clip import Clip
from opendasheng.data.mixture import Draw
from opendasheng.data.shards import ShardReader
from opendasheng.errors import ConfigError, TrainingError
from opendasheng.model.audio_text import AudioTextModel, auc
from opendasheng.model.audio_text_files import CONFIG, load_own, save_own
from opendasheng.model.bag_of_tokens import BagOfTokens, TokenizedTexts
from opendasheng.train.collate import padded, waveform
from opendasheng.train.config import RunConfig
from opendasheng.train.encoding import EncoderLearner
from opendasheng.train.learner import Batch, TellClip
from opendasheng.train.reading import read_batch, telling
from opendasheng.train.starting import new_encoder, own_memory
from opendasheng.train.token_vectors import token_vectors

log = logging.getLogger(__name__)

# GLAP's recommended words around labels, by what a clip is of.
_PROMPTS = {"speech": "{}", "music": "The music in the style of {}.", "sound": "The sound of {} can be heard."}
# Batches that tell mean and deviation of what goes into the projections.
_FITTED_BATCHES = 12
_LEAST_DEVIATION = 1e-3


class Pairing(nn.Module):
    """Both towers, and what of the loss learns."""

    def __init__(self, towers: AudioTextModel, temperature: float, bias: float) -> None:
        super().__init__()
        self.towers = towers
        self.temperature = nn.Parameter(torch.tensor(temperature))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, mel_BMF: Tensor, num_samples_B: Tensor, ids_BL: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of the clips and of their texts, ``(B, E)`` each."""
        return self.towers.embed_audio(mel_BMF, num_samples_B), self.towers.embed_texts(ids_BL, mask_BL)

    def loss(self, audio_BE: Tensor, texts_BE: Tensor, fits_BB: Tensor) -> Tensor:
        """Summed over clips: each pair is a choice of its own, fits or does not; and of each tower how evenly its
        vectors use the space, which the published loss adds."""
        logits_BB = audio_BE @ texts_BE.T / self.temperature + self.bias
        choices = -nn.functional.logsigmoid(torch.where(fits_BB, logits_BB, -logits_BB)).sum()
        return choices + len(audio_BE) * (_spread(audio_BE) + _spread(texts_BE))


class ContrastLearner(EncoderLearner):
    """``model/`` of a finished run is a folder of :func:`~opendasheng.model.audio_text_files.load_audio_text`."""

    model: Pairing

    def __init__(self, config: RunConfig, initial: Path, catalogue: Collection[str] = ()) -> None:
        """``initial`` holds the model of step 0, or is where it is kept for a resumed run; ``catalogue`` as in
        :func:`open_corpus`."""
        if not config.contrast.text_model:
            raise ConfigError("contrast.text_model is empty: name a sentence model (a folder or a hub id)")
        super().__init__(config, catalogue)
        is_new = not (initial / CONFIG).is_file()
        self.model, self.texts = self._load(initial)
        if is_new:
            self._standardise()
            self.keep_initial(initial)

    def _load(self, initial: Path) -> tuple[Pairing, TokenizedTexts]:
        contrast = self.config.contrast
        if (initial / CONFIG).is_file():
            towers, texts = load_own(initial)
        else:
            torch.manual_seed(self.config.seed)
            encoder = new_encoder(self.config, self.reader)
            texts, vectors_VW = token_vectors(contrast.text_model, contrast.text_dim)
            bag = BagOfTokens(*vectors_VW.shape)
            bag.embedding.weight.data.copy_(vectors_VW)
            towers = AudioTextModel(encoder, bag, contrast.text_dim, contrast.embed_size, "patches")
        towers.text_encoder.requires_grad_(False)
        model = Pairing(towers, contrast.temperature, contrast.bias)
        own_memory(model)
        return model.train(), texts

    @torch.inference_mode()
    def _standardise(self) -> None:
        """Let the random projections see numbers of mean 0 and deviation 1, by some clips and their texts: else all
        vectors begin near each other, and most of a short run goes into moving them apart."""
        audio, texts = [], []
        for draws in self.plan.epoch(0)[:_FITTED_BATCHES]:
            _, batch = read_batch(self.collate, draws, telling(self.clips, _ignore))
            if batch is not None:
                lengths = batch["audio_length"]
                mel_BMF = self.log_mel(batch["input_values"], lengths)
                audio.append(self.model.towers.pooled(mel_BMF, lengths))
                texts.append(self.model.towers.text_encoder(batch["ids"], batch["mask"]))
        if not audio:
            raise TrainingError(f"{self.reader.folder}: of the first {_FITTED_BATCHES} batches nothing can be read")
        _standardise(self.model.towers.audio_proj, torch.cat(audio))
        _standardise(self.model.towers.text_proj, torch.cat(texts))

    def batch_of(self, reader: ShardReader, draws: Sequence[Draw]) -> Batch:
        """``input_values`` float32 ``(B, S)``, ``audio_length`` int64 ``(B,)``, ``ids`` int64 and ``mask`` bool ``(B,
        L)`` of the texts, and ``fits`` bool ``(B, B)``: a clip's own text, and any that reads the same."""
        values, lengths = padded([waveform(reader, draw) for draw in draws])
        texts = [text_of(draw, reader.clips) for draw in draws]
        ids, mask = self.texts(texts)
        fits = torch.tensor([[one == other for other in texts] for one in texts])
        return {"input_values": values, "audio_length": lengths, "ids": ids, "mask": mask, "fits": fits}

    def num_items(self, batch: Batch) -> int:
        """Clips."""
        return len(batch["audio_length"])

    def loss(self, batch: Batch, num_items: int) -> Tensor:
        """See :meth:`Pairing.loss`; the texts of one batch are not held against the clips of another."""
        return self.model.loss(*self._embedded(batch), batch["fits"]) / num_items

    def _embedded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        lengths = batch["audio_length"]
        mel_BMF = self.log_mel(batch["input_values"], lengths)
        audio_BE, texts_BE = self.model(mel_BMF, lengths, batch["ids"], batch["mask"])
        return audio_BE, texts_BE

    def describe(self, draw: Draw) -> dict[str, Any]:
        """The clips, how they are changed, and the text."""
        return super().describe(draw) | {"text": text_of(draw, self.clips)}

    def validate(self, tell: TellClip) -> Mapping[str, object]:
        """On the same dev batches at every call: ``dev_loss``, and ``dev_auc``, how often a clip's own text has a
        higher cosine than another of its batch."""
        total, count = 0.0, 0
        own: list[float] = []
        others: list[float] = []
        self.model.eval()
        for _, batch in self.dev(tell):
            with torch.inference_mode(), self.computing():
                placed = self.placed(batch)
                audio_BE, texts_BE = self._embedded(placed)
                total += self.model.loss(audio_BE, texts_BE, placed["fits"]).item()
                cosines_BB = audio_BE @ texts_BE.T
            count += self.num_items(batch)
            own += cosines_BB.diagonal().tolist()
            others += cosines_BB[~placed["fits"]].tolist()
        self.model.train()
        if not count:
            return {}
        return {"dev_loss": total / count} | ({"dev_auc": auc(own, others)} if others else {})

    def save(self, folder: Path) -> None:
        """The towers, without what of the loss has learnt."""
        save_own(self.model.towers, self.texts, folder)


def text_of(draw: Draw, clips: Sequence[Clip]) -> str:
    """What a draw's clip is to be matched with: the answer of its example, labels in the words that GLAP recommends."""
    answer = draw.example.answer
    if draw.example.task != "tag":
        return answer
    return _PROMPTS[clips[draw.index].kind].format(answer.replace("; ", ", "))


def _standardise(projection: nn.Module, x_ND: Tensor) -> None:
    """Make the first layer of a projection, for inputs such as ``x_ND``, what it was for standardised ones."""
    first = next(layer for layer in projection.modules() if isinstance(layer, nn.Linear))
    first.weight.div_(x_ND.std(0, correction=0).clamp_min(_LEAST_DEVIATION))
    first.bias.sub_(first.weight @ x_ND.mean(0))


def _ignore(_: Clip, __: Exception) -> None:
    """The run will tell."""


def _spread(embedded_BE: Tensor) -> Tensor:
    return embedded_BE.abs().mean() / embedded_BE.square().sum().sqrt()
