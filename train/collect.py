"""Generated faces for training, from a text-to-image pipeline that the user has on the machine.

Nothing is downloaded and no code of the pipeline's folder is run: weights are read from safetensors alone. Every
picture follows from its prompt, its negative prompt and its seed, which the table beside the pictures keeps.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from app.core.errors import UnmaskError
from app.core.files import cannot_write, write_whole
from app.core.records import ImageU8
from train.evaluate import plain

Painter = Callable[["Order"], ImageU8]
"""Makes the picture of an order: uint8 RGB (H, W, 3)."""

ANOTHER_OUT = "name another --out"
TABLE = "collected.csv"
PICKLED = frozenset(".bin .ckpt .pt .pth .pkl .pickle".split())
LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)
"""That parts of a pipeline may come from; the third is what diffusers calls its own safety checker."""
INSTALL = 'pip install -e ".[collect]"'


@dataclass(frozen=True, slots=True)
class Order:
    """One picture to be made, and how.

    Attributes:
        number: from 0.
        file: name of the picture.
        seed: of the pipeline's noise.
        pipeline: its name; ``steps``, ``guidance``, ``size``: what it is told; 0 leaves it its own.
    """

    number: int
    file: str
    prompt: str
    negative: str
    seed: int
    pipeline: str
    steps: int = 0
    guidance: float = 0.0
    size: int = 0


def read_lines(path: Path) -> list[str]:
    """The prompts in a text file, one a line; empty lines and those that begin with # do not count.

    Raises:
        UnmaskError: the file cannot be read, or holds none.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UnmaskError(f"{path}: cannot be read ({reason}); give a text file with a prompt on each line") from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UnmaskError(f"{path}: holds no prompts; write one on each line")
    return found


def orders(
    prompts: Sequence[str],
    negatives: Sequence[str],
    count: int,
    *,
    pipeline: str,
    seed: int = 0,
    steps: int = 0,
    guidance: float = 0.0,
    size: int = 0,
) -> list[Order]:
    """``count`` pictures to be made: prompts and negative prompts in turn, the seed one higher for each picture."""
    return [
        Order(
            number=n,
            file=f"{n:06d}.png",
            prompt=prompts[n % len(prompts)],
            # The next one with each round of the prompts, so that every prompt meets every negative one.
            negative=negatives[(n + n // len(prompts)) % len(negatives)] if negatives else "",
            seed=seed + n,
            pipeline=pipeline,
            steps=steps,
            guidance=guidance,
            size=size,
        )
        for n in range(count)
    ]


def collect(wanted: Sequence[Order], folder: Path, paint: Callable[[], Painter]) -> tuple[int, int]:
    """Make the pictures that ``folder`` does not hold yet, each whole or not at all, and list them in its table.

    The folder can be given to ``train prepare --fake``. After an interruption the same call goes on.

    Args:
        wanted: in order.
        paint: makes the painter; called only where something is left to be made.

    Returns:
        How many pictures were made now, and how many came out blank, as they do from a pipeline's safety checker; a
        blank one is listed without a file and not made again.

    Raises:
        UnmaskError: the folder holds pictures of other orders, or cannot be written to, or the pipeline fails.
    """
    table = folder / TABLE
    known = _read(table)
    for order in wanted:
        before = known.get(order.number)
        if before is not None and {**before, "file": order.file} != _row(order):
            changed = [k for k, v in _row(order).items() if k != "file" and before.get(k) != v]
            raise UnmaskError(
                f"{table}: picture {order.number} was made with another {changed[0]}; "
                "name another --out, or give what it was begun with"
            )
    left = [o for o in wanted if o.number not in known or not _there(folder, known[o.number])]
    blank = 0
    if left:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for rest in folder.glob(".partial.*"):
                rest.unlink()
        except OSError as error:
            raise cannot_write(folder, error, ANOTHER_OUT) from None
        painter = paint()
        for order in track(left, description="making pictures"):
            try:
                image = painter(order)
            except (ValueError, TypeError, RuntimeError, AttributeError) as error:  # a pipeline of anybody's making
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise UnmaskError(
                    f"picture {order.number}: the pipeline failed ({plain(reason)}); mend that, by --size, --steps, "
                    "--guidance, --negative or --device if it is one of these, then run the same command again"
                ) from None
            row = _row(order)
            if int(image.max()) == int(image.min()):
                blank += 1
                row["file"] = ""
            else:
                write_whole(folder / order.file, _png(image), ANOTHER_OUT)
            known[order.number] = row
            _write_table(table, known)
    return len(left) - blank, blank


def load_pipeline(path: Path, device: str = "auto") -> Any:
    """The text-to-image pipeline in the folder ``path``, in the format of the package diffusers.

    Args:
        device: of PyTorch, such as "cpu" or "cuda"; "auto" takes a GPU where there is one.

    Raises:
        UnmaskError: there is none, it needs more than safetensors, or diffusers is not installed.
    """
    check_pipeline(path)
    # Both ask their hub for newer versions otherwise.
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    try:
        import diffusers
        import torch
    except ImportError as error:
        raise UnmaskError(f"{path}: needs the package {error.name or 'diffusers'}; install it with {INSTALL}") from None
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            str(path),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            torch_dtype=torch.float16 if device.startswith("cuda") else torch.float32,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(device)
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, ImportError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnmaskError(
            f"{path}: the pipeline cannot be loaded ({plain(reason)}); check that it is complete, with safetensors"
        ) from None


def check_pipeline(path: Path) -> None:
    """Make sure that a folder is a pipeline whose weights can be read without running any code.

    Raises:
        UnmaskError: it is not.
    """
    index = path / "model_index.json"
    try:
        known = dict(json.loads(index.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise UnmaskError(
            f"{path}: no text-to-image pipeline here (no model_index.json); name the folder of one that you have with "
            "--pipeline PATH"
        ) from None
    strange = [part[0] for part in known.values() if isinstance(part, list) and part and part[0] not in LIBRARIES]
    if strange:
        raise UnmaskError(
            f"{index}: needs the library {plain(str(strange[0]))}; use a pipeline of diffusers and transformers alone"
        )
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() == ".py":
            raise UnmaskError(f"{file}: is program code, which is not run; use a pipeline that needs none")
        # Not left to use_safetensors: diffusers does not hand that on to every part (huggingface/diffusers#11601).
        if file.suffix.lower() in PICKLED:
            raise UnmaskError(
                f"{file}: may be pickled, which can run code when it is read; get safetensors and remove this"
            )


def _generator(seed: int) -> Any:
    import torch

    # On the CPU, so that a seed gives the same noise whatever the pipeline runs on.
    return torch.Generator("cpu").manual_seed(seed)


def painter_of(pipeline: Any, generator: Callable[[int], Any] = _generator) -> Painter:
    """A painter from a pipeline of diffusers, or from anything that is called like one.

    Args:
        generator: makes what the pipeline draws its noise from, of a seed.
    """

    def paint(order: Order) -> ImageU8:
        options: dict[str, Any] = {"generator": generator(order.seed)}
        if order.negative:
            options["negative_prompt"] = order.negative
        if order.steps:
            options["num_inference_steps"] = order.steps
        if order.guidance:
            options["guidance_scale"] = order.guidance
        if order.size:
            options["width"] = options["height"] = order.size
        made = pipeline(prompt=order.prompt, **options).images[0]
        return np.asarray(made.convert("RGB") if hasattr(made, "convert") else made, np.uint8)

    return paint


def _png(image: ImageU8) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _row(order: Order) -> dict[str, str]:
    """An order as it stands in the table, all text."""
    return {name: str(value) for name, value in asdict(order).items()}


def _there(folder: Path, row: dict[str, str]) -> bool:
    """Whether the picture of a row is there still; a blank one needs none."""
    return not row["file"] or (folder / row["file"]).is_file()


def _read(table: Path) -> dict[int, dict[str, str]]:
    """Rows of the table by number; empty where there is none yet."""
    if not table.is_file():
        return {}
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = {int(row["number"]): dict(row) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UnmaskError(f"{table}: is no table of collected pictures ({error!r}); name another --out") from None
    if any(set(row) != {f.name for f in fields(Order)} for row in rows.values()):
        raise UnmaskError(f"{table}: is no table of collected pictures (other columns); name another --out")
    return rows


def _write_table(path: Path, rows: dict[int, dict[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [f.name for f in fields(Order)])
    writer.writeheader()
    writer.writerows(rows[n] for n in sorted(rows))
    write_whole(path, text.getvalue(), ANOTHER_OUT)
