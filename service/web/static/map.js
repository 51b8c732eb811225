// The map page: moving in the map, what is shown of it, and the form beside it.
"use strict";
(async () => {
  const STEP = 80; // pixels that an arrow key moves
  const ZOOM = 1.5; // of a key or a button
  const NEAR = 14; // pixels between the pointer and a unit that it means
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const stage = document.getElementById("map");
  const form = document.getElementById("map-form");
  const side = form.querySelector(".map-side");
  const canvas = stage.querySelector("canvas");
  const ring = stage.querySelector(".map-ring");
  const mark = stage.querySelector(".map-mark");
  const status = stage.querySelector(".map-status");
  document.documentElement.classList.add("with-script");
  stage.hidden = false;

  let points = null;
  try {
    const answer = await fetch(data.points);
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    points = RosettaMap.decode(await answer.arrayBuffer());
  } catch (error) {
    status.classList.add("bad");
    status.textContent = `The points could not be loaded: ${error.message}`;
    return;
  }
  const drawing = RosettaMap.drawing(canvas);
  drawing.points(points.x, points.y);
  const bounds = RosettaMap.bounds(points);
  const grid = new RosettaMap.Grid(points, bounds);
  const tip = RosettaMap.tip(stage.querySelector(".map-tip"), stage, data, points);
  const found = data.found && indexOf(...data.found);
  const raised = raisedPoints();
  const shown = data.models.map(() => true);
  const view = { x: 0, y: 0, scale: 1 }; // pixels of CSS a unit
  let least = 1; // scale at which all of it is seen
  let waiting = false;

  function indexOf(model, unit) {
    for (let place = 0; place < points.count; place += 1) {
      if (points.unit[place] === unit && points.model[place] === model) return place;
    }
    return null;
  }

  function raisedPoints() {
    const members = new Set(data.raised.map(([model, unit]) => model * 2 ** 32 + unit));
    const places = [];
    for (let place = 0; members.size && place < points.count; place += 1) {
      if (members.has(points.model[place] * 2 ** 32 + points.unit[place])) places.push(place);
    }
    return Uint32Array.from(places);
  }

  function paint() {
    const colours = RosettaMap.colours(points, data);
    drawing.colours(colours.rgba(shown, raised));
    // Concepts are small: those with a colour of their own are larger than the many units of none.
    drawing.raised(raised.length || data.colour !== "concept" ? raised : colours.ofConcepts());
    status.textContent = raised.length || shown.every(Boolean) ? "" : `${countShown()} units shown`;
    redraw();
  }

  function countShown() {
    let count = 0;
    for (let place = 0; place < points.count; place += 1) count += shown[points.model[place]];
    return new Intl.NumberFormat("en").format(count);
  }

  // --- the view

  const pixels = () => Math.min(devicePixelRatio || 1, 3);
  const toMap = (x, y) => [view.x + (x - stage.clientWidth / 2) / view.scale, view.y - (y - stage.clientHeight / 2) / view.scale];
  const toStage = (place) => [
    (points.x[place] - view.x) * view.scale + stage.clientWidth / 2,
    stage.clientHeight / 2 - (points.y[place] - view.y) * view.scale,
  ];

  function fit() {
    const MARGIN = 28;
    least = Math.min((stage.clientWidth - 2 * MARGIN) / Math.max(bounds.right - bounds.left, 1e-3),
      (stage.clientHeight - 2 * MARGIN) / Math.max(bounds.top - bounds.bottom, 1e-3));
  }

  function showAll() {
    fit();
    Object.assign(view, { x: (bounds.left + bounds.right) / 2, y: (bounds.bottom + bounds.top) / 2, scale: least });
    redraw();
  }

  function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const [mapX, mapY] = toMap(x, y);
    view.scale = Math.min(Math.max(view.scale * factor, least / 2), least * 400);
    view.x = mapX - (x - stage.clientWidth / 2) / view.scale;
    view.y = mapY + (y - stage.clientHeight / 2) / view.scale;
    redraw();
  }

  function move(across, down) {
    view.x = Math.min(Math.max(view.x - across / view.scale, bounds.left), bounds.right);
    view.y = Math.min(Math.max(view.y + down / view.scale, bounds.bottom), bounds.top);
    redraw();
  }

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  // Dots that leave the ground in sight, and grow as one comes nearer.
  function radius() {
    const alone = 0.17 * Math.sqrt((stage.clientWidth * stage.clientHeight) / Math.max(points.count, 1));
    return Math.min(Math.max(alone, 1.1), 4) * Math.min(Math.max((view.scale / least) ** 0.35, 1), 2.5);
  }

  function draw() {
    waiting = false;
    const ratio = pixels();
    const [width, height] = [Math.round(stage.clientWidth * ratio), Math.round(stage.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    drawing.draw({ ...view, scale: view.scale * ratio }, radius() * ratio);
    if (found !== null) {
      const [x, y] = toStage(found);
      ring.hidden = !shown[points.model[found]];
      ring.style.transform = `translate(${x}px, ${y}px)`;
    }
    follow();
    if (!("frames" in stage.dataset)) performance.mark("map drawn");
    stage.dataset.frames = Number(stage.dataset.frames || 0) + 1;
  }

  // The tip and the mark stay with their unit.
  function follow() {
    mark.hidden = tip.place < 0;
    if (tip.place < 0) return;
    const [x, y] = toStage(tip.place);
    tip.show(tip.place, x, y, tip.held);
    mark.style.transform = `translate(${x}px, ${y}px)`;
  }

  function leave() {
    tip.hide();
    mark.hidden = true;
    canvas.classList.remove("on-unit");
  }

  // --- the pointer

  const pointers = new Map(); // those that are down, by id: where they are
  let moved = 0;

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function unitAt(x, y, distance = NEAR) {
    return grid.nearest(...toMap(x, y), distance / view.scale, (place) => shown[points.model[place]]);
  }

  function hover(x, y, held = false, distance = NEAR) {
    const place = unitAt(x, y, distance);
    if (place < 0) {
      leave();
      return place;
    }
    canvas.classList.add("on-unit");
    tip.show(place, ...toStage(place), held);
    follow();
    return place;
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (!pointers.size) moved = 0;
    pointers.set(event.pointerId, at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      hover(x, y);
      return;
    }
    pointers.set(event.pointerId, [x, y]);
    moved += Math.hypot(x - before[0], y - before[1]);
    if (moved < 4) return;
    canvas.classList.add("moving");
    leave();
    if (pointers.size === 1) {
      move(x - before[0], y - before[1]);
      return;
    }
    // Two fingers: their middle moves the map, their distance zooms it.
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const apart = (from) => Math.max(Math.hypot(from[0] - other[0], from[1] - other[1]), 1);
    move((x - before[0]) / 2, (y - before[1]) / 2);
    zoom(apart([x, y]) / apart(before), (x + other[0]) / 2, (y + other[1]) / 2);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      if (!pointers.delete(event.pointerId)) return;
      canvas.classList.remove("moving");
      if (moved >= 4 || name === "pointercancel" || pointers.size) return;
      const [x, y] = at(event);
      // A finger does not hover: its first tap says what there is, a second one opens it.
      const before = tip.place;
      const place = event.pointerType === "mouse" ? unitAt(x, y) : hover(x, y, true, 1.5 * NEAR);
      if (place >= 0 && (event.pointerType === "mouse" || place === before)) open(place, event);
    });
  }
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    leave();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
    zoom(Math.exp(-Math.min(Math.max(event.deltaY * lines, -240), 240) / 300), ...at(event));
  }, { passive: false });

  function open(place, { ctrlKey = false, metaKey = false } = {}) {
    if (ctrlKey || metaKey) window.open(tip.address(place), "_blank", "noopener");
    else location.assign(tip.address(place));
  }

  // --- keys and buttons

  // Whoever has no pointer means the unit that is nearest to the middle.
  const middle = () => {
    const [x, y] = [stage.clientWidth / 2, stage.clientHeight / 2];
    return hover(x, y, false, Math.min(x, y));
  };
  const KEYS = {
    ArrowLeft: () => move(STEP, 0), ArrowRight: () => move(-STEP, 0),
    ArrowUp: () => move(0, STEP), ArrowDown: () => move(0, -STEP),
    "+": () => zoom(ZOOM), "=": () => zoom(ZOOM), "-": () => zoom(1 / ZOOM), 0: showAll,
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") leave();
    if (event.key === "Enter" && middle() >= 0) open(tip.place);
    if (!KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
    middle();
  });
  const BUTTONS = { in: () => zoom(ZOOM), out: () => zoom(1 / ZOOM), all: showAll };
  stage.querySelector(".map-buttons").addEventListener("click", (event) => {
    const wanted = event.target.closest("button")?.dataset.do;
    leave();
    if (wanted) BUTTONS[wanted]();
  });

  // --- the form: colour and models change what is here, probe set and version another page

  function readForm() {
    const wanted = new FormData(form);
    data.colour = wanted.get("colour");
    side.dataset.colour = data.colour;
    const names = wanted.getAll("model");
    data.models.forEach((model, place) => { shown[place] = names.includes(model.name); });
    return wanted;
  }

  form.addEventListener("change", (event) => {
    if ("load" in event.target.dataset) {
      form.submit();
      return;
    }
    const wanted = readForm();
    if (shown.every(Boolean)) wanted.delete("model");
    const query = new URLSearchParams([...wanted].filter(([, value]) => value !== ""));
    history.replaceState(null, "", `?${query}`);
    leave();
    paint();
  });
  form.addEventListener("submit", (event) => event.submitter || event.preventDefault());

  new ResizeObserver(() => {
    const before = least;
    fit();
    if (view.scale <= before * 1.001) showAll();
    else redraw();
  }).observe(stage);
  canvas.addEventListener("redraw", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  readForm();
  showAll();
  paint();
  stage.dataset.drawing = drawing.kind;
  Object.assign(RosettaMap, { view, unitAt, toStage, points });
})();
