/** One unit, opened: what it was given, why it was answered so, and how. */
const { data, element, Plot, shown, tokenText, percent, jpeg, happenings } = globalThis.kit;
const { queries, groups, ages } = data.axes;
const wholes = 10_000;

const facts = (...rows) =>
  element(
    "dl",
    {},
    ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );

const figure = (title, note, ...children) =>
  element("figure", {}, element("h3", {}, title), note && element("p", {}, note), ...children);

/** Shares as rows: query, layer, group, age. */
function shareRows({ shares, layers }) {
  return shares.map((part, i) => {
    const age = ages[i % ages.length];
    const group = groups[Math.floor(i / ages.length) % groups.length];
    const layer = Math.floor(i / (ages.length * groups.length)) % layers;
    const query = queries[Math.floor(i / (ages.length * groups.length * layers))];
    return { query, layer, group, age, order: i % ages.length, share: part / wholes };
  });
}

/** The same as means over layers. */
function meanRows(rows, layers) {
  return rows.filter(({ layer }) => layer === 0).map((row) => {
    const same = rows.filter(({ query, group, age }) =>
      query === row.query && group === row.group && age === row.age
    );
    const share = same.reduce((sum, one) => sum + one.share, 0) / layers;
    return { ...row, share, tip: `${row.group}, ${row.age}: ${percent(share)}` };
  });
}

function pathRows(path) {
  return path.flatMap(({ tau, ...media }, i) =>
    ["audio", "video"].flatMap((medium) =>
      ["velocity", "guidance"].filter((what) => media[medium][what] !== null).map((what) => ({
        ...{ evaluation: i + 1, medium, what, rms: media[medium][what] },
        tip: `${medium}, ${what}: ${media[medium][what]} at tau ${tau}`,
      }))
    )
  );
}

function table(heads, rows) {
  const cells = (row, tag) => element("tr", {}, ...row.map((cell) => element(tag, {}, cell)));
  return element(
    "div",
    { className: "table" },
    element(
      "table",
      {},
      element("thead", {}, cells(heads, "th")),
      element("tbody", {}, ...rows.map((row) => cells(row, "td"))),
    ),
  );
}

/** Picture and sound of both sides. */
function media(run, unit, sound) {
  const first = run.units[0].unit;
  const [from, to] = [unit.unit - first, unit.unit - first + 1];
  const play = (text, channels) =>
    element("button", { onclick: () => sound.playPiece(channels, from, to) }, `▶ ${text}`);
  const side = (name, title) => {
    const picture = unit.pictures[name];
    const { frames, width, height } = run.pictures[name];
    const level = unit.level[name];
    const caption = `${title}: ${level === null ? "silence" : `${level} dB`}` +
      (unit.active[name] ? ", active" : "");
    return element(
      "div",
      { className: "side" },
      element("p", {}, caption),
      picture === null ? element("p", { className: "none" }, "no picture") : element("img", {
        src: jpeg(picture),
        alt: `${frames} frames of the ${name}`,
        style: { aspectRatio: `${frames * width} / ${height}` },
      }),
    );
  };
  return figure(
    "Picture and sound",
    null,
    element("div", { className: "sides" }, side("user", "user"), side("agent", "agent")),
    element("p", {}, play("both", [0, 1]), " ", play("user", [0]), " ", play("agent", [1])),
  );
}

/** What the agent says in a unit; a mark that is no word in brackets. */
function word({ filler }, { event, inside }) {
  if (event.text !== "") return shown(event.text);
  const [token] = event.tokens;
  const chosen = inside?.top.find((one) => one.token === token);
  return chosen && token !== filler ? `none (${tokenText(chosen, filler)})` : "none";
}

/** What stands about a unit; `run` may lack it. */
function openedUnit(run, unit, sound, title) {
  const place = element("article", { className: "unit" });
  if (title !== "") place.append(element("h3", { className: "title" }, title));
  if (unit === undefined) {
    place.append(element("p", {}, "This run doesn't have the unit."));
    return place;
  }
  const { event, inside, modules, decisions } = unit;
  const signs = happenings(run, unit).map(([, means]) => means);
  place.append(facts(
    ["agent's word", word(run, unit)],
    ...(unit.typed === "" ? [] : [["user typed", unit.typed]]),
    ...(inside
      ? [
        ["probability of speaking", percent(1 - inside.filler)],
        ["entropy", `${inside.entropy.toFixed(3)} nats`],
      ]
      : []),
    ["observation", event.observation],
    ["latency", event.interactionMs === null ? "not heard" : `${event.interactionMs} ms`],
    [modules ? "all modules" : "busier role", `${unit.busyMs} ms of ${run.unitMs} ms`],
    ["history", `${event.historyTokens} tokens`],
    ["latents' digest", event.digest.slice(0, 16)],
    ...(signs.length > 0 ? [["events", signs.join("; ")]] : []),
  ));
  place.append(media(run, unit, sound));
  if (decisions.length > 0) {
    place.append(figure(
      "What the modules decided",
      null,
      table(
        ["module", "decision", "words"],
        decisions.map(({ module, what, words = [] }) => [module, what, words.join(" ")]),
      ),
    ));
  }
  if (inside) {
    place.append(figure(
      "Likeliest words",
      "Of the unit's first word, before temperature, top-k and top-p.",
      table(
        ["word", "token", "probability"],
        inside.top.map(({ token, text, probability }) => [
          token === run.filler ? `${text} (says nothing)` : shown(text),
          `${token}`,
          percent(probability),
        ]),
      ),
    ));
    const rows = shareRows(inside);
    const seen = rows.map((row) => ({ ...row, tip: `${row.group}: ${percent(row.share)}` }));
    const plots = [
      [
        "shares",
        "What it looks at",
        "Share of attention's mass, by what is looked at and how old it is: of the language row, " +
        "which decides on the word, and of the latents, which become sound and picture.",
        meanRows(rows, inside.layers),
      ],
      ["layers", "The same layer by layer", null, seen],
      [
        "path",
        "The solver's path",
        "How fast the latents move at each evaluation of the network, from noise to the answer; " +
        "dashed: what guidance changes.",
        pathRows(inside.path),
      ],
    ];
    for (const [name, heading, note, values] of plots) {
      const made = figure(heading, note);
      place.append(made);
      if (values.length > 0) new Plot(name, made).show(values);
      else made.append(element("p", { className: "none" }, "It isn't told."));
    }
  }
  const times = Object.entries(modules ?? event.ms).map(([name, ms]) => [name, ms.toFixed(2)]);
  place.append(figure(
    modules ? "Time of the modules" : "Time of the stages",
    null,
    table([modules ? "module" : "stage", "ms"], times),
  ));
  return place;
}

globalThis.kit.openedUnit = openedUnit;
