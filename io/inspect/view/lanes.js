/** The lanes of one run: everything that happens, over stream time. */
const { data, element, Plot, tokenText, percent, jpeg } = globalThis.kit;
const { gutter, margin, stages, axes } = data;
/** Pixels of a frame in the strips. */
const frameHeight = 56;

const laneNames = [
  ["ruler", "seconds"],
  ["happened", "events"],
  ["user_frames", "user is seen"],
  ["wave_user", "user is heard"],
  ["user_words", "user's words"],
  ["agent_frames", "agent's picture"],
  ["wave_agent", "agent's voice"],
  ["agent_words", "agent's words"],
  ["right_words", "right answer"],
  ["active", "who is active"],
  ["speak", "P(speaks)"],
  ["top", "likeliest words"],
  ["entropy", "entropy, nats"],
  ["stages", "stages, ms"],
];
const plotted = ["wave_user", "wave_agent", "active", "speak", "entropy", "stages"];

/** What happened in a unit beside its answer: a sign, and what it means. */
function happenings(run, unit) {
  const { event, busyMs } = unit;
  const signs = [];
  if (event.observation === "lost") signs.push(["lost ↑", "the network lost what the user gave"]);
  if (event.observation === "skipped") {
    signs.push(["late", "skipped: it came too late to be heard"]);
  }
  if (!event.heard) signs.push(["lost ↓", "the network lost the answer: the user did not get it"]);
  if (busyMs > run.unitMs) {
    signs.push(["!", `deadline missed: ${busyMs.toFixed(0)} ms of work for ${run.unitMs} ms`]);
  }
  for (const { type, reason, ms, step } of run.happened.filter((one) => one.unit === unit.unit)) {
    signs.push(
      type === "recovery"
        ? ["rebuilt", `recovered in ${ms.toFixed(0)} ms: ${reason}`]
        : ["clock", `the input's clock: ${step}; what follows was joined on`],
    );
  }
  for (const { module, what, words = [] } of unit.decisions) {
    signs.push(["▸", `${module}: ${what}${words.length > 0 ? ` '${words.join(" ")}'` : ""}`]);
  }
  return signs;
}

/** One run's lanes; `show` draws a part of them. */
class Lanes {
  constructor(run, sound, label) {
    this.run = run;
    this.sound = sound;
    this.first = run.units[0].unit;
    this.end = this.first + run.units.length;
    this.tracks = {};
    this.plots = {};
    const lanes = laneNames.map(([name, title]) => {
      const track = element("div", { className: "track" });
      this.tracks[name] = track;
      const lane = element("div", { className: `lane ${name}`, dataset: { lane: name } });
      lane.append(element("span", { className: "name" }, title), track);
      if (plotted.includes(name)) this.plots[name] = new Plot(name, lane);
      return lane;
    });
    const isTold = run.units.some(({ inside }) => inside !== null);
    for (const [i, [name]] of laneNames.entries()) {
      if (name === "right_words" && run.right.length === 0) lanes[i].hidden = true;
      if (!isTold && ["speak", "top", "entropy"].includes(name)) lanes[i].hidden = true;
    }
    this.cursor = element("div", { className: "cursor" });
    this.mark = element("div", { className: "mark", hidden: true });
    this.place = element("section", { className: "run", "aria-label": label });
    this.place.append(...lanes, this.mark, this.cursor);
    this.tops = this.#tops();
  }

  #tops() {
    const { units, unitMs } = this.run;
    const most = (of) => units.reduce((top, unit) => Math.max(top, of(unit)), 0);
    const sorted = units.map(({ busyMs }) => busyMs).sort((a, b) => a - b);
    return {
      entropy: Math.max(0.5, most(({ inside }) => inside?.entropy ?? 0)),
      // The first units compile kernels and would flatten the rest.
      stages: Math.max(1.3 * unitMs, 1.2 * (sorted[Math.floor(0.95 * sorted.length)] ?? 0)),
      wave_user: this.sound.loudest[0],
      wave_agent: this.sound.loudest[1],
    };
  }

  /** The stages of a unit on top of each other; two roles' beside each other where they are split. */
  #stack({ unit, event, modules }) {
    const ms = modules ?? event.ms;
    const isSplit = this.run.header.session.placement === "split";
    const tops = { thinker: 0, performer: 0 };
    const own = stages.filter(([, role]) => (role === "module") === (modules !== null));
    return own.filter(([stage]) => ms[stage] > 0).map(([stage, role]) => {
      const bar = isSplit && role === "performer" ? role : "thinker";
      const [low, high] = [tops[bar], tops[bar] += ms[stage]];
      const [from, to] = !isSplit ? [0.1, 0.9] : role === "thinker" ? [0.1, 0.5] : [0.52, 0.92];
      const tip = `${role}: ${stage} ${ms[stage]} ms`;
      return { from: unit + from, to: unit + to, stage, low, high, tip };
    });
  }

  unit(number) {
    return this.run.units[number - this.first];
  }

  /** Draws units [from, from + count) on so many pixels. */
  show(from, count, width) {
    this.view = { from, count, width: width - gutter - margin };
    const to = from + count;
    const units = this.run.units.filter(({ unit }) => unit >= from && unit < to);
    const range = { from, to };
    for (const plot of Object.values(this.plots)) plot.resize(width);
    const parts = Math.max(50, Math.round(this.view.width / 2));
    for (const [channel, name] of ["wave_user", "wave_agent"].entries()) {
      const wave = this.sound.outline(channel, from - this.first, to - this.first, parts)
        .map((point) => ({ ...point, at: point.at + this.first }));
      this.plots[name].show(wave, { ...range, top: this.tops[name] });
    }
    const span = ({ unit }) => ({ from: unit, to: unit + 1 });
    this.plots.active.show(
      units.flatMap((unit) =>
        ["user", "agent"].filter((side) => unit.active[side]).map((side) => ({
          ...span(unit),
          side,
        }))
      ),
      range,
    );
    const told = units.filter(({ inside }) => inside !== null);
    this.plots.speak.show(
      told.map((unit) => ({
        ...span(unit),
        speak: 1 - unit.inside.filler,
        said: unit.event.text === "" ? "none" : "word",
        tip: `unit ${unit.unit}: ${percent(1 - unit.inside.filler)}`,
      })),
      range,
    );
    this.plots.entropy.show(
      told.map((unit) => ({
        ...span(unit),
        entropy: unit.inside.entropy,
        tip: `unit ${unit.unit}: ${unit.inside.entropy.toFixed(3)} nats`,
      })),
      { ...range, top: this.tops.entropy },
    );
    this.plots.stages.show(units.flatMap((unit) => this.#stack(unit)), {
      ...range,
      top: this.tops.stages,
      deadline: this.run.unitMs,
    });
    this.#ruler(from, to);
    this.#words(units);
    this.#frames(units);
    this.#top(told);
    this.tracks.happened.replaceChildren(
      ...units.flatMap((unit) => {
        const signs = happenings(this.run, unit);
        if (signs.length === 0) return [];
        const title = signs.map(([, means]) => means).join("\n");
        const text = [...new Set(signs.map(([sign]) => sign))].join(" ");
        return [this.#at(unit.unit, element("span", { className: "sign", title }, text))];
      }),
    );
  }

  /** Times at round distances, about 100 pixels apart. */
  #ruler(from, to) {
    const { unitMs } = this.run;
    const about = (100 * (to - from) * unitMs) / 1000 / this.view.width;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30].find((step) => step >= about) ?? 60;
    const ticks = [];
    for (let n = Math.ceil((from * unitMs) / 1000 / step); n * step * 1000 < to * unitMs; n++) {
      const text = (n * step).toFixed(step < 1 ? 1 : 0);
      ticks.push(
        this.#at((n * step * 1000) / unitMs, element("span", { className: "tick" }, text)),
      );
    }
    this.tracks.ruler.replaceChildren(...ticks);
  }

  x(unit) {
    return gutter + ((unit - this.view.from) * this.view.width) / this.view.count;
  }

  #at(unit, made) {
    made.style.left = `${this.x(unit)}px`;
    return made;
  }

  /** Words that begin in what is shown, with their times in units. */
  #within(words) {
    const { from, count } = this.view;
    return words.map(({ start, text }) => ({ at: (start * 1000) / this.run.unitMs, text }))
      .filter(({ at }) => at >= from && at < from + count);
  }

  #words(units) {
    const { run } = this;
    const word = (at, text, row, title) =>
      this.#at(
        at,
        element("span", { className: "word", title, style: { top: `${(row % 3) * 15}px` } }, text),
      );
    const said = this.#within(run.said);
    const typed = units.filter(({ typed }) => typed !== "");
    this.tracks.user_words.replaceChildren(
      ...said.map(({ at, text }, i) => word(at, text, i, "said")),
      ...typed.map(({ unit, typed }, i) => word(unit, `⌨ ${typed}`, i, `typed: ${typed}`)),
    );
    this.tracks.right_words.replaceChildren(
      ...this.#within(run.right).map(({ at, text }, i) => word(at, text, i, "the right answer")),
    );
    const answered = units.filter(({ event }) => event.text !== "");
    this.tracks.agent_words.replaceChildren(
      ...answered.map(({ unit, event }, i) => word(unit, event.text.trim(), i, `unit ${unit}`)),
    );
  }

  #frames(units) {
    for (const side of ["user", "agent"]) {
      const { frames, width, height } = this.run.pictures[side];
      const across = (frameHeight * width) / height;
      const every = Math.max(1, Math.ceil((across * this.view.count) / this.view.width));
      this.tracks[`${side}_frames`].replaceChildren(
        ...units.filter(({ unit, pictures }) => unit % every === 0 && pictures[side]).map((unit) =>
          this.#at(
            unit.unit,
            element("div", {
              className: "frame",
              style: {
                width: `${across}px`,
                height: `${frameHeight}px`,
                backgroundImage: `url(${jpeg(unit.pictures[side])})`,
                backgroundSize: `${100 * frames}% 100%`,
              },
            }),
          )
        ),
      );
    }
  }

  /** The likeliest words of each unit, as far as there is room. */
  #top(units) {
    const across = this.view.width / this.view.count;
    this.tracks.top.replaceChildren(
      ...(across < 16 ? [] : units.map(({ unit, inside }) => {
        const title = inside.top.map(({ text, probability }) => `${text} ${percent(probability)}`)
          .join("\n");
        const rows = inside.top.slice(0, 3).map((token) =>
          element(
            "span",
            { style: { opacity: 0.25 + 0.75 * token.probability } },
            tokenText(token, this.run.filler),
          )
        );
        const style = { width: `${across - 2}px` };
        return this.#at(unit, element("span", { className: "tokens", title, style }, ...rows));
      })),
    );
  }

  /** Puts the cursor at a time in units, and marks the opened unit (null: none). */
  point(at, opened) {
    this.cursor.style.left = `${this.x(at)}px`;
    this.mark.hidden = opened === null || opened < this.view.from ||
      opened >= this.view.from + this.view.count;
    if (this.mark.hidden) return;
    this.mark.style.left = `${this.x(opened)}px`;
    this.mark.style.width = `${this.view.width / this.view.count}px`;
  }
}

globalThis.kit.Lanes = Lanes;
globalThis.kit.happenings = happenings;
globalThis.kit.axes = axes;
