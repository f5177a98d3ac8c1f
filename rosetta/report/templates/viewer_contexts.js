// The texts on which a neuron is highest, every token shaded by its value.

/** The contexts that are shown: the top ones of the model whose turn it is, highest first. */
function shownContexts(neuron) {
  const shown = neuron.contexts.filter((c) => c.ranks[state.column]);
  return shown.sort((a, b) => a.ranks[state.column] - b.ranks[state.column]);
}

function contextParts(neuron, models) {
  if (!neuron.contexts) return [waitingFor(neuron)];
  return [toolbar(neuron, models), legend(), ...shownContexts(neuron).map((c) => contextRow(neuron, models, c))];
}

function toolbar(neuron, models) {
  const shown = groupOf(neuron).modality === "images" ? "top images" : "top contexts";
  const made = element("div", "toolbar", `${shown} of`);
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", `whose ${shown} are shown`);
  models.forEach((model, i) => {
    const found = neuron.contexts.filter((c) => c.ranks[i] && state.found.has(excerptOf(neuron, c))).length;
    const label = found ? `${model} · ${found} found` : model;
    const choice = button(label, `${shown} of ${label}`, () => step(() => showColumn(i)));
    choice.id = `of-${i}`;
    choice.setAttribute("aria-pressed", i === state.column);
    made.append(choice);
  });
  const copy = button("copy as text", `copy as text: these ${shown} (c)`, copyContexts);
  copy.id = "copy";
  made.append(copy);
  return made;
}

function legend() {
  const made = element("p", "note legend", "tokens: ");
  made.append(element("span", "above", "above zero"), " ", element("span", "below", "below"), " ");
  made.append(element("span", "top", "highest"), " relative to the neuron's largest value shown; point at one for it");
  return made;
}

function showColumn(i) {
  state.column = i;
  drawDetail();
}

const placeOf = (excerpt) => `${excerpt.domain || "no domain"} · document ${excerpt.document}`;

function contextRow(neuron, models, context) {
  const excerpt = excerptOf(neuron, context);
  const made = element("div", state.found.has(excerpt) ? "context found" : "context");
  const ranks = models.map((model, i) => (context.ranks[i] ? `#${context.ranks[i]} of ${model}` : "")).filter(Boolean);
  made.append(element("div", "note", `${ranks.join(", ")} · ${placeOf(excerpt)}`));
  const columns = sideBySide(models);
  groupOf(neuron).models.forEach((model, i) => {
    columns.append(shadedText(excerpt, excerpt.tokens[model], context.values[i], neuron.partners[i].scale));
  });
  made.append(columns);
  return made;
}

/** The tokens of an excerpt as [text, value relative to the neuron's largest one shown], and the text beyond them. */
function tokensOf(excerpt, lengths, encoded) {
  const codes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  const found = [];
  let at = 0;
  lengths.forEach((length, i) => {
    // Bytes within a character have no length: the whole character belongs to its first token.
    if (length) found.push([excerpt.text.slice(at, at + length), (codes[i] - 128) / 127]);
    at += length;
  });
  return [found, excerpt.text.slice(at), (Math.max(...codes) - 128) / 127];
}

function shadedText(excerpt, lengths, encoded, scale) {
  const made = element("div", "text");
  const [tokens, beyond, highest] = tokensOf(excerpt, lengths, encoded);
  tokens.forEach(([text, share]) => {
    const token = element("span", share > 0 ? "above" : "below", text);
    if (share === highest && share > 0) token.classList.add("top");
    if (text.includes("\n")) token.classList.add("newline");
    token.style.setProperty("--share", Math.abs(share));
    token.title = (share * scale).toPrecision(2);
    made.append(token);
  });
  if (beyond) {
    const rest = element("span", "unread", beyond);
    rest.title = "not read by this model: beyond its sequence length";
    made.append(rest);
  }
  // A finger cannot point without touching.
  made.addEventListener("click", (event) => { if (event.target.title) say(`${event.target.textContent.trim()}: ${event.target.title}`); });
  return made;
}
