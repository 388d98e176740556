"""The solvers of the flow-matching ODE (engine/config/solver.ts): each a program of evaluations and
combinations; fixtures made by the engine say that the programs are the same."""


def taus_of(steps, shift=1.0):
    """`steps` + 1 values from 1 down to 0: tau' = s tau / (1 + (s - 1) tau)."""
    taus = [1 - i / steps for i in range(steps + 1)]
    return [shift * tau / (1 + (shift - 1) * tau) for tau in taus]


def _euler(taus, i):
    step = taus[i + 1] - taus[i]
    return [("z", taus[i], 0), ("z", {0: step})]


def _midpoint(taus, i):
    step = taus[i + 1] - taus[i]
    return [("z", taus[i], 0), ("trial", {0: step / 2}), ("trial", taus[i] + step / 2, 1), ("z", {1: step})]


def _heun(taus, i):
    step = taus[i + 1] - taus[i]
    trial = [("trial", {0: step}), ("trial", taus[i] + step, 1)]
    return [("z", taus[i], 0), *trial, ("z", {0: step / 2, 1: step / 2})]


def _ab2(taus, i):
    step, slot = taus[i + 1] - taus[i], i % 2
    half = 0 if i == 0 else step / (taus[i] - taus[i - 1]) / 2
    older = {} if i == 0 else {1 - slot: -step * half}
    return [("z", taus[i], slot), ("z", {slot: step * (1 + half), **older})]


SOLVERS = {"euler": _euler, "midpoint": _midpoint, "heun": _heun, "ab2": _ab2}


def program(solver, taus):
    """Operations in order: (point, tau, slot) evaluates velocity[slot] at z or at the trial point;
    (target, {slot: coefficient}) sets z or the trial point to z + the sum of coefficient x velocity."""
    return [op for i in range(len(taus) - 1) for op in SOLVERS[solver](taus, i)]


def solve(z, velocity, name, taus):
    """From z (a tuple of tensors) at taus[0] to taus[-1]; velocity(z, tau) gives a tuple alike."""
    points, kept = {"z": z}, {}
    for op in program(name, taus):
        if len(op) == 3:
            point, tau, slot = op
            kept[slot] = velocity(points[point], tau)
            continue
        target, terms = op
        moved = points["z"]
        for slot, coefficient in terms.items():
            moved = tuple(part + coefficient * rate for part, rate in zip(moved, kept[slot]))
        points[target] = moved
    return points["z"]
