"""What a model is given before unit 0, as engine/roles/prefill.ts puts it into history: a system prompt, a
reference voice, a reference picture; each may be missing.

Of one conversation `given` is a dict: `prompt` ids [tokens], `voice` latents [units, tokens, channels],
`picture` latents [1 or 0, tokens, channels]. A batch has them padded, under the names below.
"""

import math

import torch
import torch.nn.functional as F

KEYS = ("given_prompt", "given_voice", "given_units", "given_picture", "given_pictured", "given_ago")
LONGEST_VOICE = 25  # units of a reference, as maxVoiceUnits in engine/model/settings.ts
STEP = 5  # to whole numbers of these tokens and units a batch is padded, so that few shapes are met


def made(tokens, encoders, agent, prompt=None, voice=None, picture=None):
    """`given` of a conversation. tokens: Tokens; encoders: coders.Encoders; agent: Fit of the response;
    prompt: text; voice: samples at 16 kHz; picture: uint8 [height, width, 3]. None: not given."""
    sound, pictures = (torch.zeros(0, *shape) for shape in encoders.shapes())
    if voice is not None and len(voice):
        filled = agent.filled(voice.clip(-1, 1), LONGEST_VOICE)
        sound = encoders.sound(filled, len(filled) // agent.samples)
    if picture is not None:
        pictures = encoders.pictures(agent.still(picture)[None], 1)[0]
    ids = tokens.encode([prompt])[0] if prompt else []
    return {"prompt": torch.tensor(ids, dtype=torch.long), "voice": sound, "picture": pictures}


def padded(givens, agos):
    """A batch's tensors of what its examples are given. agos: units between that and their first unit."""
    whole = lambda count: -(-count // STEP) * STEP
    prompt = whole(max(len(each["prompt"]) for each in givens))
    units = whole(max(len(each["voice"]) for each in givens))
    fill = lambda x, length, value=0: F.pad(x, (0, 0) * (x.dim() - 1) + (0, length - len(x)), value=value)
    return {
        "given_prompt": torch.stack([fill(each["prompt"], prompt, -1) for each in givens]),
        "given_voice": torch.stack([fill(each["voice"], units) for each in givens]),
        "given_units": torch.tensor([len(each["voice"]) for each in givens]),
        "given_picture": torch.cat([fill(each["picture"], 1) for each in givens]),
        "given_pictured": torch.tensor([len(each["picture"]) > 0 for each in givens]),
        "given_ago": torch.tensor(agos),
    }


def rows(model, batch):
    """Rows [B, n, hidden] of what a batch is given, their positions [B, n, 3] (unit 0 begins at 0, or
    given_ago units later), what each of them sees (additive [B, n, n]), and what all later rows see of
    them (additive [B, n])."""
    lay, span = model.layout, model.c["positions_per_unit"]
    prompt, voice, units = batch["given_prompt"], batch["given_voice"], batch["given_units"]
    pictured = batch["given_pictured"]
    device, (b, words) = prompt.device, prompt.shape
    lead = torch.where((units > 0) | pictured, units.clamp(min=1), 0)
    zero = torch.zeros(b, device=device)
    x = torch.cat(
        [
            model.text_rows(prompt.clamp(min=0), "prompt"),
            model.latent_rows(voice.flatten(1, 2), batch["given_picture"], zero),
        ],
        1,
    )
    at = lambda positions: torch.tensor(positions, device=device).reshape(1, -1, 3)
    begin = -(lead + batch["given_ago"]) * span
    told = (prompt >= 0).sum(1)
    line = [[v * span + i * span // lay.agent_audio] * 3 for v in range(voice.shape[1]) for i in range(lay.agent_audio)]
    parts = [
        (begin - told)[:, None, None] + at([[i] * 3 for i in range(words)]),
        begin[:, None, None] + at(line),
        (begin + (units - 1).clamp(min=0) * span)[:, None, None] + at(lay.grid(lay.agent_grid, span)),
    ]
    heard = torch.arange(voice.shape[1], device=device).repeat_interleave(lay.agent_audio) < units[:, None]
    there = torch.cat([prompt >= 0, heard, pictured[:, None].expand(b, lay.agent_video)], 1)
    order = torch.arange(x.shape[1], device=device)
    # Of the prompt each token sees those before it; the latents see the prompt and each other.
    sees = (order[None] <= order[:, None]) | (order >= words)[:, None]
    sees = sees & there[:, None] | torch.eye(len(order), dtype=torch.bool, device=device)
    seen = torch.zeros(there.shape, device=device).masked_fill(~there, -math.inf)
    return x, torch.cat(parts, 1), torch.zeros(sees.shape, device=device).masked_fill(~sees, -math.inf), seen
