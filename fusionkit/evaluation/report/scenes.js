// One scene at a time: before and after, flicker, weight maps, and its commands.

let scene = null;
const sceneListeners = [];

function showScene() {
  scene = data.scenes[byId("scene").value];
  if (!scene) return;
  for (const listener of sceneListeners) listener();
  byId("command-scene").textContent = scene.name;
  const commands = data.commands[scene.name];
  document.querySelectorAll(".command code").forEach((code, n) => (code.textContent = commands[n]));
}

const pictureLabels = () => scene.pictures.map((picture) => picture.label);
const isRow = (picture) => picture.row !== undefined;

function show(image, picture) {
  image.src = picture.image;
  image.alt = `${scene.name}: ${picture.label}`;
}

// Before and after

function divide() {
  const at = Number(byId("divider").value);
  byId("over").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
  byId("stage").style.setProperty("--at", `${at}%`);
}

function showSides() {
  const [left, right] = ["left", "right"].map((id) => scene.pictures[byId(id).value]);
  byId("full-size").replaceChildren();
  if (!left || !right) return;
  show(byId("over"), left);
  show(byId("under"), right);
  byId("divider").setAttribute("aria-label", `Divider between ${left.label} and ${right.label}`);
  for (const picture of new Set([left, right])) {
    if (!picture.link) continue;
    const link = make("a", { href: picture.link }, `Full size: ${picture.label}`);
    byId("full-size").append(link, " ");
  }
}

function dragDivider(event) {
  if (event.type === "pointermove" && !(event.buttons & 1)) return;
  const box = byId("stage").getBoundingClientRect();
  const at = Math.round(((event.clientX - box.left) / box.width) * 100);
  byId("divider").value = Math.min(100, Math.max(0, at));
  divide();
}

byId("divider").addEventListener("input", divide);
for (const id of ["left", "right"]) byId(id).addEventListener("change", showSides);
for (const name of ["pointerdown", "pointermove"]) byId("stage").addEventListener(name, dragDivider);
byId("stage").addEventListener("dragstart", (event) => event.preventDefault());
sceneListeners.push(() => {
  const firstRow = scene.pictures.findIndex(isRow);
  offer(byId("left"), pictureLabels(), 0);
  offer(byId("right"), pictureLabels(), Math.max(0, firstRow));
  showSides();
  divide();
});

// Flicker: never faster than one a second by itself, and never by itself under reduced motion.
// A key that is held down repeats some thirty times a second, so repeats do not count.

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
let frames = [];
let frame = 0;
let playing = null;

function showFrame(n) {
  if (!frames.length) return;
  frame = (n + frames.length) % frames.length;
  [...byId("flicker").children].forEach((image, place) => (image.hidden = place !== frame));
  byId("frame-words").textContent = `${frame + 1} of ${frames.length}: ${frames[frame].label}`;
}

function play(on) {
  clearInterval(playing);
  playing = on ? setInterval(() => showFrame(frame + 1), 1000) : null;
  byId("play").setAttribute("aria-pressed", String(on));
  byId("frame-words").setAttribute("aria-live", on ? "off" : "polite");
}

function showFrames() {
  const rows = scene.pictures.filter(isRow);
  const chosen = rows[byId("flicker-row").value];
  frames = scene.pictures.filter((picture) => !isRow(picture)).concat(chosen ?? []);
  byId("flicker").replaceChildren(...frames.map((picture) => {
    const image = make("img");
    show(image, picture);
    return image;
  }));
  showFrame(frame);
}

function obeyMotion() {
  if (calm.matches) play(false);
  byId("play").disabled = calm.matches;
  byId("still").hidden = !calm.matches;
}

byId("flicker").addEventListener("keydown", (event) => {
  const moves = { ArrowRight: frame + 1, " ": frame + 1, ArrowLeft: frame - 1 };
  const digit = Number(event.key);
  const next = moves[event.key] ?? (digit >= 1 && digit <= frames.length ? digit - 1 : null);
  if (next === null || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!event.repeat) showFrame(next);
});
byId("flicker-row").addEventListener("change", showFrames);
byId("next").addEventListener("click", () => showFrame(frame + 1));
byId("previous").addEventListener("click", () => showFrame(frame - 1));
byId("play").addEventListener("click", () => play(playing === null));
calm.addEventListener("change", obeyMotion);
obeyMotion();
sceneListeners.push(() => {
  offer(byId("flicker-row"), scene.pictures.filter(isRow).map((picture) => picture.label));
  showFrames();
});

// Weight maps: one picture holds them all, steps downwards and sources across.

function percent(place, count) {
  return `${count > 1 ? (place / (count - 1)) * 100 : 0}%`;
}

function showStep() {
  const picture = scene.pictures.filter((p) => p.maps)[byId("maps-row").value];
  if (!picture) return;
  const { steps, of, means } = picture.maps;
  const at = Number(byId("step").value);
  const words = scene.sources.map((name, n) => `${name} ${means[at][n].toFixed(2)}`).join(", ");
  byId("step-words").textContent = `Step ${steps[at]} of ${of}; mean weights: ${words}`;
  byId("step").setAttribute("aria-valuetext", `step ${steps[at]} of ${of}`);
  [...byId("maps").querySelectorAll(".map")].forEach((map, n) => {
    map.style.backgroundPosition =
      `${percent(n, scene.sources.length)} ${percent(at, steps.length)}`;
    map.setAttribute("aria-label",
      `Weights of ${scene.sources[n]} at step ${steps[at]} of ${of}, mean ${means[at][n]}`);
  });
}

function showMaps() {
  const picture = scene.pictures.filter((p) => p.maps)[byId("maps-row").value];
  byId("weights").hidden = !picture;
  if (!picture) return;
  const { image, steps, width, height } = picture.maps;
  const untouched = Number(byId("step").max) === 0;
  byId("step").max = steps.length - 1;
  if (untouched) byId("step").value = steps.length - 1; // the last step says most
  byId("maps").replaceChildren(...scene.sources.map((name) => {
    const map = make("div", { class: "map", role: "img" });
    map.style.backgroundImage = `url("${image}")`;
    map.style.backgroundSize = `${scene.sources.length * 100}% ${steps.length * 100}%`;
    map.style.aspectRatio = `${width} / ${height}`;
    return make("figure", {}, map, make("figcaption", {}, name));
  }));
  showStep();
}

byId("maps-row").addEventListener("change", showMaps);
byId("step").addEventListener("input", showStep);
sceneListeners.push(() => {
  offer(byId("maps-row"), scene.pictures.filter((p) => p.maps).map((picture) => picture.label));
  showMaps();
});
