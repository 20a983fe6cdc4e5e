"""One model for each generator, and one for all: how hard each generator is to tell from photographs.

So the ArtiFact study did it with a shallow CNN: small models, each against the fakes of one generator in batches that
are half photographs, and one against the mix of all. Its published accuracies stand beside one's own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from train import metrics
from train.config import FitConfig
from train.datasets import Sample, limited, write_prepared
from train.evaluate import LEAST_OF_A_CLASS, plain, raw_logits
from train.fit import fit
from train.metrics import Estimate
from train.prepare import TABLE, faces_in, prepared_samples
from train.runs import claim
from train.scores import Scored, arrays
from train.trained import SCORES, of_run, scores_of

MIXED = "all mixed"
PUBLISHED = {
    "face synthetics": 0.962,
    "palette": 0.671,
    "SFHQ": 0.897,
    "diffusion GAN": 0.798,
    "denoising diffusion GAN": 0.639,
    "stable diffusion": 0.861,
    "StarGAN": 0.897,
    "StyleGAN": 0.909,
    MIXED: 0.710,
}
"""Test accuracy on faces that the ArtiFact study gives for its CNN of 39.7 million parameters at 200 px."""
_ALIASES = {"star gan": "StarGAN", "stylegan1": "StyleGAN"}


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a study.

    Attributes:
        name: of its generator, or :data:`MIXED`.
        folder: of its run, below the study's.
        training: fakes that it trains on; ``test``: fakes that it is tested on.
    """

    name: str
    folder: str
    training: int
    test: int


@dataclass(frozen=True, slots=True)
class Result:
    """What one model did on the test split.

    Attributes:
        accuracy: on its own generator against all photographs, both classes weighing alike, at p = 0.5.
        auc: of the same.
        mixed_accuracy: of the model of all generators on the same pictures; None until that is trained.
        aucs: of this model on every generator, its own and those that it never saw, against all photographs.
        published: accuracy in the ArtiFact study, and what that calls the generator; None where none is comparable.
    """

    member: Member
    accuracy: Estimate
    auc: Estimate
    mixed_accuracy: Estimate | None
    aucs: dict[str, float]
    published: tuple[str, float] | None


@dataclass(frozen=True, slots=True)
class Study:
    """All results, the mixed model's last.

    Attributes:
        photographs: real pictures of the test split.
        left_out: generators with too few pictures, and how many they have, in words.
        waiting: members that are not trained yet.
    """

    model: str
    photographs: int
    results: tuple[Result, ...]
    left_out: tuple[str, ...]
    waiting: tuple[str, ...]
    resamples: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """``study.json``; estimates as [value, low, high]."""
        return {
            "schema": 1,
            "model": self.model,
            "photographs": self.photographs,
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "level": 0.95},
            "results": [
                {
                    "generator": r.member.name,
                    "folder": r.member.folder,
                    "training_fakes": r.member.training,
                    "test_fakes": r.member.test,
                    "accuracy": _listed(r.accuracy),
                    "auc": _listed(r.auc),
                    "accuracy_of_mixed_model": _listed(r.mixed_accuracy),
                    "published_accuracy": None if r.published is None else r.published[1],
                    "published_as": None if r.published is None else r.published[0],
                    "auc_on": {name: round(value, 5) for name, value in r.aucs.items()},
                }
                for r in self.results
            ],
            "left_out": list(self.left_out),
            "not_trained_yet": list(self.waiting),
        }


def members(samples: Sequence[Sample], batch: int, only: Sequence[str] = ()) -> tuple[list[Member], list[str]]:
    """The models to train, the mixed one last, and the generators that have too few pictures, in words.

    Args:
        batch: pictures a step: a generator needs as many fakes in the training split.
        only: generators, or :data:`MIXED`; empty takes all.

    Raises:
        UnmaskError: a name in ``only`` is none of the data's, or no generator has enough pictures.
    """
    tally = Counter((s.source, s.split) for s in samples if s.target)
    names = sorted({source for source, _ in tally})
    unknown = [plain(n) for n in only if n not in (*names, MIXED)]
    if unknown:
        raise UnmaskError(f"--generators {', '.join(unknown)}: no such generator; there are {', '.join(names)}")
    found: list[Member] = []
    left_out: list[str] = []
    folders: set[str] = set()
    for name in names:
        training, valid, test = (tally[name, split] for split in ("train", "valid", "test"))
        if training < batch or valid < 1 or test < LEAST_OF_A_CLASS:
            left_out.append(f"{name}: {training} training, {valid} validation and {test} test pictures")
            continue
        folder = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        if not folder or folder in (*folders, "all-mixed"):
            folder = f"{folder}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
        folders.add(folder)
        found.append(Member(name, folder, training, test))
    if not found:
        raise UnmaskError(
            f"no generator has {batch} training, 1 validation and {LEAST_OF_A_CLASS} test pictures; "
            "lower --batch or add pictures"
        )
    whole = (sum(tally[n, split] for n in names) for split in ("train", "test"))
    found.append(Member(MIXED, "all-mixed", *whole))
    return [m for m in found if not only or m.name in only], left_out


def study(
    config: FitConfig,
    data: Path,
    run: Path,
    *,
    imagenet: Path | None,
    only: Sequence[str] = (),
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
) -> Study:
    """Train and test one model for each generator and one for all; what is finished is not done again.

    Args:
        config: of every training; its batches are made half photographs.
        run: gets a run folder for each model, with ``scores.csv`` of the whole test split.
        only: generators to train now, or :data:`MIXED`; empty trains all.

    Returns:
        The results of all models that are finished, also of an earlier call.

    Raises:
        UnmaskError: the data cannot be used, or ``run`` holds a study with other settings.
    """
    config = dataclasses.replace(config, even_batches=True)
    run.mkdir(parents=True, exist_ok=True)
    samples = limited(prepared_samples(data, run), config.limit)
    everyone, left_out = members(samples, config.batch)
    chosen, _ = members(samples, config.batch, only)
    claim(run, config)
    for n, member in enumerate(chosen, 1):
        folder = run / member.folder
        if (folder / SCORES).is_file():
            continue
        print(f"model {n} of {len(chosen)}: {plain(member.name)}", flush=True)
        folder.mkdir(exist_ok=True)
        if not (folder / TABLE).is_file():
            write_prepared(folder / TABLE, seen_by(member, samples), data)
        fit(config, data, folder, imagenet=imagenet)
        scores_of(folder, data)
        _free_memory()
    done = [m for m in everyone if (run / m.folder / SCORES).is_file()]
    rows = {m.name: scores_of(run / m.folder, data) for m in done}
    return Study(
        config.model,
        sum(not r.target for r in next(iter(rows.values()), ())),
        tuple(summed_up(done, rows, resamples=resamples, seed=seed)),
        tuple(left_out),
        tuple(m.name for m in everyone if m not in done),
        resamples,
        seed,
    )


def seen_by(member: Member, samples: Sequence[Sample]) -> list[Sample]:
    """What a model trains and validates on: its generator's fakes and all photographs; and the whole test split."""
    return [s for s in samples if s.split == "test" or not s.target or member.name in (s.source, MIXED)]


def summed_up(
    done: Sequence[Member], rows: dict[str, list[Scored]], *, resamples: int = metrics.RESAMPLES, seed: int = 0
) -> list[Result]:
    """Results of the members ``done``, from the scores that each gave the whole test split.

    Args:
        rows: by the name of the member.
    """
    results = []
    for member in done:
        targets, logits = _of(rows[member.name], member.name)
        mixed = None
        if MIXED in rows and member.name != MIXED:
            mixed = balanced_accuracy(*_of(rows[MIXED], member.name), resamples=resamples, seed=seed)
        generators = sorted({r.source for r in rows[member.name] if r.target})
        results.append(
            Result(
                member,
                balanced_accuracy(targets, logits, resamples=resamples, seed=seed),
                metrics.auc_estimate(targets, logits, resamples=resamples, seed=seed),
                mixed,
                {name: metrics.auc(*_of(rows[member.name], name)) for name in generators},
                published(member.name),
            )
        )
    return results


def balanced_accuracy(
    targets: npt.ArrayLike, logits: npt.ArrayLike, *, resamples: int = metrics.RESAMPLES, seed: int = 0
) -> Estimate:
    """Accuracy at p = 0.5 with both classes weighing alike, as on a test set with as many fakes as photographs.

    Args:
        targets: (N,), 1 = fake.
        logits: (N,), raw.
    """
    y = np.asarray(targets)
    right = (np.asarray(logits) > 0) == (y == 1)

    def of(counts: metrics.Floats) -> metrics.Floats:
        sides = [(counts[:, y == k] @ right[y == k]) / counts[:, y == k].sum(axis=1) for k in (0, 1)]
        return np.asarray(np.mean(sides, axis=0), np.float64)

    drawn = [of(counts) for counts in metrics.bootstrap_counts(y, resamples, seed)]
    return Estimate(float(of(np.ones((1, y.size)))[0]), *metrics.middle(np.concatenate(drawn)))


def published(name: str) -> tuple[str, float] | None:
    """What the ArtiFact study calls the generator of a source and its accuracy there; None where it has none like it.

    Only the first words count: "StyleGAN (140k)" is a StyleGAN, "StyleGAN2 web" and "FLUX (SFHQ-T2I)" are not in it.
    """
    words = [w for w in re.split(r"[\s_()/,]+", name.lower()) if w]
    known = {key.lower(): key for key in PUBLISHED} | _ALIASES
    for length in range(min(3, len(words)), 0, -1):
        key = known.get(" ".join(words[:length]))
        if key is not None and (key != MIXED or name == MIXED):
            return key, PUBLISHED[key]
    return None


def answers(run: Path, found: Study, pictures: Sequence[Path]) -> list[dict[str, Any]]:
    """What every trained model of a study says of the largest face in each picture.

    Args:
        pictures: any; of one without a face, or that cannot be read, ``why`` says so.

    Returns:
        A row for each picture: ``picture``, ``why``, ``p`` (the raw probability by the name of the model) and
        ``votes`` (models that say it is generated).
    """
    samples, left_out = faces_in(pictures, run)
    said: dict[Path, dict[str, float]] = {s.path: {} for s in samples}
    for result in found.results if samples else ():
        model = of_run(run / result.member.folder)
        model.needs_no_cutting()
        classifier = model.classifier()
        logits = raw_logits(classifier, samples, model.crop)
        classifier.close()
        _free_memory()
        for sample, logit in zip(samples, logits, strict=True):
            said[sample.path][result.member.name] = float(1 / (1 + np.exp(-np.clip(logit, -60, 60))))
    return [
        {
            "picture": picture.name,
            "why": left_out.get(picture, ""),
            "p": {name: round(p, 5) for name, p in said.get(picture, {}).items()},
            "votes": sum(p > 0.5 for p in said.get(picture, {}).values()),
        }
        for picture in pictures
    ]


def _of(rows: Sequence[Scored], name: str) -> tuple[npt.NDArray[np.int64], metrics.Floats]:
    """Targets and logits of all photographs and of one generator's fakes, or of all."""
    return arrays([r for r in rows if not r.target or name in (r.source, MIXED)])


def _listed(estimate: Estimate | None) -> list[float | None] | None:
    return None if estimate is None else [None if np.isnan(v) else round(v, 5) for v in estimate]


def _free_memory() -> None:
    """Let go of the last model: Keras keeps what it built until it is told."""
    import keras

    keras.utils.clear_session()
