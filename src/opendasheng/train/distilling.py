"""Learning from a teacher: an encoder that gives Whisper's features and spells what is said (stage ``distil``).

A model of our size cannot learn to spell from the few hours of free transcribed speech alone. It starts from the blocks
of a Whisper encoder of its sizes, whose features it learns to give from log-mels of its own form, while a linear layer
learns to spell the transcripts from them (CTC), so that the features go where the words are.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from opendasheng.data.mixture import Draw
from opendasheng.data.shards import ShardReader
from opendasheng.data.spelling import BLANK, Spelling, frequent_characters
from opendasheng.engine import quiet_transformers
from opendasheng.errors import ConfigError, CorpusError, TrainingError
from opendasheng.files import replacing_folder
from opendasheng.lengths import PADDED_SAMPLES, num_patches
from opendasheng.model import DashengConfig, DashengEncoder
from opendasheng.model.loading import load_dasheng_encoder, save_dasheng_encoder
from opendasheng.model.whisper import load_whisper_teacher, start_from
from opendasheng.train.collate import padded, waveform
from opendasheng.train.config import RunConfig
from opendasheng.train.encoding import EncoderLearner
from opendasheng.train.learner import Batch, TellClip
from opendasheng.train.masking import ENCODER
from opendasheng.train.products import Precision
from opendasheng.train.starting import calibrate, named_encoder, own_memory

log = logging.getLogger(__name__)

HEAD, CHARACTERS = "head.safetensors", "characters.json"
# Clips that fit the patch embedding and tell how far each feature of the teacher spreads.
_FITTED_CLIPS = 300


class Student(nn.Module):
    """An encoder, a linear layer that spells, and the spread of the teacher's features."""

    feature_std: Tensor

    def __init__(self, encoder: DashengEncoder, num_characters: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.speller = nn.Linear(encoder.config.embed_dim, num_characters + 1)
        self.register_buffer("feature_std", torch.ones(encoder.config.embed_dim))

    def forward(self, mel_BMF: Tensor, num_samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, T, D)`` and logits of the characters ``(B, T, C + 1)``, the blank first."""
        x_BTD, _ = self.encoder(mel_BMF, num_samples_B)
        return x_BTD, self.speller(x_BTD)

    def parts(self) -> dict[str, Tensor]:
        """All tensors but the encoder's."""
        return {name: value.detach() for name, value in self.state_dict().items() if not name.startswith("encoder.")}

    def load_parts(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of :meth:`parts`."""
        self.load_state_dict(tensors | {f"encoder.{name}": value for name, value in self.encoder.state_dict().items()})


class DistilLearner(EncoderLearner):
    """A student of Whisper. ``model/`` of a finished run holds the encoder for the stages after it, and the speller."""

    model: Student

    def __init__(self, config: RunConfig, initial: Path, catalogue: Collection[str] = ()) -> None:
        """``initial`` holds the model of step 0, or is where it is kept for a resumed run; ``catalogue`` as in
        :func:`open_corpus`."""
        if not config.distil.teacher:
            raise ConfigError("distil.teacher is empty: name a Whisper model (a folder, a hub id, or a model.bin)")
        super().__init__(config, catalogue)
        with quiet_transformers():
            self.teacher = load_whisper_teacher(config.distil.teacher)
        self.spelling, self.model = self._load(initial)

    def _load(self, initial: Path) -> tuple[Spelling, Student]:
        if (initial / ENCODER).is_file():
            characters = str(json.loads((initial / CHARACTERS).read_text(encoding="utf-8")))
            student = Student(load_dasheng_encoder(initial / ENCODER), len(characters))
            student.load_parts(load_file(initial / HEAD))
            own_memory(student)
            return Spelling(characters), student.train()
        torch.manual_seed(self.config.seed)
        self.spelling = Spelling(
            frequent_characters(
                (clip.transcript for clip in self.clips if clip.transcript), self.config.distil.min_count
            )
        )
        self.model = Student(self._start(), len(self.spelling.characters))
        self.model.feature_std.copy_(self._spread())
        self.keep_initial(initial)
        return self.spelling, self.model.train()

    def _start(self) -> DashengEncoder:
        """The encoder of step 0: one that is named, or one with the teacher's blocks."""
        config = self.config.model
        if config.encoder:
            return named_encoder(config.encoder)
        sizes = DashengConfig(embed_dim=config.encoder_dim, depth=config.encoder_depth, num_heads=config.encoder_heads)
        encoder = DashengEncoder(sizes)
        calibrate(encoder, self.reader, self.config.seed)
        explained = start_from(encoder, self.teacher, self._some_clips())
        log.info("the patches explain %.1f %% of what goes into the teacher's first block", 100 * explained)
        return encoder

    def _some_clips(self) -> list[np.ndarray]:
        """Clips to fit to, each of them readable and long enough for a few patches."""
        chosen = np.random.default_rng(self.config.seed).permutation(len(self.reader))[:_FITTED_CLIPS]
        found = []
        for index in chosen:
            try:
                audio = self.reader.audio(int(index))
            except CorpusError:  # the run will tell
                continue
            if len(audio) >= PADDED_SAMPLES:
                found.append(audio)
        if not found:
            raise TrainingError(f"{self.reader.folder}: of {len(chosen)} clips none can be read")
        return found

    def _spread(self) -> Tensor:
        """Standard deviation of each of the teacher's features."""
        features = [self.teacher(*padded([clip]))[0][0] for clip in self._some_clips()]
        return torch.cat(features).std(0).clamp_min(1e-3)

    def batch_of(self, reader: ShardReader, draws: Sequence[Draw]) -> Batch:
        """``input_values`` float32 ``(B, S)`` as the student hears them, ``clean_values`` as the teacher does, their
        ``audio_length`` int64 ``(B,)``, and ``characters`` int64 ``(B, C)`` of the transcripts, 0 behind them."""
        values, lengths = padded([waveform(reader, draw) for draw in draws])
        clean, _ = padded([waveform(reader, draw, degraded=False) for draw in draws])
        spelt = [self.spelling.spell(draw.transcript(reader.clips)) for draw in draws]
        characters = pad_sequence([torch.tensor(ids, dtype=torch.long) for ids in spelt], batch_first=True)
        return {"input_values": values, "clean_values": clean, "audio_length": lengths, "characters": characters}

    def num_items(self, batch: Batch) -> int:
        """Patches."""
        return sum(num_patches(int(samples)) for samples in batch["audio_length"])

    def loss(self, batch: Batch, num_items: int) -> Tensor:
        """Squared error of the features, in units of their spread and as a mean over them, plus ``ctc_weight`` times
        the CTC loss of the transcripts; both summed over patches."""
        features, spelling = self._losses(batch)
        return (features + self.config.distil.ctc_weight * spelling) / num_items

    def place(self, device: torch.device, precision: Precision) -> None:
        """The teacher goes with the student."""
        super().place(device, precision)
        self.teacher.to(device)

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        lengths = batch["audio_length"]
        x_BTD, spelt_BTC = self.model(self.log_mel(batch["input_values"], lengths), lengths)
        wanted_BTD, counts_B = self.teacher(batch["clean_values"], lengths)
        shared = min(x_BTD.shape[1], wanted_BTD.shape[1])
        error_BTD = (x_BTD[:, :shared] - wanted_BTD[:, :shared]) / self.model.feature_std
        heard_BT = torch.arange(shared, device=self.device) < counts_B[:, None]
        features = (error_BTD.square().mean(-1) * heard_BT).sum()
        num_characters = (batch["characters"] != BLANK).sum(1)
        spelling = nn.functional.ctc_loss(
            spelt_BTC.float().log_softmax(-1).transpose(0, 1),
            batch["characters"],
            torch.tensor([num_patches(samples) for samples in lengths.tolist()]),
            num_characters,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,  # more characters than patches: nothing can spell them
        )
        return features, (spelling * (num_characters > 0)).sum()

    def validate(self, tell: TellClip) -> Mapping[str, object]:
        """On the same dev clips at every call: ``dev_loss``, its two parts per patch, ``dev_cer`` of the greedy
        spelling (a share of the characters), and ``samples`` of it."""
        features = spelling = 0.0
        errors = count = patches = 0
        samples: list[str] = []
        self.model.eval()
        for kept, batch in self.dev(tell):
            with torch.inference_mode(), self.computing():
                placed = self.placed(batch)
                both, found = self._losses(placed), self._read(placed)
            features, spelling = features + both[0].item(), spelling + both[1].item()
            patches += self.num_items(batch)
            for draw, text in zip(kept, found, strict=True):
                wanted = self.spelling.read(self.spelling.spell(draw.transcript(self._dev.clips)))
                if wanted:
                    errors, count = errors + Levenshtein.distance(wanted, text), count + len(wanted)
                    samples.append(f"{wanted!r} <- {text!r}")
        self.model.train()
        if not patches:
            return {}
        loss = (features + self.config.distil.ctc_weight * spelling) / patches
        values: dict[str, object] = {
            "dev_loss": loss,
            "dev_features": features / patches,
            "dev_ctc": spelling / patches,
        }
        if count:
            values["dev_cer"] = errors / count
        return values | {"samples": samples[: self.config.loop.samples]}

    def _read(self, batch: Batch) -> list[str]:
        """The likeliest spelling of each clip, blanks and repetitions taken out."""
        lengths = batch["audio_length"]
        _, spelt_BTC = self.model(self.log_mel(batch["input_values"], lengths), lengths)
        best_BT = spelt_BTC.argmax(-1)
        return [
            self.spelling.read_frames(best_T[: num_patches(int(samples))].tolist())
            for best_T, samples in zip(best_BT, lengths, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """The encoder in a file as stage *align* takes it; the speller and its characters beside it."""
        head = {name: value.contiguous() for name, value in self.model.parts().items()}
        with replacing_folder(folder) as temporary:
            save_dasheng_encoder(self.model.encoder, temporary / ENCODER)
            save_file(head, temporary / HEAD, metadata={"format": "pt"})
            (temporary / CHARACTERS).write_text(
                json.dumps(self.spelling.characters, ensure_ascii=False), encoding="utf-8"
            )
