/** The page: controls, the lanes of each run, the opened unit, and what differs. */
const { data, element, Plot, Sound, Lanes, openedUnit, happenings, shown } = globalThis.kit;
const { runs, differences } = data;

const letters = ["A", "B"];
const sounds = runs.map((run) => new Sound(run));
const lanes = runs.map((run, i) =>
  new Lanes(run, sounds[i], runs.length > 1 ? `run ${letters[i]}: ${run.name}` : run.name)
);
const first = Math.min(...lanes.map((one) => one.first));
const end = Math.max(...lanes.map((one) => one.end));
const { unitMs } = runs[0];

/** What is shown. Times are in units from the stream's beginning. */
const state = { from: first, count: Math.min(40, end - first), at: first, opened: null, heard: 0 };

const time = element("output", { id: "time" });
const play = element("button", { id: "play", onclick: () => toggle() }, "▶ play");
const places = element("div", { id: "runs", tabIndex: 0, role: "group" });
places.setAttribute("aria-label", "timeline: arrows move, Enter opens a unit, Space plays");
const opened = element("section", { id: "opened", hidden: true, tabIndex: -1 });
const brush = element("div", { className: "brush" });
const overview = element("div", { id: "overview", className: "lane" });

/** Units worth a look: each kind has a button that goes to the next one. */
const wanted = {
  word: (_, unit) => unit.event.text !== "",
  doubt: (_, unit) => unit.inside !== null && Math.abs(unit.inside.filler - 0.5) < 0.4,
  event: (run, unit) => happenings(run, unit).length > 0,
  ...(differences
    ? { difference: (_, unit) => differences.units.some(([number]) => number === unit.unit) }
    : {}),
};

function go(kind) {
  const after = Math.floor(state.at);
  const found = runs.flatMap((run) =>
    run.units.filter((unit) => unit.unit > after && wanted[kind](run, unit))
  ).map(({ unit }) => unit);
  if (found.length === 0) return;
  const unit = Math.min(...found);
  if (state.opened === null) move(unit);
  else open(unit);
}

/** Moves the cursor, and what is shown with it. */
function move(at, isPlaying = false) {
  state.at = Math.max(first, Math.min(end - 0.001, at));
  if (!isPlaying) player().currentTime = seconds(state.at);
  const isOutside = state.at < state.from || state.at >= state.from + state.count;
  if (isOutside) {
    const from = isPlaying ? Math.floor(state.at) : Math.floor(state.at - state.count / 2);
    state.from = Math.max(first, Math.min(Math.max(first, end - state.count), from));
    draw();
  } else point();
}

const player = () => sounds[state.heard].player;
const seconds = (at) => ((at - lanes[state.heard].first) * unitMs) / 1000;

function toggle() {
  const audio = player();
  if (audio.paused) {
    audio.currentTime = Math.max(0, seconds(state.at));
    audio.play().then(follow, () => {});
  } else audio.pause();
}

function follow() {
  const audio = player();
  play.textContent = audio.paused ? "▶ play" : "⏸ pause";
  if (audio.paused) return;
  move(lanes[state.heard].first + (audio.currentTime * 1000) / unitMs, true);
  requestAnimationFrame(follow);
}

function zoom(factor) {
  const count = Math.round(state.count * factor);
  state.count = Math.min(end - first, 750, Math.max(8, count));
  const from = Math.floor(state.at - state.count / 2);
  state.from = Math.max(first, Math.min(end - state.count, from));
  draw();
}

function open(unit) {
  const number = Math.max(first, Math.min(end - 1, Math.floor(unit)));
  state.opened = number;
  const start = (number * unitMs) / 1000;
  const title = `Unit ${number}, ${start.toFixed(2)} to ${(start + unitMs / 1000).toFixed(2)} s`;
  const [, differ] = differences?.units.find(([at]) => at === number) ?? [];
  opened.replaceChildren(
    element(
      "div",
      { className: "bar" },
      element("h2", {}, title),
      element("button", { onclick: () => open(number - 1) }, "‹ previous"),
      element("button", { onclick: () => open(number + 1) }, "next ›"),
      element("button", { onclick: close }, "close"),
    ),
    ...(differences
      ? [
        element(
          "p",
          {},
          differ ? `Differs: ${differ.join(", ")}.` : "Nothing that is told differs.",
        ),
      ]
      : []),
    element(
      "div",
      { className: "units" },
      ...runs.map((run, i) =>
        openedUnit(
          run,
          lanes[i].unit(number),
          sounds[i],
          runs.length > 1 ? `run ${letters[i]}` : "",
        )
      ),
    ),
  );
  const isNew = opened.hidden;
  opened.hidden = false;
  if (isNew && opened.getBoundingClientRect().top > innerHeight - 200) opened.scrollIntoView();
  opened.dataset.unit = `${number}`;
  move(number);
}

function close() {
  state.opened = null;
  opened.hidden = true;
  point();
  places.focus();
}

function point() {
  for (const one of lanes) one.point(state.at, state.opened);
  const at = (state.at * unitMs) / 1000;
  time.textContent = `${at.toFixed(2)} s, unit ${Math.floor(state.at)}`;
  const part = (unit) => `${(100 * (unit - first)) / (end - first)}%`;
  brush.style.left = part(state.from);
  brush.style.width = part(first + state.count);
}

function draw() {
  const { width } = places.getBoundingClientRect();
  for (const one of lanes) one.show(state.from, state.count, width);
  marks.resize(width);
  marks.show(
    runs[0].units.flatMap(({ unit, active }) =>
      ["user", "agent"].filter((side) => active[side]).map((side) => ({
        ...{ from: unit, to: unit + 1, side },
      }))
    ),
    { from: first, to: end },
  );
  point();
}

/** The unit under a pointer. */
function unitAt(event, from, count, box) {
  const width = box.width - data.gutter - data.margin;
  return from + ((event.clientX - box.left - data.gutter) * count) / width;
}

places.addEventListener("click", (event) => {
  const unit = unitAt(event, state.from, state.count, places.getBoundingClientRect());
  if (unit >= state.from && unit < state.from + state.count) open(unit);
});
overview.addEventListener("click", (event) => {
  const unit = unitAt(event, first, end - first, overview.getBoundingClientRect());
  state.from = Math.max(first, Math.min(end - state.count, Math.floor(unit - state.count / 2)));
  move(unit);
  draw();
});

const keys = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  PageUp: () => step(-state.count),
  PageDown: () => step(state.count),
  Home: () => move(first),
  End: () => move(end - 1),
  Enter: () => open(state.at),
  Escape: () => close(),
  " ": () => toggle(),
  "+": () => zoom(0.5),
  "-": () => zoom(2),
  w: () => go("word"),
  d: () => go("doubt"),
  e: () => go("event"),
  n: () => differences && go("difference"),
};

function step(units) {
  const unit = Math.floor(state.at) + units;
  if (state.opened === null || Math.abs(units) > 1) move(unit);
  else open(unit);
}

document.addEventListener("keydown", (event) => {
  const isControl = event.target.matches("button, select, input, summary, a");
  const does = keys[event.key];
  if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isControl && (event.key === "Enter" || event.key === " ")) return;
  event.preventDefault();
  does();
});

function facts() {
  const { header: { provenance, input } } = runs[0];
  const { checkpoint, seeds, roles, version } = provenance;
  return [
    input?.path,
    checkpoint?.digest && `checkpoint ${checkpoint.digest.slice(0, 12)}`,
    seeds.noise === null ? null : `seed ${seeds.noise}`,
    roles?.[0]?.adapter,
    `wanstream ${version}`,
  ].filter((part) => part).join(" · ");
}

function differenceTable() {
  if (!differences) return null;
  const { first: found, common } = differences;
  const row = ({ what, unit, of }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, what),
      element("td", {}, element("button", { onclick: () => open(unit) }, `unit ${unit}`)),
      ...of.map((text) => element("td", {}, text)),
    );
  return element(
    "section",
    { id: "differences" },
    element("h2", {}, "Where the runs part"),
    element(
      "p",
      {},
      common === 0
        ? "The runs have no unit in common."
        : found.length === 0
        ? `The ${common} units that both runs have are the same.`
        : `Both runs have ${common} units. The first one in which they differ is unit ` +
          `${found[0].unit}: ${
            found.filter(({ unit }) => unit === found[0].unit).map(({ what }) => what).join(", ")
          }.`,
    ),
    found.length === 0 ? null : element(
      "div",
      { className: "table" },
      element(
        "table",
        {},
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ...["", "first in", "run A", "run B"].map((head) => element("th", {}, head)),
          ),
        ),
        element("tbody", {}, ...found.map(row)),
      ),
    ),
  );
}

const isSplit = runs.some(({ header }) => header.session.placement === "split");
const legend = element(
  "p",
  { className: "legend" },
  "P(speaks): orange where a word begins. Stages:",
  ...data.stages.filter(([name]) =>
    runs.some(({ units }) => units.some(({ event, modules }) => (modules ?? event.ms)[name] > 0))
  ).map(([name, , color]) =>
    element(
      "span",
      {},
      element("i", { style: { background: color } }),
      name.replace(/[A-Z]/, (letter) => ` ${letter.toLowerCase()}`),
    )
  ),
  `${isSplit ? "Left the thinker's, right the performer's. " : ""}Dashed: a unit's length; ` +
    "! marks a unit whose busier role took longer.",
);

const hear = element(
  "select",
  {
    id: "hear",
    title: "whose sound is played",
    onchange: () => {
      player().pause();
      state.heard = Number(hear.value);
    },
  },
  ...runs.map((_, i) => element("option", { value: i }, `run ${letters[i]}`)),
);
const button = (text, title, onclick) => element("button", { title, onclick }, text);

document.getElementById("page").append(
  element(
    "header",
    {},
    element("h1", {}, runs.map(({ name }) => shown(name).replaceAll("␣", " ")).join(" | ")),
    element("p", {}, facts()),
    ...runs.flatMap(({ notes }) => notes.map((note) => element("p", { className: "note" }, note))),
  ),
  element(
    "div",
    { id: "controls" },
    play,
    runs.length > 1 ? hear : null,
    time,
    button("‹", "a unit back (←)", () => step(-1)),
    button("›", "a unit on (→)", () => step(1)),
    button("open", "open the unit at the cursor (Enter)", () => open(state.at)),
    button("−", "show more time (-)", () => zoom(2)),
    button("+", "show less time (+)", () => zoom(0.5)),
    ...Object.keys(wanted).map((kind) =>
      button(`next ${kind}`, `(${kind === "difference" ? "n" : kind[0]})`, () => go(kind))
    ),
  ),
  differenceTable() ?? "",
  overview,
  places,
  legend,
  opened,
  element(
    "section",
    { id: "provenance" },
    element("h2", {}, "Provenance"),
    ...runs.map(({ name, header }) =>
      element(
        "details",
        {},
        element("summary", {}, name),
        element("pre", {}, JSON.stringify(header, null, 2)),
      )
    ),
  ),
);
const track = element("div", { className: "track" }, brush);
overview.append(element("span", { className: "name" }, "all of it"), track);
const marks = new Plot("active", overview);
for (const [i, one] of lanes.entries()) {
  if (runs.length > 1) {
    places.append(element("h2", { className: "run-name" }, `${letters[i]}: ${runs[i].name}`));
  }
  places.append(one.place);
}
let width = 0;
new ResizeObserver(([{ contentRect }]) => {
  if (contentRect.width === width) return;
  width = contentRect.width;
  draw();
}).observe(places);
draw();
document.documentElement.dataset.ready = "yes";
