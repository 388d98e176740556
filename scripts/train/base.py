"""What a run starts from: a config, a tokenizer and maybe weights, kept in the run's folder.

The first stage takes `--config FILE` (a checkpoint's config.json; the tokenizer.json beside it, where
there is one) or `--init CHECKPOINT` (config, tokenizer and weights), and without both the shape of the
shipped nano. It lets the engine check them and writes OUT/config.json, OUT/tokenizer.json and
OUT/base.json; the stages after it read those.
"""

import argparse
import dataclasses
import functools
import json
import math
import os
import shutil
import subprocess

import torch

import safetensors_file

from .coders import MEDIA
from .device import fast_bf16
from .layout import Layout
from .run import InputError
from .stacks import unknown
from .tensors import expected_tensors, is_codec
from .tokenizer import Tokens, tokenizer_json
from .worlds import NUMBERS, world

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
NANO = os.path.join(REPOSITORY, "engine/models/nano-1")
BACKBONE = ("train", "frozen", "lora")


@dataclasses.dataclass
class Base:
    config: dict
    tokens: Tokens
    init: str | None = None  # folder of the checkpoint whose weights are taken, or None
    backbone: str = "train"  # what becomes of its `model.*` tensors: one of BACKBONE
    backbone_rate: float = 1.0  # their learning rate beside the others'
    rank: int = 8  # of low-rank adaptation
    world: int = 1  # that is learned from (worlds.py)

    def weights(self):
        """The tensors to start from, as float32; none without --init."""
        return read_weights(self.init) if self.init else {}


def read_weights(folder):
    """All tensors of a checkpoint folder, in one file or in shards, as float32."""
    index = os.path.join(folder, "model.safetensors.index.json")
    names = ["model.safetensors"]
    if not os.path.exists(os.path.join(folder, names[0])) and os.path.exists(index):
        names = sorted(set(read_json(index)["weight_map"].values()))
    weights = {}
    for name in names:
        weights.update(safetensors_file.read(os.path.join(folder, name)))
    return weights


def read_json(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); give a checkpoint's config.json or folder") from None
    except ValueError as error:
        raise InputError(f"{path}: isn't valid JSON ({error}); write or download it again") from None


def write_json(path, value):
    with safetensors_file.replaced(path, "w") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")


def ask_engine(question):
    """What scripts/train/engine.ts answers to a question: a dict each. Raises InputError with the
    engine's own words when it refuses something."""
    deno = shutil.which("deno")
    if deno is None:
        raise InputError("deno isn't on PATH: the engine checks what is trained; npm install -g deno@2.9.6")
    command = [deno, "run", "-q", "--allow-read", "--allow-env", os.path.join(REPOSITORY, "scripts/train/engine.ts")]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, cwd=REPOSITORY)
    if done.returncode:
        raise InputError(done.stderr.strip().split("\n")[-1])
    return json.loads(done.stdout)


def plain(config):
    """A config as it is written."""
    return {key: value for key, value in config.items() if key != "_told"}


def check(config, tokenizer, where):
    """Asks the engine whether it runs such a checkpoint, and whether it counts tokens and tensors as
    this package does. Returns the config as the engine reads it; `_told` holds what it says of encoders and
    decoders that training can't run (coders.Coder)."""
    answer = ask_engine({"config": plain(config), "tokenizer": tokenizer, "where": where})
    told = {name: [tensors, output] for name, layers, tensors, output in answer["coders"] if unknown(layers)}
    config = {**answer["config"], **({"_told": told} if told else {})}
    layout = Layout(config)
    mine = [list(pair) for pair in sorted(expected_tensors(config).items())]
    differing = next((pair for pair in zip(mine, answer["tensors"]) if pair[0] != pair[1]), None)
    if differing or len(mine) != len(answer["tensors"]) or layout.clean != answer["tokens"]:
        raise InputError(f"{where}: this package and the engine read it differently ({differing}): take both from one commit")
    return config


def begin(out, config=None, init=None, number=None, **backbone):
    """Makes OUT the folder of a run from a config file or a checkpoint folder, or goes on with what it
    is; returns its Base. number: of the world that it learns from. backbone: fields of Base that say what becomes of it, from now on; None leaves
    one as it is. Raises InputError for what the engine refuses, or another run's folder."""
    base = made(out, config, init, number)
    backbone = {name: value for name, value in backbone.items() if value is not None}
    if not backbone:
        return base
    if base.init is None:
        raise InputError(f"--{next(iter(backbone)).replace('_', '-')}: there is no backbone without --init CHECKPOINT")
    write_json(os.path.join(out, "base.json"), {**of_run(base.init, base.world), **backbone})
    return opened(out)


def of_run(init, number):
    """What base.json says at first."""
    return {"init": init, **({"world": number} if number != 1 else {})}


def made(out, config, init, number=None):
    """The Base of a run's folder, which is made where it isn't there."""
    there = os.path.exists(os.path.join(out, "config.json"))
    if config and init:
        raise InputError("--config and --init: give one of them; a checkpoint has its own config")
    if there and number not in (None, opened(out).world):
        raise InputError(f"{out} is the folder of a run in world {opened(out).world}; choose another --out")
    if there and not (config or init):
        return opened(out)
    number = number or (opened(out).world if there else 1)
    source = os.path.join(init or NANO, "config.json") if config is None else config
    given, beside = read_json(source), os.path.join(os.path.dirname(source), "tokenizer.json")
    tokenizer = read_json(beside) if os.path.exists(beside) else tokenizer_json(world(number).vocabulary())
    tokenizer = completed(tokenizer, given, source)
    if config or init:
        given = check(given, tokenizer, source)
    told = given.pop("_told", None)
    given.pop("random_weights_seed", None)
    init = init and os.path.abspath(init)
    if there:
        kept = opened(out)
        for name, before, now in (
            ("config", plain(kept.config), given),
            ("tokenizer", kept.tokens.json, tokenizer),
            ("checkpoint to begin with", kept.init, init),
        ):
            if before != now:
                raise InputError(f"{out} is the folder of a run with another {name}; choose another --out")
        return kept
    os.makedirs(out, exist_ok=True)
    if init:
        weights = read_weights(init)
        for name, shape in expected_tensors({**given, "_told": told or {}}).items():
            found = list(weights[name].shape) if name in weights else "none"
            if found != shape:
                raise InputError(f"{init}: {name} has shape {found}, its config says {shape}")
        for medium in MEDIA:
            codec = {n: w for n, w in weights.items() if is_codec(n) and n.startswith(f"response.{medium}.")}
            safetensors_file.write(os.path.join(out, f"codec_{medium}.safetensors"), codec)
    write_json(os.path.join(out, "tokenizer.json"), tokenizer)
    write_json(os.path.join(out, "base.json"), of_run(init, number))
    if told:
        write_json(os.path.join(out, "told.json"), told)
    write_json(os.path.join(out, "config.json"), given)
    return opened(out)


def nano():
    """The Base of a new run: the shipped nano's config and tokenizer, no weights."""
    config, tokenizer = (read_json(os.path.join(NANO, f"{name}.json")) for name in ("config", "tokenizer"))
    return Base(config, Tokens(tokenizer, config["filler_token_id"], ask_engine))


def opened(out):
    """The Base of a run's folder; of a new one the shipped nano's."""
    if not os.path.exists(os.path.join(out, "config.json")):
        return begin(out)
    config, tokenizer, base = (read_json(os.path.join(out, f"{n}.json")) for n in ("config", "tokenizer", "base"))
    if os.path.exists(os.path.join(out, "told.json")):
        config["_told"] = read_json(os.path.join(out, "told.json"))
    return Base(config, tokens_of(json.dumps(tokenizer), config["filler_token_id"], base.get("world", 1)), **base)


@functools.lru_cache(maxsize=8)
def tokens_of(tokenizer, filler, number=1):
    return Tokens(json.loads(tokenizer), filler, ask_engine, world(number).vocabulary())


def exported(base, few=None, recorded=False, solver=None):
    """The config of a checkpoint: of a student of so many (`few`) solver steps, or of a run that learned
    from recordings; solver: overrides of its solver."""
    # A third of the world's questions are typed; of recordings it isn't known.
    typed = ["user_text"] if base.config["user_text_slots"] and not recorded else []
    typed += ["prompt", "persona", "voice"] if base.world > 1 and not recorded else []
    student = {"name": "euler", "steps": few, "guidance": 1} if few else {}
    solver = {**base.config["solver"], **student, **(solver or {})}
    return {**base.config, "torch_dtype": "float16", "trained_with": typed, "solver": solver}


def write_checkpoint(folder, c, tokens, weights):
    """Writes config, weights as f16 and tokenizer into a folder; returns how many parameters they are.
    Raises InputError for weights that f16 can't hold."""
    halves = {name: weights[name].half() for name in expected_tensors(c)}
    for name, half in halves.items():
        if not torch.isfinite(half).all():
            largest = float(weights[name].abs().max())
            raise InputError(f"{folder}: {name} holds {largest:g}; f16 holds up to 65504: train again from an earlier state")
    os.makedirs(folder, exist_ok=True)
    safetensors_file.write(os.path.join(folder, "model.safetensors"), halves)
    write_json(os.path.join(folder, "config.json"), plain(c))
    write_json(os.path.join(folder, "tokenizer.json"), tokens.json)
    return sum(half.numel() for half in halves.values())


def completed(tokenizer, config, where):
    """The tokenizer with a token for 'the voice sounds on', in a free row of the vocabulary where it has
    none. Raises InputError when the vocabulary has no row for every token."""
    try:
        return Tokens.completed(tokenizer, config)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def one_or_more(text):
    """An option's number, for argparse."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text}: it may be a whole number, 1 or more")
    return int(text)


def above_0(text):
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: it may be a number above 0")
    return number


def add_arguments(parser):
    """The options of every stage for what it starts from."""
    parser.add_argument("--out", required=True, help="folder of the training run")
    parser.add_argument("--config", help="a checkpoint's config.json: another shape (default: OUT's, or the shipped nano's)")
    parser.add_argument("--init", metavar="CHECKPOINT", help="a checkpoint folder: its config, tokenizer and weights")
    parser.add_argument("--world", type=int, choices=NUMBERS, help="what is learned from: show and tell (1), or 2, with characters, voices and prompts (OUT's, or 1)")
    parser.add_argument("--backbone", choices=BACKBONE, help="what becomes of --init's backbone (train)")
    parser.add_argument("--backbone-rate", type=float, help="its learning rate as a share of the others' (1)")
    parser.add_argument("--rank", type=one_or_more, help="of --backbone lora (8)")


def add_run_arguments(parser, steps):
    """The options of every stage for how it runs."""
    parser.add_argument("--steps", type=one_or_more, help=f"until this step (default {steps}, or until --minutes are over)")
    parser.add_argument("--minutes", type=above_0, help="a budget of wall time for all runs of this stage")
    parser.add_argument("--rate", type=above_0, help="the highest learning rate (default: the stage's)")
    parser.add_argument("--threads", type=one_or_more, default=1, help="of each process")
    parser.add_argument("--workers", type=one_or_more, default=1, help="processes that train together, each with its batch")
    bf16 = argparse.BooleanOptionalAction
    parser.add_argument("--bf16", action=bf16, help="products in bfloat16 (default: where they are faster)")
    parser.add_argument("--changed", action="store_true", help="go on although settings are others than before")
    parser.set_defaults(default_steps=steps)


def add_model_arguments(parser):
    """The options of the stages that train the model itself."""
    parser.add_argument("--validate", type=float, default=0, metavar="MINUTES", help="from one 'wanstream eval' of the weights to the next, which also says which are the best (0: never)")
    parser.add_argument("--validate-on", metavar="FOLDER", help="recordings with truth records for --validate (default: the world's, from seeds that training never meets)")
    parser.add_argument("--recompute", action="store_true", help="work layers out again in the backward pass: less memory for a third more work")
    parser.add_argument("--compile", action="store_true", help="compile the forward pass: some minutes before the first steps, kept for later runs")


def run_options(args):
    """What train() takes of these; sets the number of threads."""
    torch.set_num_threads(args.threads)
    steps = args.default_steps if args.steps is None and args.minutes is None else args.steps
    bf16 = fast_bf16() if args.bf16 is None else args.bf16
    rate = {} if args.rate is None else {"rate": args.rate}
    return {"steps": steps, "minutes": args.minutes, "bf16": bf16, "changed": args.changed, **rate}


def from_arguments(args):
    backbone = {"backbone": args.backbone, "backbone_rate": args.backbone_rate, "rank": args.rank}
    return begin(args.out, args.config, args.init, args.world, **backbone)
