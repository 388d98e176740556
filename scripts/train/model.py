"""The model of a checkpoint's config.json in PyTorch: the training pass over whole conversations at once,
and the unit-by-unit pass that inference makes.

Training pass: the clean tokens of L units carry history; beside them stand noisy copies of each
unit's response latents, which see the clean tokens before their unit, their unit's observation and
text, and each other (the ranks of engine/checkpoint/unit.ts). Attention is computed in chunks of units, each
against the window of history that it can see, so that the window costs no more than it must.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from . import given, stacks
from .coders import log_mel, observation_encoder
from .layout import Layout
from .solver import solve
from .tensors import TAU_FEATURES

TYPES = {"userText": 0, "userAudio": 1, "userVideo": 2, "agentText": 3, "agentAudio": 4, "agentVideo": 5, "prompt": 6}
CHUNK = 16  # units per attention chunk


# Debian's PyTorch 1.13, which `bench peers` times ticks with, has neither.


def rms_norm(x, weight, eps):
    if hasattr(F, "rms_norm"):
        return F.rms_norm(x, weight.shape, weight, eps)
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def attention(q, k, v, attn_mask):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + attn_mask, -1) @ v


class Model:
    """weights: name -> tensor (with gradients in training); c: a checkpoint's config. recompute: of what
    layers work out nothing is kept for the backward pass, which works it out again: a third more work."""

    def __init__(self, c, weights, recompute=False):
        self.c, self.w, self.layout, self.recompute = c, weights, Layout(c), recompute
        self.eps = c["rms_norm_eps"]
        self._angles, self._masks = {}, {}

    # Into the residual stream.

    def tau_rows(self, tau):
        """tau [...] -> [..., hidden]."""
        half = TAU_FEATURES // 2
        rate = torch.exp(-math.log(1e4) * torch.arange(half, device=tau.device) / half)
        angle = 1000 * tau[..., None] * rate
        x = torch.cat([angle.cos(), angle.sin()], -1)
        w = self.w
        x = F.silu(F.linear(x, w["tau_embedding.linear1.weight"], w["tau_embedding.linear1.bias"]))
        return F.linear(x, w["tau_embedding.linear2.weight"], w["tau_embedding.linear2.bias"])

    def type_row(self, name):
        return self.w["type_embedding.weight"][TYPES[name]]

    def latent_rows(self, audio, video, tau):
        """Latents [..., tokens, channels] at tau [...] -> [..., response tokens, hidden]."""
        w, rows = self.w, []
        for medium, z in (("audio", audio), ("video", video)):
            x = F.linear(z, w[f"response.{medium}.input.weight"], w[f"response.{medium}.input.bias"])
            rows.append(x + self.type_row("agent" + medium.capitalize()))
        return torch.cat(rows, -2) + self.tau_rows(tau)[..., None, :]

    def observed_rows(self, medium, x, units, first=0, carried=None):
        """Observations of whole conversations [B, C, T, H, W] -> [B, units, tokens, hidden], or of the
        units after those that `carried` stands for (stacks.py). With first=1 the stack's first layer
        (log-mel) has been applied already."""
        w, name = self.w, f"observation.{medium}"
        encoder = observation_encoder(self.c, medium)
        if x.dtype == torch.uint8:
            # Levels are moved while they are bytes: a quarter of what their values would be.
            if encoder.layers[0]["op"] == "unshuffle":
                x, first = stacks.unshuffle(x, encoder.layers[0]["factor"]), 1
            x = x.float().div_(127.5).sub_(1)
        y = encoder.run(w, x, first, carried=carried)
        y = y.permute(0, 2, 3, 4, 1).reshape(len(y), units, -1, y.shape[1])
        y = F.linear(y, w[f"{name}.projection.weight"], w[f"{name}.projection.bias"])
        return y + self.type_row("user" + medium.capitalize())

    def text_rows(self, ids, type):
        return F.embedding(ids, self.w["model.embed_tokens.weight"]) + self.type_row(type)

    # Out of it.

    def velocity(self, normed):
        """[..., response tokens, hidden] -> audio and video velocities."""
        parts = normed.split([self.layout.agent_audio, self.layout.agent_video], -2)
        w = self.w
        return tuple(
            F.linear(x, w[f"response.{m}.output.weight"], w[f"response.{m}.output.bias"])
            for m, x in zip(("audio", "video"), parts)
        )

    def logits(self, normed):
        table = "model.embed_tokens.weight" if self.c["tie_word_embeddings"] else "lm_head.weight"
        return F.linear(normed, self.w[table])

    def final_norm(self, x):
        return rms_norm(x, self.w["model.norm.weight"], self.eps)

    # The Transformer.

    def angles(self, positions):
        """Whole positions [..., 3] -> (cos, sin), each [..., head_dim]."""
        c = self.c
        half = c["head_dim"] // 2
        rates = c["rope_theta"] ** (-torch.arange(half, device=positions.device) / half)
        axis = torch.zeros(half, dtype=torch.long, device=positions.device)
        scaling = c.get("rope_scaling")
        if scaling:
            for which in (1, 2):
                axis[which : 3 * scaling["mrope_section"][which] : 3] = which
        angles = positions.float()[..., axis] * rates
        angles = torch.cat([angles, angles], -1)
        return angles.cos(), angles.sin()

    def linear(self, i, x, *names):
        """x through projections of layer i that have the same input, in one product."""
        weights = [self.w[f"model.layers.{i}.{name}_proj.weight"] for name in names]
        y = F.linear(x, torch.cat(weights) if len(weights) > 1 else weights[0])
        return y.split([len(weight) for weight in weights], -1)

    def norm(self, i, name, x):
        return rms_norm(x, self.w[f"model.layers.{i}.{name}.weight"], self.eps)

    def qkv(self, i, x, turns, asking=slice(None)):
        """x [..., rows, hidden] -> q [..., rows, heads, head_dim], k and v with fewer heads; q of the rows
        `asking` alone."""
        y = self.norm(i, "input_layernorm", x)
        heads = lambda part: part.unflatten(-1, (-1, self.c["head_dim"]))
        if asking == slice(None):
            q, k, v = self.linear(i, y, "self_attn.q", "self_attn.k", "self_attn.v")
        else:
            (q,), (k, v) = self.linear(i, y[..., asking, :], "self_attn.q"), self.linear(i, y, "self_attn.k", "self_attn.v")
        # Products may be in bfloat16; what turns with the position isn't.
        q = self.rotate(self.norm(i, "self_attn.q_norm", heads(q).float()), [t[..., asking, :] for t in turns])
        k = self.rotate(self.norm(i, "self_attn.k_norm", heads(k).float()), turns)
        return q, k, heads(v)

    @staticmethod
    def rotate(x, turns):
        half = x.shape[-1] // 2
        cos, sin = (t[..., :half].unsqueeze(-2) for t in turns)
        left, right = x.split(half, -1)
        return torch.cat([torch.addcmul(left * cos, right, sin, value=-1), torch.addcmul(right * cos, left, sin)], -1)

    def finish(self, i, x, attended):
        x = x + self.linear(i, attended.flatten(-2), "self_attn.o")[0].float()
        y = self.norm(i, "post_attention_layernorm", x)
        gate, up = self.linear(i, y, "mlp.gate", "mlp.up")
        return x + self.linear(i, F.silu(gate) * up, "mlp.down")[0].float()

    def mask(self, first, last, rows, window, noisy_context, device):
        """Additive [queries of units first..last, keys]: 0 or -inf. Keys are the clean rows of the units
        of `kept`, then, where there are noisy rows, those of units first..last."""
        key = (first, last, rows, window, noisy_context, device)
        if key in self._masks:
            return self._masks[key]
        lay = self.layout
        ranks = lay.ranks()[:rows]
        span, sinks = lay.agent_text + 2, self.c["sink_units"]
        kept = torch.tensor(self.kept(first, last, window))
        unit_q = torch.arange(first, last).repeat_interleave(rows)
        unit_k = kept.repeat_interleave(lay.clean)
        row = torch.arange(rows).repeat(last - first)
        noisy = row >= lay.clean
        response = (row >= lay.observation + lay.agent_text) & ~noisy
        limit = unit_q * span + ranks.repeat(last - first)
        if noisy_context is False:
            # The unconditional set sees neither observation nor text of its unit.
            limit = torch.where(noisy, unit_q * span - 1, limit)
        rank_k = unit_k * span + ranks[: lay.clean].repeat(len(kept))
        # History holds the sinks and the newest units, `window` in all, when a row is computed: responses
        # come a tick later.
        oldest = unit_q - (window - sinks) + 1 + response.long()
        here = (unit_k[None] >= oldest[:, None]) | (unit_k[None] < sinks)
        sees = (rank_k[None] <= limit[:, None]) & here
        # Noisy rows also see their unit's noisy rows; the clean ones don't.
        unit_noisy = torch.arange(first, last).repeat_interleave(rows - lay.clean)
        sees = torch.cat([sees, noisy[:, None] & (unit_noisy[None] == unit_q[:, None])], 1)
        mask = torch.zeros(sees.shape).masked_fill(~sees, -math.inf).to(device)
        self._masks[key] = mask
        return mask

    def kept(self, first, last, window):
        """Units that those from first to last see: the sinks, then the window."""
        start = max(0, first - (window - self.c["sink_units"]) + 1)
        return [*range(min(self.c["sink_units"], start)), *range(start, last)]

    def spans(self, typed, rows, used, noisy_context, dtype, before=None):
        """What each chunk of units needs to attend: its units (first, last), the units that it sees, and
        additive masks [B or 1, 1, group x queries, keys] of all its rows and of the rows `used`. before:
        what is seen of the rows that were given before unit 0, additive [B, n]: they are the first keys."""
        lay, c = self.layout, self.c
        units, window, device = typed.shape[1], c["history_units"], typed.device
        group = c["num_attention_heads"] // c["num_key_value_heads"]
        # A slot of user text where nothing was typed is seen by nobody.
        empty = torch.zeros(*typed.shape[:2], lay.clean, device=device)
        empty[:, :, : lay.user_text] = torch.where(typed >= 0, 0.0, -math.inf)
        result = []
        for first in range(0, units, CHUNK):
            last = min(units, first + CHUNK)
            kept = self.kept(first, last, window)
            whole = kept == list(range(kept[0], last))
            seen = slice(kept[0], last) if whole else torch.tensor(kept, device=device)
            bias = self.mask(first, last, rows, window, noisy_context, device)[None]
            if lay.user_text:
                hidden = empty[:, seen].flatten(1)[:, None]
                bias = bias + F.pad(hidden, (0, bias.shape[2] - hidden.shape[2]))
            if before is not None:
                b, queries = len(before), bias.shape[1]
                bias = torch.cat([before[:, None].expand(b, queries, -1), bias.expand(b, -1, -1)], 2)
            bias = bias.to(dtype).unflatten(1, (last - first, rows))
            both = (part.flatten(1, 2).repeat(1, group, 1)[:, None] for part in (bias, bias[:, :, used]))
            result.append((first, last, seen, *both))
        return result

    def attend(self, q, k, v, spans, before=()):
        """q [B, L, rows, H, d], k and v [B, L, all rows, KV, d] -> [B, L, rows, H, d]. Heads that share
        keys are rows of one product. before: keys and values [B, n, KV, d] of the rows before unit 0."""
        clean, kv = self.layout.clean, k.shape[3]
        _, _, rows, heads, d = q.shape
        out = []
        for first, last, seen, whole, used in spans:
            part = q[:, first:last].unflatten(3, (kv, -1)).permute(0, 3, 4, 1, 2, 5).flatten(2, 4)
            keys, values = (
                torch.cat([*ahead, x[:, seen, :clean].flatten(1, 2), x[:, first:last, clean:].flatten(1, 2)], 1).transpose(1, 2)
                for x, ahead in zip((k, v), [[part] for part in before] or [[], []])
            )
            bias = whole if rows == k.shape[2] else used
            y = attention(part.to(v.dtype), keys.to(v.dtype), values, attn_mask=bias)
            y = y.unflatten(2, (heads // kv, last - first, rows)).permute(0, 3, 4, 1, 2, 5)
            out.append(y.flatten(3, 4))
        return torch.cat(out, 1)

    def forward(self, batch, z: tuple | None = None, tau=None, noisy_context=True):
        """The training pass.

        batch: typed [B, L, slots] (-1: nothing), text [B, L, slots], audio and video observations as
        `observe` takes them, latents audio [B, L, tokens, channels] and video, the
        clean (history's) ones, perhaps what was given before (given.KEYS). z: the noisy latents, at tau [B, L]. Returns the normed rows of use
        [B, L, rows, hidden], as heads() takes them: those before each text token, and the noisy ones.
        """
        lay, c = self.layout, self.c
        typed, text = batch["typed"], batch["text"]
        b, units, _ = text.shape
        zero = torch.zeros(b, units, device=text.device)
        rows = [
            self.text_rows(typed.clamp(min=0), "userText"),
            *self.observe(batch, units),
            self.text_rows(text, "agentText"),
            self.latent_rows(batch["audio_latents"], batch["video_latents"], zero),
        ]
        if z is not None:
            rows.append(self.latent_rows(z[0], z[1], tau))
        x = torch.cat(rows, 2)
        key = (units, x.shape[2], x.device)
        if key not in self._angles:
            span = c["positions_per_unit"]
            at = torch.arange(units) * span
            positions = lay.positions(span)[None, : x.shape[2]] + at[:, None, None]
            self._angles[key] = self.angles(positions.to(x.device))
        turns = self._angles[key]
        text_rows = range(lay.observation - 1, lay.observation - 1 + lay.agent_text)
        used = [*text_rows, *range(lay.clean, x.shape[2])]
        # Products may be in bfloat16, and what attention takes is then too.
        dtype = self.linear(0, x[:1, :1, :1], "self_attn.v")[0].dtype
        y = turned = sees = seen = None
        if "given_prompt" in batch:
            y, places, sees, seen = given.rows(self, batch)
            turned = self.angles(places)
        spans = self.spans(typed, x.shape[2], used, noisy_context, dtype, seen)
        layer = self.layer
        if self.recompute:
            layer = functools.partial(checkpoint, self.layer, use_reentrant=False, preserve_rng_state=False)
        for i in range(c["num_hidden_layers"]):
            # Of the last layer's rows only those of use ask.
            asking = used if i + 1 == c["num_hidden_layers"] else slice(None)
            x, y = layer(i, x, turns, asking, spans, y, turned, sees)
        return self.final_norm(x)

    def layer(self, i, x, turns, asking, spans, y=None, turned=None, sees=None):
        """Rows x of units, and y of what was given before, which see each other alone."""
        q, k, v = self.qkv(i, x, turns, asking)
        before = ()
        if y is not None:
            y, before = self.before(i, y, turned, sees)
        return self.finish(i, x[:, :, asking], self.attend(q, k, v, spans, before)), y

    def before(self, i, y, turned, sees):
        """Layer i of the rows y [B, n, hidden] before unit 0: what it makes of them, their keys and values."""
        q, k, v = self.qkv(i, y, turned)
        kv = k.shape[2]
        part = q.unflatten(2, (kv, -1)).permute(0, 2, 3, 1, 4).to(v.dtype)  # [B, KV, group, n, d]
        bias = sees.to(v.dtype).repeat(1, part.shape[2], 1)[:, None]
        keys, values = (x.to(v.dtype).transpose(1, 2) for x in (k, v))
        z = attention(part.flatten(2, 3), keys, values, attn_mask=bias)
        return self.finish(i, y, z.unflatten(2, part.shape[2:4]).permute(0, 3, 1, 2, 4).flatten(2, 3)), (k, v)

    def observe(self, batch, units):
        """Rows of the user's audio (batch["mel"], as coders.heard gives it) and video (batch["frames"], levels
        0 to 255 as uint8, or -1 to 1), each [B, units, tokens, hidden]; of a medium that the batch lacks, rows that say so."""
        lay, w = self.layout, self.w
        rows = []
        for medium, key, tokens in (("audio", "mel", lay.user_audio), ("video", "frames", lay.user_video)):
            if key in batch:
                first = 1 if medium == "audio" and log_mel(self.c) else 0
                rows.append(self.observed_rows(medium, batch[key], units, first))
            else:
                nothing = w["no_sound_embedding" if medium == "audio" else "no_picture_embedding"]
                row = nothing + self.type_row("user" + medium.capitalize())
                rows.append(row.expand(len(batch["typed"]), units, tokens, -1))
        return rows

    def heads(self, normed):
        """forward()'s rows -> (text logits [B, L, slots, vocabulary], (audio velocity, video velocity) or
        None, last observation rows). A slot's logits are read at the token before it."""
        before, noisy = normed.tensor_split([self.layout.agent_text], 2)
        flow = self.velocity(noisy) if noisy.shape[2] else None
        return self.logits(before), flow, before[:, :, 0]


def guided(led, free, guidance):
    """Velocities that lead on from those without a unit's observation and text (`free`) to those with
    them (`led`), and beyond: classifier-free guidance (Ho and Salimans 2022)."""
    return tuple(b + guidance * (a - b) for a, b in zip(led, free))


class Stream:
    """The pass that inference makes, unit by unit, batched over B conversations. Mirrors
    engine/roles/thinker.ts and performer.ts without their GPU.

    Keys and values have their places from the start, `clean` rows for each unit of the window (of `units`
    that will come, where these are fewer); a unit that finds the window full takes the place of the
    oldest one that isn't a sink. Noisy rows lie where their unit's clean ones will be. given: what was given
    before unit 0, as a batch has it (given.KEYS): its keys and values are the first, and stay."""

    def __init__(self, model, batch, device="cpu", units=None, given=None):
        self.model, self.b, self.device = model, batch, device
        window = model.c["history_units"]
        self.places = window if units is None else min(window, units)
        self.kept: tuple | None = None  # keys and values, each [layers, B, KV, given + places x clean, d]
        # What is added to scores: 0 for rows that are there, -inf for others.
        self.bias = torch.full((batch, self.places * model.layout.clean), -math.inf, device=device)
        self.unit = 0  # the next one
        self.given = 0  # rows before unit 0
        if given:
            self.begin(given)

    def begin(self, batch):
        """Puts what is given into history."""
        m = self.model
        y, places, sees, seen = given.rows(m, batch)
        self.given, self.bias = y.shape[1], torch.cat([seen, self.bias], 1)
        turned = m.angles(places)
        for i in range(m.c["num_hidden_layers"]):
            y, new = m.before(i, y, turned, sees)
            self.put(i, slice(0, self.given), new)

    def put(self, i, here, new):
        """Keeps keys and values [B, n, KV, d] of layer i in the places `here`; returns those of all places."""
        if self.kept is None:  # products may be in bfloat16
            c = self.model.c
            shape = (c["num_hidden_layers"], self.b, c["num_key_value_heads"], self.bias.shape[1], c["head_dim"])
            self.kept = tuple(torch.zeros(shape, dtype=new[1].dtype, device=self.device) for _ in range(2))
        for all_, part in zip(self.kept, new):
            all_[i, :, :, here] = part.transpose(1, 2)
        return self.kept[0][i], self.kept[1][i]

    def first_row(self, unit):
        """Of a unit's place."""
        sinks = self.model.c["sink_units"]
        place = unit if unit < self.places else sinks + (unit - sinks) % (self.places - sinks)
        return self.given + place * self.model.layout.clean

    def span(self, x, kinds, unit, hidden=None, without=0):
        """Runs rows x [B, n, hidden], which are `kinds` (a range of the layout's rows) of a unit: they see
        what is there, and each other. hidden: which of them nobody sees [B, n]. without: so many of the
        unit's first rows aren't seen."""
        m, c, lay = self.model, self.model.c, self.model.layout
        span = c["positions_per_unit"]
        turns = m.angles((lay.positions(span)[kinds.start : kinds.stop] + unit * span).to(x.device))
        own = self.first_row(unit)
        first = own + kinds.start - (lay.response if kinds.start >= lay.clean else 0)
        here, end = slice(first, first + len(kinds)), self.given + min(unit + 1, self.places) * lay.clean
        self.bias[:, here] = 0 if hidden is None else torch.where(hidden, -math.inf, 0.0)
        bias = self.bias[:, None, None, :end].clone()
        bias[..., own : own + without] = -math.inf
        for i in range(c["num_hidden_layers"]):
            q, k, v = m.qkv(i, x, turns)
            keys, values = (part[:, :, :end] for part in self.put(i, here, (k, v)))
            q = q.to(v.dtype).unflatten(2, (keys.shape[1], -1)).permute(0, 2, 3, 1, 4)  # [B, KV, group, n, d]
            y = attention(q.flatten(2, 3), keys, values, attn_mask=bias.to(v.dtype))
            x = m.finish(i, x, y.unflatten(2, q.shape[2:4]).permute(0, 3, 1, 2, 4).flatten(2, 3))
        return m.final_norm(x)

    def think(self, typed, audio_rows, video_rows, previous, choose):
        """The language/state pass of the next unit: typed [B, slots] ids or -1, observation rows
        [B, n, D], previous latents (None before unit 0), choose(logits, slot) -> ids [B]. Returns ids
        [B, slots] and logits [B, slots, vocabulary]."""
        m, lay, unit = self.model, self.model.layout, self.unit
        first = self.first_row(unit)
        self.bias[:, first : first + lay.clean] = -math.inf  # the oldest unit leaves
        if previous is not None:
            x = m.latent_rows(*previous, torch.zeros(self.b, device=self.device))
            self.span(x, range(lay.observation + lay.agent_text, lay.clean), unit - 1)
        x = torch.cat([m.text_rows(typed.clamp(min=0), "userText"), audio_rows, video_rows], 1)
        hidden = F.pad(typed < 0, (0, lay.observation - lay.user_text))
        normed = self.span(x, range(lay.observation), unit, hidden)
        ids, logits = [], []
        for slot in range(lay.agent_text):
            logits.append(m.logits(normed[:, -1]))
            ids.append(choose(logits[-1], slot))
            x = m.text_rows(ids[-1], "agentText")[:, None]
            at = lay.observation + slot
            normed = self.span(x, range(at, at + 1), unit)
        self.unit += 1
        return torch.stack(ids, 1), torch.stack(logits, 1)

    def velocity(self, z, tau, alone=False):
        """Velocities of the unit thought last, at tau; alone: without its observation and text, for
        guidance to compare with."""
        m, lay = self.model, self.model.layout
        x = m.latent_rows(*z, torch.full((self.b,), float(tau), device=self.device))
        without = lay.observation + lay.agent_text if alone else 0
        return m.velocity(self.span(x, range(lay.clean, lay.rows), self.unit - 1, without=without))

    def solve(self, z, taus, guidance=1.0, solver="euler"):
        """From taus[0] = 1 to taus[-1] = 0, with classifier-free guidance."""

        def velocity(z, tau):
            v = self.velocity(z, tau)
            return v if guidance == 1 else guided(v, self.velocity(z, tau, alone=True), guidance)

        return solve(z, velocity, solver, taus)
