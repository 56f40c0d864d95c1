"use strict";
// What all parts share: the data, making elements (never from text that is parsed as HTML),
// the theme, the copy buttons.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes = {}, text = null) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

// Offers the labels in a select and keeps the choice where the same label is offered again.
function offer(select, labels, fallback = 0) {
  const before = select.selectedOptions[0]?.textContent;
  select.replaceChildren(...labels.map((label, n) => make("option", { value: n }, label)));
  const kept = labels.indexOf(before);
  select.value = String(kept < 0 ? Math.min(fallback, labels.length - 1) : kept);
}

function say(text) {
  byId("said").textContent = text;
}

// Theme: the device's, until the reader chooses. A page from a file may not be allowed to
// remember, and works without.

const dark = window.matchMedia("(prefers-color-scheme: dark)");

function remembered(theme = null) {
  try {
    if (theme !== null) localStorage.setItem("fusionkit-theme", theme);
    return localStorage.getItem("fusionkit-theme");
  } catch {
    return theme;
  }
}

function showTheme() {
  const chosen = document.documentElement.dataset.theme;
  const isDark = chosen ? chosen === "dark" : dark.matches;
  byId("theme").setAttribute("aria-pressed", String(isDark));
}

byId("theme").addEventListener("click", () => {
  const isDark = byId("theme").getAttribute("aria-pressed") === "true";
  document.documentElement.dataset.theme = isDark ? "light" : "dark";
  remembered(document.documentElement.dataset.theme);
  showTheme();
});
dark.addEventListener("change", showTheme);
const before = remembered();
if (before === "dark" || before === "light") document.documentElement.dataset.theme = before;
showTheme();

// Copying: a page from a file may lack the clipboard; the command is then selected instead,
// so that the reader's own copy works.

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    say("Copied");
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    const copied = document.execCommand("copy");
    say(copied ? "Copied" : "Selected: copy it with your keyboard");
    return copied;
  }
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const copied = await copy(button.previousElementSibling);
    button.textContent = copied ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}
