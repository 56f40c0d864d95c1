// Zoom: one window, seen in every picture of the scene. Then the page starts.

const zoom = { x: 0.5, y: 0.5 }; // the window's centre, as fractions of the picture

function zoomBox() {
  const side = (Number(byId("window-size").value) / 100) * Math.min(scene.width, scene.height);
  const place = (fraction, length) =>
    Math.min(length - side, Math.max(0, fraction * length - side / 2));
  return { side, left: place(zoom.x, scene.width), top: place(zoom.y, scene.height) };
}

function showZoom() {
  if (!scene.pictures.length) return;
  const { side, left, top } = zoomBox();
  // Where the window was stopped by an edge, the next key moves it from there.
  zoom.x = (left + side / 2) / scene.width;
  zoom.y = (top + side / 2) / scene.height;
  Object.assign(byId("window").style, {
    left: `${(left / scene.width) * 100}%`,
    top: `${(top / scene.height) * 100}%`,
    width: `${(side / scene.width) * 100}%`,
    height: `${(side / scene.height) * 100}%`,
  });
  for (const image of byId("crops").querySelectorAll("img")) {
    Object.assign(image.style, {
      width: `${(scene.width / side) * 100}%`,
      height: `${(scene.height / side) * 100}%`,
      left: `${(-left / side) * 100}%`,
      top: `${(-top / side) * 100}%`,
    });
  }
  const words = [left, top, side].map(Math.round);
  byId("window-words").textContent =
    `Window at ${words[0]}, ${words[1]}, ${words[2]} pixels a side, ` +
    `of ${scene.width} by ${scene.height}: --zoom ${words.join(",")} for fusionkit compare`;
}

function moveZoom(dx, dy) {
  zoom.x += dx / scene.width;
  zoom.y += dy / scene.height;
  showZoom();
}

function resizeZoom(change) {
  byId("window-size").value = Number(byId("window-size").value) + change;
  showZoom();
}

byId("finder").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = zoomBox().side * (event.shiftKey ? 1 : 0.1);
  const moves = {
    ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
  };
  if (moves[event.key]) moveZoom(...moves[event.key]);
  else if (event.key === "+" || event.key === "=") resizeZoom(5);
  else if (event.key === "-") resizeZoom(-5);
  else return;
  event.preventDefault();
});
byId("finder").addEventListener("click", (event) => {
  const box = byId("finder").getBoundingClientRect();
  zoom.x = (event.clientX - box.left) / box.width;
  zoom.y = (event.clientY - box.top) / box.height;
  showZoom();
});
byId("window-size").addEventListener("input", showZoom);

function showFinder() {
  const picture = scene.pictures[byId("overview").value];
  if (picture) show(byId("finder-image"), picture);
}

byId("overview").addEventListener("change", showFinder);
sceneListeners.push(() => {
  offer(byId("overview"), pictureLabels());
  showFinder();
  byId("crops").replaceChildren(...scene.pictures.map((picture) => {
    const image = make("img");
    show(image, picture);
    image.alt += ", enlarged";
    const frameOf = make("div", { class: "crop" }, image);
    return make("figure", {}, frameOf, make("figcaption", {}, picture.label));
  }));
  showZoom();
});

offer(byId("scene"), data.scenes.map((each) => each.name));
byId("scene").addEventListener("change", showScene);
showScene();
