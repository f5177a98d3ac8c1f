// What the browser keeps of this page: starred neurons, and dark or light colours.

const STARS = `rosetta stars ${location.pathname}`;
const COLOURS = "rosetta colours";
const SCHEMES = { "as the system": "light dark", dark: "dark", light: "light" };

/** A browser may forbid storage, for example in private windows: then things last until the page is closed. */
function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keep(key, text) {
  try {
    localStorage.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}

function keptStars() {
  try {
    const names = JSON.parse(kept(STARS));
    return new Set(Array.isArray(names) ? names : []);
  } catch {
    return new Set();
  }
}

const stars = keptStars();
const isStarred = (neuron) => stars.has(keyOf(neuron));

function toggleStar() {
  const neuron = state.shown[state.chosen];
  if (!neuron) return;
  const key = keyOf(neuron);
  if (!stars.delete(key)) stars.add(key);
  const lasting = keep(STARS, JSON.stringify([...stars]));
  say(`${key} ${stars.has(key) ? "starred" : "not starred any more"}${lasting ? "" : ", until this page is closed: the browser keeps nothing"}`);
  if (byId("starred").checked) refresh();
  drawRows();
  const shown = document.querySelector("#star");
  if (shown) showStar(shown, neuron);
}

function showStar(made, neuron) {
  made.textContent = isStarred(neuron) ? "★" : "☆";
  made.setAttribute("aria-pressed", isStarred(neuron));
}

function starButton(neuron) {
  const made = button("", "star this neuron (s)", toggleStar);
  made.id = "star";
  showStar(made, neuron);
  return made;
}

function setColours(name) {
  const known = name in SCHEMES ? name : "as the system";
  document.documentElement.style.colorScheme = SCHEMES[known];
  byId("colours").textContent = `colours: ${known}`;
  state.colours = known;
}

function nextColours() {
  const names = Object.keys(SCHEMES);
  setColours(names[(names.indexOf(state.colours) + 1) % names.length]);
  keep(COLOURS, state.colours);
}
