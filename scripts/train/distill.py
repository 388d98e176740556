"""Stage 3: a student with few solver steps learns from the teacher, on the student's own rollouts.

    .venv/bin/python -m train.distill --out FOLDER [--minutes M] [--steps N]      (in scripts/)

The student starts as a copy of OUT/conversations.safetensors. It converses with recorded users (closed
loop: its history is what it said itself), and on these rollouts the teacher solves every unit from
the same noise with many steps and guidance. The student's velocity at each of its few taus is drawn
to the straight line between the teacher's points there, so that its few steps end where the
teacher's many do, and so in the teacher's distribution; its text is drawn to the teacher's.
Writes OUT/student.safetensors.
"""

import argparse
import functools
import os

import torch
import torch.nn.functional as F

from .adapt import adapt, shares
from .adapt import settings as adapt_settings
from .base import (
    add_arguments,
    add_model_arguments,
    add_run_arguments,
    from_arguments,
    one_or_more,
    opened,
    run_options,
)
from .compiled import compile_settings, compiled
from .data import Material
from .device import on_device
from .loaders import made
from .loop import done, train
from .model import Model, guided
from .recordings import Recordings
from .rollout import roll
from .run import command, digest, locked, together, workers
from .solver import taus_of
from .talk import flow_losses, stage_weights
from .validate import validation

TEXT_WEIGHT = 0.5


def teacher_path(teacher, batch, z, taus, substeps, guidance):
    """The teacher's points at the student's taus: Euler with `substeps` in each of their intervals."""
    points = [z]
    with torch.no_grad():
        for here, there in zip(taus, taus[1:]):
            for i in range(substeps):
                tau = here + (there - here) * i / substeps
                row = torch.full(batch["counts"].shape, tau, device=z[0].device)
                v = teacher.heads(teacher.forward(batch, z, row))[1]
                if guidance != 1:
                    free = teacher.heads(teacher.forward(batch, z, row, noisy_context=False))[1]
                    v = guided(v, free, guidance)
                z = tuple(a + (there - here) / substeps * b for a, b in zip(z, v))
            points.append(z)
    return points


def distill_loss(student, teacher, batch, taus, substeps, guidance):
    z = tuple(torch.randn_like(batch[f"{m}_latents"]) for m in ("audio", "video"))
    points = teacher_path(teacher, batch, z, taus, substeps, guidance)
    # Every unit takes one of the student's steps, drawn at random.
    shape = batch["counts"].shape
    device = batch["text"].device
    stops = torch.tensor(taus, device=device)
    which = torch.randint(0, len(taus) - 1, shape, device=device)
    tau = stops[which]
    lengths = (stops[which] - stops[which + 1])[..., None, None]
    pick = lambda offset, medium: torch.stack([p[medium] for p in points])[
        which + offset,
        torch.arange(shape[0], device=device)[:, None],
        torch.arange(shape[1], device=device)[None],
    ]
    start = tuple(pick(0, medium) for medium in (0, 1))
    target = tuple((pick(0, medium) - pick(1, medium)) / lengths for medium in (0, 1))
    logits, velocities, _ = student.heads(student.forward(batch, start, tau))
    with torch.no_grad():
        taught = teacher.heads(teacher.forward(batch, start, tau))[0].float().log_softmax(-1)
    text = F.kl_div(logits.float().log_softmax(-1), taught, log_target=True, reduction="none").sum(-1).mean()
    # As in stage 2 (data.flow_weights): falling silent in the middle of a word is rare, and the stop's delay.
    counts = batch["counts"].float()
    audio, video = flow_losses(velocities, target, counts, batch.get("flow_weight", torch.ones_like(counts)), batch.get("video_weight", 1.0))
    loss = audio + video + TEXT_WEIGHT * text
    return loss, {"audio": audio.detach(), "video": video.detach(), "text": text.detach()}


def train_student(out, steps=None, minutes=None, few=4, substeps=4, guidance=None, size=4, units=48, every=8, seed=0, recordings=None, validate=0, validate_on=None, compile=False, recompute=False, **options):
    """few: the student's steps; substeps: the teacher's in each; `every`: steps on one set of rollouts."""
    if done(out, "student", steps, minutes):
        return
    base = opened(out)
    c = base.config
    taught = stage_weights(out, "conversations")
    frozen = on_device(dict(taught))
    weights, trained, whole = adapt(base, {name: w.clone() for name, w in frozen.items()})
    student, teacher = Model(c, weights, recompute), Model(c, frozen)
    if compile:
        student, teacher = compiled(student), compiled(teacher)
    worker, count = workers()
    source = {"units": units, "pool": 64, "fresh": 0.5, "worker": worker, "workers": count}
    material = Recordings(base, taught, recordings, **source) if recordings else Material(base, taught, **source)
    taus = taus_of(few, c["solver"]["shift"])
    guidance = c["solver"]["guidance"] if guidance is None else guidance
    kept, here = {}, {}

    def rollout(step):
        """A batch whose history and text are the student's own."""
        turn = step // every
        if here.get("turn") != turn:
            here.update(turn=turn, batch=on_device(made(material, turn, size, seed + 1)))
        batch = here["batch"]
        if kept.get("turn") != turn:
            examples = [
                {key: value[i] for key, value in batch.items()} for i in range(len(batch["text"]))
            ]
            ids, latents = roll(student, examples, taus, seed=turn, units=units)
            kept.update(turn=turn, text=ids, audio_latents=latents[0], video_latents=latents[1])
        return {**batch, **on_device({key: value for key, value in kept.items() if key != "turn"})}

    settings = {"batch": size, "units": units, "few": few, "substeps": substeps, "guidance": guidance, "every": every}
    settings |= {**adapt_settings(base), **compile_settings(compile)}
    settings |= {"recordings": os.path.abspath(recordings)} if recordings else {}
    made_of = {"teacher": digest({n: w for n, w in taught.items() if ".decoder." not in n})}
    options |= {"seed": seed, "minutes": minutes, "settings": settings, "made_of": made_of, "carried": kept}
    options |= validation(out, "student", base, validate, validate_on, recordings, few)
    train(
        "student",
        out,
        trained,
        lambda step: distill_loss(student, teacher, rollout(step), taus, substeps, guidance),
        steps,
        warmup=20,
        decay=0.0,
        save_every=50,
        average=0.98,
        shares=shares(base, trained),
        finish=whole,
        **{"rate": 3e-4, **options},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    add_run_arguments(parser, 400)
    add_model_arguments(parser)
    parser.add_argument("--batch", type=one_or_more, default=4)
    parser.add_argument("--units", type=one_or_more, default=48, help="units of a crop")
    parser.add_argument("--recordings", metavar="FOLDER", help="users of a folder of recordings, not the world's")
    parser.add_argument("--few", type=one_or_more, default=4, help="the student's solver steps")
    parser.add_argument("--substeps", type=one_or_more, default=4, help="the teacher's in each of them")
    parser.add_argument("--guidance", type=float, help="the teacher's (default: the config's)")
    args = parser.parse_args()
    with locked(args.out):
        from_arguments(args)
        together(args.workers, functools.partial(run, args))


def run(args):
    of_its_own = {"size": args.batch, "units": args.units, "recordings": args.recordings, "few": args.few, "substeps": args.substeps, "guidance": args.guidance}
    of_its_own |= {"validate": args.validate, "validate_on": args.validate_on, "compile": args.compile, "recompute": args.recompute}
    train_student(args.out, **of_its_own, **run_options(args))


if __name__ == "__main__":
    command(main)
