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
import os

import torch
import torch.nn.functional as F

import safetensors_file

from .base import add_arguments, command, from_arguments, opened
from .data import Material
from .loop import on_device, train
from .model import Model, expected_tensors, guided, is_codec
from .rollout import roll
from .solver import taus_of

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
        taught = teacher.heads(teacher.forward(batch, start, tau))[0].log_softmax(-1)
    text = F.kl_div(logits.log_softmax(-1), taught, log_target=True, reduction="none").sum(-1).mean()
    audio, video = ((mine - theirs).pow(2).mean() for mine, theirs in zip(velocities, target))
    loss = audio + video + TEXT_WEIGHT * text
    return loss, {"audio": audio.detach(), "video": video.detach(), "text": text.detach()}


def train_student(out, steps, minutes=None, few=4, substeps=4, guidance=1.5, size=4, units=48, every=8, seed=0):
    """few: the student's steps; substeps: the teacher's in each; `every`: steps on one set of rollouts."""
    base = opened(out)
    c = base.config
    path = os.path.join(out, "conversations.safetensors")
    weights, frozen = (on_device(safetensors_file.read(path)) for _ in range(2))
    learned = {name: w.requires_grad_(True) for name, w in weights.items() if not is_codec(name)}
    student, teacher = Model(c, weights), Model(c, frozen)
    material = Material(base, safetensors_file.read(path), units=units, pool=64, fresh=0.5)
    taus = taus_of(few)
    kept = {}

    def rollout(step):
        """A batch whose history and text are the student's own."""
        turn = step // every
        if kept.get("turn") != turn:
            batch = on_device(material.batch(turn, size, seed + 1))
            examples = [
                {key: value[i] for key, value in batch.items()} for i in range(len(batch["text"]))
            ]
            for example in examples:
                example["frames"] = (example["frames"] + 1) * 127.5
            ids, latents = roll(student, examples, taus, seed=turn, units=units)
            own = {**batch, "text": ids, "audio_latents": latents[0], "video_latents": latents[1]}
            kept.update(turn=turn, batch=own)
        return kept["batch"]

    trained = train(
        "student",
        out,
        learned,
        lambda step: distill_loss(student, teacher, rollout(step), taus, substeps, guidance),
        steps,
        rate=3e-4,
        warmup=20,
        decay=0.0,
        seed=seed,
        save_every=50,
        minutes=minutes,
        average=0.98,
    )
    result = {name: trained.get(name, weights[name]).detach() for name in expected_tensors(c)}
    safetensors_file.write(os.path.join(out, "student.safetensors"), result)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--few", type=int, default=4, help="the student's solver steps")
    parser.add_argument("--substeps", type=int, default=4, help="the teacher's in each of them")
    parser.add_argument("--guidance", type=float, default=1.5, help="the teacher's")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    from_arguments(args)
    train_student(args.out, args.steps, args.minutes, args.few, args.substeps, args.guidance)


if __name__ == "__main__":
    command(main)
