"""The engine's noise (kernels/gpu/philox.wgsl, kernels/flow/noise.ts): Philox4x32-10 and Box-Muller."""

import numpy as np


def philox(counter, key):
    """counter uint64 [n, 4] and key (low, high), words of 32 bits -> uint64 [n, 4]."""
    mask = np.uint64(0xFFFFFFFF)
    c, (low, high) = counter.astype(np.uint64), key
    for i in range(10):
        k0 = np.uint64((low + 0x9E3779B9 * i) & 0xFFFFFFFF)
        k1 = np.uint64((high + 0xBB67AE85 * i) & 0xFFFFFFFF)
        a = c[:, 0] * np.uint64(0xD2511F53)
        b = c[:, 2] * np.uint64(0xCD9E8D57)
        shift = np.uint64(32)
        c = np.stack(
            [(b >> shift) ^ c[:, 1] ^ k0, b & mask, (a >> shift) ^ c[:, 3] ^ k1, a & mask], 1
        )
    return c


def unit_noise(seed, unit, count):
    """The solver's `count` standard normal numbers of one unit of a session with this seed."""
    fours = -(-count // 4)
    counter = np.zeros((fours, 4), np.uint64)
    counter[:, 0], counter[:, 2] = unit, np.arange(fours)
    words = philox(counter, (seed % 2**32, seed // 2**32))
    u = ((words >> np.uint64(9)).astype(np.float64) + 0.5) * 2.0**-23
    radius = np.sqrt(-2 * np.log(u[:, 0::2]))
    turn = 2 * np.pi * u[:, 1::2]
    normal = np.stack([radius * np.cos(turn), radius * np.sin(turn)], 2)
    return normal.reshape(-1)[:count].astype(np.float32)
