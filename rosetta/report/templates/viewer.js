"use strict";
(() => {
  const ROW_HEIGHT = 44; // as in the style sheet
  const SPARE_ROWS = 8; // drawn beyond both ends of the list's window
  const NEURON = /^\s*(?:l?(\d+)\s*(?:\/\s*u|\.\s*n?)(\d+))\s*$/i; // L3/U12, 3.12, L3.N12
  const EXPERT = /^l\d+\/(e\d+|s)\/u\d+$/; // L3/E17/U42, L3/S/U5

  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [detail, list, rows] = [byId("detail"), byId("list"), byId("rows")];
  const state = { shown: [], chosen: 0, column: 0, drawing: false, found: new Set() };

  /** Text of the corpus enters the page here only, as text. */
  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  const named = (partner) => partner.name;
  const modelsOf = (neuron) => data.groups[neuron.group].models.map((model) => data.models[model]);
  const round = (value, digits = 3) => (value === null ? "–" : Number(value.toPrecision(digits)).toString());
  const kurtosis = (neuron) => neuron.partners[0].numbers[0];

  // ---- search and filters ----------------------------------------------------------------------------------------

  const lowered = data.excerpts.map((excerpt) => excerpt.text.toLowerCase());

  function matching(query) {
    state.found = new Set();
    const place = NEURON.exec(query);
    if (place) {
      const [layer, unit] = [Number(place[1]), Number(place[2])];
      return (neuron) => neuron.partners.some((p) => p.layer === layer && p.unit === unit);
    }
    const words = query.trim().toLowerCase();
    if (!words) return () => true;
    if (EXPERT.test(words)) return (neuron) => neuron.partners.some((p) => named(p).toLowerCase() === words);
    const found = new Set(lowered.flatMap((text, number) => (text.includes(words) ? [number] : [])));
    state.found = found;
    const about = (p) => p.about !== undefined && JSON.stringify(p.about).toLowerCase().includes(words);
    return (neuron) => neuron.contexts.some((c) => found.has(c.excerpt)) || neuron.partners.some(about);
  }

  function atLeast(id, value) {
    const limit = byId(id).value;
    return limit === "" ? () => true : (neuron) => value(neuron) !== null && value(neuron) >= Number(limit);
  }

  function equal(id, value) {
    const wanted = byId(id).value;
    return wanted === "" ? () => true : (neuron) => value(neuron) === Number(wanted);
  }

  function aboveNull() {
    const wanted = byId("above").value;
    return wanted === "" ? () => true : (neuron) => neuron.above[Number(wanted)];
  }

  const domainOf = (neuron) => data.domains[neuron.domain] || "(none)";
  /** The strictest null model that a neuron's matches are not above, as words; nothing if there is no such. */
  const notAbove = (neuron) => data.nulls.filter((_, n) => !neuron.above[n]).map((name) => `not ${name}`).slice(-1);

  const ORDERS = {
    r: (a, b) => b.r - a.r,
    margin: (a, b) => (b.margin ?? -1) - (a.margin ?? -1),
    kurtosis: (a, b) => (kurtosis(b) ?? -Infinity) - (kurtosis(a) ?? -Infinity),
    layer: (a, b) => a.partners[0].layer - b.partners[0].layer || a.partners[0].unit - b.partners[0].unit,
  };

  function refresh() {
    const tests = [
      matching(byId("search").value),
      equal("group", (neuron) => neuron.group),
      equal("domain", (neuron) => neuron.domain),
      equal("layer", (neuron) => neuron.partners[0].layer),
      atLeast("r", (neuron) => neuron.r),
      atLeast("margin", (neuron) => neuron.margin),
      atLeast("kurtosis", kurtosis),
      aboveNull(),
    ];
    const before = state.shown[state.chosen];
    state.shown = data.neurons.filter((neuron) => tests.every((test) => test(neuron)));
    state.shown.sort(ORDERS[byId("order").value]);
    byId("count").textContent = `${state.shown.length} of ${data.neurons.length} Rosetta Neurons`;
    rows.style.height = `${state.shown.length * ROW_HEIGHT}px`;
    choose(Math.max(0, state.shown.indexOf(before)));
  }

  function options(id, names, all) {
    if (all) byId(id).append(new Option(all, ""));
    names.forEach(([name, value]) => byId(id).append(new Option(name, value)));
  }

  // ---- the list: only the rows in view exist ---------------------------------------------------------------------

  function drawRows() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const last = Math.min(state.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT) + SPARE_ROWS);
    const drawn = [];
    for (let i = first; i < last; i++) drawn.push(row(state.shown[i], i));
    rows.replaceChildren(...drawn);
    list.setAttribute("aria-activedescendant", state.shown.length ? `row-${state.chosen}` : "");
  }

  function row(neuron, i) {
    const made = element("div", "row");
    made.id = `row-${i}`;
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", i === state.chosen);
    made.style.top = `${i * ROW_HEIGHT}px`;
    const about = neuron.partners[0].about;
    const group = data.groups[neuron.group].name;
    made.append(
      element("div", "", neuron.partners.map(named).join(" ↔ ") + (about ? ` · ${about.name}` : "")),
      element("div", "small", [`r ${round(neuron.r)}`, ...notAbove(neuron), domainOf(neuron), group].join(" · ")),
    );
    made.title = `${group}, margin ${round(neuron.margin, 2)}`;
    made.addEventListener("click", () => choose(i));
    return made;
  }

  function choose(i) {
    state.chosen = Math.min(Math.max(i, 0), Math.max(state.shown.length - 1, 0));
    const top = state.chosen * ROW_HEIGHT;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + ROW_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
    drawRows();
    drawSoon();
  }

  /** Draw the neuron before the next frame: a key held down moves on without drawing all that it passes. */
  function drawSoon() {
    if (!state.drawing) requestAnimationFrame(() => { state.drawing = false; drawDetail(); });
    state.drawing = true;
  }

  // ---- one neuron ------------------------------------------------------------------------------------------------

  function drawDetail() {
    const neuron = state.shown[state.chosen];
    detail.scrollTop = 0;
    if (!neuron) {
      detail.replaceChildren(element("p", "note", "No Rosetta Neuron fits the search and the filters."));
      return;
    }
    const models = modelsOf(neuron);
    const facts = [data.groups[neuron.group].name, `lowest r ${round(neuron.r)}`, `margin ${round(neuron.margin, 2)}`];
    data.nulls.forEach((name, n) => facts.push(neuron.above[n] ? name : `not ${name}`));
    const title = neuron.partners.map((partner, i) => `${models[i]} ${named(partner)}`).join(" ↔ ");
    const columns = element("div", "models");
    columns.append(...models.map((model, i) => modelCard(neuron, model, i)));
    columns.style.gridTemplateColumns = `repeat(${models.length}, minmax(0, 1fr))`;
    state.column = Math.min(state.column, models.length - 1);
    const contexts = neuron.contexts.filter((c) => c.ranks[state.column]);
    contexts.sort((a, b) => a.ranks[state.column] - b.ranks[state.column]);
    detail.replaceChildren(
      element("h1", "", title), element("p", "note", facts.join(" · ")), columns, toolbar(neuron, models), ...contexts.map((c) => contextRow(neuron, models, c)),
    );
  }

  const MATCH_FACTS = {
    margin: "margin to the runner-up", p_permutation: "p, permuted positions", p_documents: "p, exchanged samples", p_untrained: "p, untrained twins",
  };

  function modelCard(neuron, model, i) {
    const partner = neuron.partners[i];
    const card = element("div", "model");
    card.append(element("h2", "", `${model} ${named(partner)}`));
    if (partner.about) card.append(annotation(partner.about));
    const facts = element("dl");
    const add = (name, value) => facts.append(element("dt", "", name), element("dd", "", value));
    add("r with the anchor", i === 0 ? "itself" : round(partner.r) + interval(partner.match));
    for (const [field, name] of Object.entries(MATCH_FACTS)) {
      // Rows that some partner has stand in every card, so that the charts are level.
      if (neuron.partners.some((p) => p.match?.[field] != null)) add(name, round(partner.match?.[field] ?? null, 2));
    }
    data.numbers.forEach((name, n) => add(name, round(partner.numbers[n])));
    const chart = element("div", "chart");
    const highest = Math.max(...partner.firing, 1e-9);
    data.domains.forEach((domain, n) => {
      const [track, bar] = [element("div", "track"), element("div", "bar")];
      bar.style.width = `${(100 * partner.firing[n]) / highest}%`;
      track.append(bar);
      chart.append(element("span", "", domain || "(none)"), track, element("span", "", percent(partner.firing[n])));
    });
    card.append(facts, element("div", "note", "fires on this share of each domain's tokens"), chart);
    return card;
  }

  const interval = (match) => (match?.r_ci_low == null ? "" : ` (${round(match.r_ci_low)} to ${round(match.r_ci_high)})`);
  const percent = (share) => `${(100 * share).toFixed(1)}%`;

  function annotation(about) {
    const made = element("p", "about", about.name);
    const verdict = about.is_monosemantic ? "one meaning" : "several meanings";
    made.append(element("span", "note", ` · ${verdict} ${about.examples.map((e) => `“${e}”`).join(" ")}`));
    return made;
  }

  function toolbar(neuron, models) {
    const made = element("div", "toolbar", "top contexts of");
    models.forEach((model, i) => {
      const found = neuron.contexts.filter((c) => c.ranks[i] && state.found.has(c.excerpt)).length;
      const button = element("button", "", found ? `${model} · ${found} found` : model);
      button.type = "button";
      button.setAttribute("aria-pressed", i === state.column);
      button.addEventListener("click", () => showColumn(i));
      made.append(button);
    });
    const legend = element("span", "legend", "tokens: ");
    legend.append(element("span", "above", "above zero"), element("span", "below", "below"));
    legend.append(element("span", "top", "highest"), " relative to the neuron's largest value shown; point at one for it");
    made.append(legend);
    return made;
  }

  function showColumn(i) {
    state.column = i;
    drawDetail();
  }

  function contextRow(neuron, models, context) {
    const excerpt = data.excerpts[context.excerpt];
    const made = element("div", state.found.has(context.excerpt) ? "context found" : "context");
    const ranks = models.map((model, i) => (context.ranks[i] ? `#${context.ranks[i]} of ${model}` : "")).filter(Boolean);
    made.append(
      element("div", "note", `${ranks.join(", ")} · ${excerpt.domain || "no domain"} · document ${excerpt.document}`),
    );
    const columns = element("div", "models");
    columns.style.gridTemplateColumns = `repeat(${models.length}, minmax(0, 1fr))`;
    data.groups[neuron.group].models.forEach((model, i) => {
      columns.append(shadedText(excerpt, excerpt.tokens[model], context.values[i], neuron.partners[i].scale));
    });
    made.append(columns);
    return made;
  }

  /** Shade every token by its value: orange above zero, blue below, relative to the neuron's largest one shown. */
  function shadedText(excerpt, lengths, encoded, scale) {
    const made = element("div", "text");
    const codes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const highest = Math.max(...codes);
    let at = 0;
    lengths.forEach((length, i) => {
      if (!length) return; // bytes within a character: the whole character belongs to its first token
      const share = (codes[i] - 128) / 127;
      const token = element("span", codes[i] === highest && share > 0 ? "top" : "", excerpt.text.slice(at, at + length));
      token.style.background = share > 0 ? `rgba(255, 140, 0, ${share})` : `rgba(60, 120, 255, ${-share})`;
      if (token.textContent.includes("\n")) token.classList.add("newline");
      token.title = (share * scale).toPrecision(2);
      made.append(token);
      at += length;
    });
    if (at < excerpt.text.length) {
      const rest = element("span", "unread", excerpt.text.slice(at));
      rest.title = "not read by this model: beyond its sequence length";
      made.append(rest);
    }
    return made;
  }

  // ---- keys and start --------------------------------------------------------------------------------------------

  const page = () => Math.max(1, Math.floor(list.clientHeight / ROW_HEIGHT) - 1);
  const KEYS = {
    ArrowDown: () => choose(state.chosen + 1),
    ArrowUp: () => choose(state.chosen - 1),
    j: () => choose(state.chosen + 1),
    k: () => choose(state.chosen - 1),
    PageDown: () => choose(state.chosen + page()),
    PageUp: () => choose(state.chosen - page()),
    Home: () => choose(0),
    End: () => choose(state.shown.length - 1),
    "/": () => byId("search").focus(),
    t: () => state.shown.length && showColumn((state.column + 1) % state.shown[state.chosen].partners.length),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = event.target.closest?.("input, select");
    if (event.key === "Escape") {
      byId("filters").reset();
      list.focus();
    } else if (typing && event.key === "Enter") {
      list.focus();
      event.preventDefault(); // a form with one text field would be submitted
    } else if (!typing && KEYS[event.key]) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });

  let waiting = false;
  list.addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(() => { waiting = false; drawRows(); });
    waiting = true;
  });
  window.addEventListener("resize", drawRows);
  byId("filters").addEventListener("input", refresh);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(refresh)); // after the fields are empty

  options("group", data.groups.map((group, i) => [group.name, i]), "all");
  options("above", data.nulls.map((name, n) => [name, n]), "all");
  options("domain", data.domains.map((domain, i) => [domain || "(none)", i]), "all");
  const layers = [...new Set(data.neurons.map((neuron) => neuron.partners[0].layer))].sort((a, b) => a - b);
  options("layer", layers.map((layer) => [layer, layer]), "all");
  options("order", Object.keys(ORDERS).map((name) => [name, name]));
  refresh();
})();
