// The trade-off plot: a metric against a cost. Rows are told apart by number, role by shape.

const ROLES = ["variant", "target only", "gaussian prior", "fixed at the same NFE", "no denoiser"];
const COSTS = ["NFE", "seconds", "peak MB"];
const SHAPES = [
  "M-6 0A6 6 0 1 0 6 0A6 6 0 1 0 -6 0Z", // circle
  "M-5.5-5.5H5.5V5.5H-5.5Z", // square
  "M0-7L6.5 5H-6.5Z", // triangle
  "M0-7.5L7.5 0L0 7.5L-7.5 0Z", // diamond
  "M-5.5-5.5L5.5 5.5M-5.5 5.5L5.5-5.5", // cross
];

function roleOf(row) {
  const place = ROLES.indexOf(row.role);
  return place < 0 ? ROLES.length - 1 : place;
}

function markOf(row, attributes) {
  const role = roleOf(row);
  return makeSvg("path", { d: SHAPES[role], class: `mark role-${role}`, ...attributes });
}

// Round numbers that cover the range, about `count` of them.
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n++) found.push(n * step);
  return found;
}

// Costs go from 0 to thousands, and 0 is one of them, so the logarithm is of 1 + cost.
function costTicks(high, logarithmic, count) {
  if (!logarithmic) return ticks(0, high, count);
  const found = [0];
  for (let n = 1; n <= high; n *= 10) found.push(n);
  if (found.at(-1) * 3 <= high) found.push(found.at(-1) * 3);
  return found;
}

const short = (value) => String(Number(value.toPrecision(4)));

function scales(points, width, height, logarithmic) {
  const top = Math.max(...points.map((p) => p.x), 0) || 1;
  const values = points.map((p) => p.y);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
  [low, high] = [low - margin, high + margin];
  const box = { left: 62, right: width - 18, top: 34, bottom: height - 46 };
  const bend = (x) => (logarithmic ? Math.log1p(x) : x);
  const x = (v) => box.left + 14 + (bend(v) / bend(top)) * (box.right - box.left - 28);
  const y = (v) => box.bottom - ((v - low) / (high - low)) * (box.bottom - box.top);
  return { x, y, box, top, low, high };
}

function axes(svg, scale, titles, logarithmic) {
  const { box, x, y } = scale;
  const group = makeSvg("g", { class: "axis" });
  for (const tick of ticks(scale.low, scale.high, 5)) {
    const at = y(tick);
    group.append(makeSvg("line", { x1: box.left, x2: box.right, y1: at, y2: at }));
    const place = { x: box.left - 8, y: at + 4, "text-anchor": "end" };
    group.append(makeSvg("text", place, short(tick)));
  }
  for (const tick of costTicks(scale.top, logarithmic, Math.max(2, box.right / 130))) {
    const place = { x: x(tick), y: box.bottom + 18, "text-anchor": "middle" };
    group.append(makeSvg("text", place, short(tick)));
  }
  group.append(makeSvg("path", { d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` }));
  svg.append(group);
  svg.append(makeSvg("text", { x: 10, y: 20 }, titles[1]));
  const middle = { x: box.right, y: box.bottom + 38, "text-anchor": "end" };
  svg.append(makeSvg("text", middle, titles[0]));
}

const overlaps = (a, b) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

// Writes the label where it meets no point and no other label; the number alone where the
// whole does not fit. The number is always there: the list under the plot has the rest.
function label(svg, point, taken, box) {
  // On a phone names would cover the plot, and end up nearer to other points than their own.
  const roomy = box.right > 480;
  const name = point.row.label.length > 34 ? `${point.row.label.slice(0, 33)}…` : point.row.label;
  const text = makeSvg("text", {});
  svg.append(text);
  for (const words of [...(roomy ? [`${point.n} ${name}`] : []), String(point.n)]) {
    text.textContent = words;
    const width = text.getComputedTextLength();
    for (const [dx, dy] of [[11, 4], [-11 - width, 4], [-width / 2, -11], [-width / 2, 21],
      [9, -9], [9, 18], [-9 - width, -9], [-9 - width, 18]]) {
      const [left, base] = [point.at.x + dx, point.at.y + dy];
      const room = { left, right: left + width, top: base - 12, bottom: base + 4 };
      const inside = left >= box.left + 2 && room.right <= box.right && room.top >= box.top - 8 &&
        room.bottom <= box.bottom;
      if (inside && !taken.some((other) => overlaps(room, other))) {
        text.setAttribute("x", left);
        text.setAttribute("y", base);
        taken.push(room);
        return;
      }
    }
  }
  text.setAttribute("x", point.at.x + 11);
  text.setAttribute("y", point.at.y + 4);
}

function drawPlot() {
  const metric = data.metrics[byId("metric").value];
  const cost = Number(byId("cost").value);
  const logarithmic = byId("logarithmic").checked;
  const arrow = { true: " (higher is better)", false: " (lower is better)" };
  const titles = [COSTS[cost], metric ? metric.name + (arrow[metric.higher] ?? "") : ""];
  const points = data.rows
    .map((row, n) => ({ row, n: n + 1, x: row.costs[cost], y: row.values[byId("metric").value] }))
    .filter((p) => p.x !== null && Number.isFinite(p.y));
  list(metric, cost, new Set(points.map((p) => p.n)));
  if (!points.length) {
    byId("plot").replaceChildren(make("p", {}, "Nothing of this is measured yet."));
    return;
  }
  const width = Math.max(280, byId("plot").clientWidth);
  const height = Math.round(Math.min(480, Math.max(300, width * 0.55)));
  const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.setAttribute("aria-label",
    `${titles[1]} against ${titles[0]}, ${points.length} rows; the values are in the list below.`);
  byId("plot").replaceChildren(svg);
  const scale = scales(points, width, height, logarithmic);
  axes(svg, scale, titles, logarithmic);
  for (const point of points) {
    point.at = { x: scale.x(point.x), y: scale.y(point.y) };
    const mark = markOf(point.row, { transform: `translate(${point.at.x} ${point.at.y})` });
    mark.append(makeSvg("title", {}, `${point.n} ${point.row.label}`));
    svg.append(mark);
  }
  const taken = points.map(({ at }) => (
    { left: at.x - 8, right: at.x + 8, top: at.y - 8, bottom: at.y + 8 }));
  for (const point of points) label(svg, point, taken, scale.box);
}

function list(metric, cost, drawn) {
  const items = data.rows.map((row, n) => {
    const icon = makeSvg("svg", { viewBox: "-9 -9 18 18", "aria-hidden": "true" });
    icon.append(markOf(row));
    const value = drawn.has(n + 1)
      ? `${metric.name} ${short(row.values[byId("metric").value])}, ` +
        `${short(row.costs[cost])} ${COSTS[cost]}`
      : "no value";
    const words = make("span", {}, row.label, make("small", {}, `${row.role}: ${value}`));
    return make("li", {}, icon, make("span", { class: "n" }, n + 1), words);
  });
  byId("legend").replaceChildren(...items);
}

offer(byId("metric"), data.metrics.map((metric) => metric.name));
const known = (cost) => data.rows.some((row) => row.costs[cost] !== null);
for (const [n, title] of COSTS.entries()) {
  if (known(n)) byId("cost").append(make("option", { value: n }, title));
}
for (const id of ["metric", "cost", "logarithmic"]) byId(id).addEventListener("change", drawPlot);
let drawnWidth = 0;
new ResizeObserver(() => {
  const width = byId("plot").clientWidth;
  if (width !== drawnWidth) drawPlot();
  drawnWidth = width;
}).observe(byId("plot"));
