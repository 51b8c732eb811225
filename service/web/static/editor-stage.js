// The picture on the stage: dragged, zoomed by wheel or key, boxed, compared; what is done on it becomes edits.
"use strict";
window.RosettaStage = (() => {
  const STEP = 1.05; // of a key's zoom
  const WHEEL = 0.0008; // logarithm of the zoom that a pixel of the wheel is
  const REST_MS = 350; // of the wheel, until it is an edit

  // `stage`: the SVG; `fields`: the inputs x, y, w, h of the box; `mode`: what dragging does; `add`: takes an edit;
  // `show`: draws what is asked for with one more edit, null with none.
  return function stageOf({ stage, frame, fields, mode, add, show }) {
    const box = stage.querySelector(".box");
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    const names = ["x", "y", "w", "h"];
    let drag = null;
    let zoom = { level: 0, timer: 0 };

    function boxNow() {
      const texts = names.map((name) => fields[name].value.trim());
      const numbers = texts.map(Number);
      const whole = texts.every((text, place) => text !== "" && Number.isFinite(numbers[place]));
      return whole && numbers[2] > 0 && numbers[3] > 0 ? numbers : null;
    }

    function drawBox(at = boxNow()) {
      box.setAttribute("visibility", at ? "visible" : "hidden");
      if (at) ["x", "y", "width", "height"].forEach((name, place) => box.setAttribute(name, at[place]));
    }

    function setBox(numbers) {
      names.forEach((name, place) => { fields[name].value = numbers ? numbers[place] : ""; });
      drawBox();
    }

    function place(event) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(stage.getScreenCTM().inverse());
      return [at.x, at.y];
    }

    const inside = ([x, y], [left, top, width, height]) => x >= left && y >= top && x <= left + width && y <= top + height;

    function begin(event) {
      if (event.button !== 0 || drag) return;
      event.preventDefault();
      stage.focus();
      const from = place(event);
      const there = boxNow();
      const kind = mode() === "move" ? "shift" : there && inside(from, there) ? "copy-paste" : "box";
      drag = { kind, from, box: there, edit: null };
      stage.setPointerCapture(event.pointerId);
    }

    function move(event) {
      if (!drag) return;
      const to = place(event);
      const by = to.map((value, axis) => Math.round(value - drag.from[axis]));
      if (drag.kind === "box") return stretch(to);
      if (drag.kind === "shift") {
        const [dx, dy] = by.map((value, axis) => Math.max(Math.min(value, frame[axis] - 1), 1 - frame[axis]));
        drag.edit = { kind: "shift", dx, dy };
      } else {
        const [x, y, width, height] = drag.box;
        const corner = [clamp(x + by[0], frame[0] - width), clamp(y + by[1], frame[1] - height)];
        drag.edit = by.some(Boolean) ? { kind: "copy-paste", box: drag.box, to: corner } : null;
      }
      show(drag.edit);
    }

    function stretch(to) {
      const ends = [drag.from, to].map((at) => at.map((value, axis) => clamp(value, frame[axis])));
      const low = [0, 1].map((axis) => Math.floor(Math.min(ends[0][axis], ends[1][axis])));
      const high = [0, 1].map((axis) => Math.ceil(Math.max(ends[0][axis], ends[1][axis])));
      drag.drawn = [...low, high[0] - low[0], high[1] - low[1]];
      drawBox(drag.drawn);
    }

    function end() {
      if (!drag) return;
      const { kind, edit, drawn } = drag;
      drag = null;
      if (kind === "box") setBox(drawn && drawn[2] > 1 && drawn[3] > 1 ? drawn : null);
      else if (edit) add(edit);
      show(null);
    }

    function zoomed() {
      return { kind: "zoom", factor: Number(clamp(Math.exp(zoom.level), 10).toFixed(2)) };
    }

    function settle() {
      clearTimeout(zoom.timer);
      const edit = zoomed();
      zoom = { level: 0, timer: 0 };
      if (edit.factor !== 1) add(edit);
      show(null);
    }

    function wheel(event) {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      zoom.level = Math.max(Math.min(zoom.level - pixels * WHEEL, Math.log(4)), -Math.log(4));
      show(zoomed());
      clearTimeout(zoom.timer);
      zoom.timer = setTimeout(settle, REST_MS);
    }

    function key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const factor = { "+": STEP, "=": STEP, "-": 1 / STEP }[event.key];
      if (steps) {
        const [dx, dy] = steps.map((value) => value * (event.shiftKey ? 8 : 1));
        const at = mode() === "box" && boxNow();
        if (at) setBox([clamp(at[0] + dx, frame[0] - at[2]), clamp(at[1] + dy, frame[1] - at[3]), at[2], at[3]]);
        else add({ kind: "shift", dx, dy });
      } else if (factor) add({ kind: "zoom", factor: Number(factor.toFixed(3)) });
      else if (event.key === "Escape") { drag = null; setBox(null); show(null); }
      else return;
      event.preventDefault();
    }

    stage.addEventListener("pointerdown", begin);
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", () => { drag = null; drawBox(); show(null); });
    stage.addEventListener("wheel", wheel, { passive: false });
    stage.addEventListener("keydown", key);
    for (const name of names) fields[name].addEventListener("input", () => drawBox());
    stage.setAttribute("tabindex", "0");
    stage.classList.add("live");
    drawBox();
    return { boxNow, setBox, settle: () => zoom.timer && settle() };
  };
})();
