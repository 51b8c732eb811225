// The editor of a translation: edits queue up, are sent together, and the page follows the job to what it made.
"use strict";
(() => {
  const { describe, joined, sketch } = window.RosettaEdits;
  const OVER = new Set(["done", "failed", "cancelled"]);
  const form = document.getElementById("studio");
  const fields = form.elements;
  const { translation, position, width, height } = form.dataset;
  const frame = [Number(width), Number(height)];
  const find = (selector) => form.querySelector(selector);
  const stage = find(".stage");
  const ghost = find(".ghost");
  const picture = find(".after");
  const said = find("[data-said]");
  const list = find(".queue");
  const undoButton = find("[data-undo]");
  const cancelButton = find("[data-cancel]");
  const progress = find("progress");
  const problem = document.querySelector("[data-problem]");
  const hint = said.textContent;
  const original = picture.getAttribute("href");
  let queue = [];
  let past = [];
  let job = null;

  function complain(message, more = null) {
    problem.replaceChildren(message);
    if (more) {
      const link = document.createElement("a");
      link.href = more;
      link.textContent = "See the job";
      problem.append(" ", link);
    }
    problem.hidden = !message;
    if (message) problem.scrollIntoView({ block: "nearest" });
  }

  function show(edit) {
    const edits = edit ? joined(queue, edit) : queue;
    ghost.replaceChildren(...(edits.length ? [sketch(edits, picture, { width: frame[0], height: frame[1] })] : []));
    stage.classList.toggle("sketched", edits.length > 0);
    said.textContent = edit ? describe(edit) : edits.length ? "A sketch: making it steers the units, and they decide." : hint;
  }

  function draw() {
    list.hidden = queue.length === 0;
    list.replaceChildren(...queue.map(chip));
    undoButton.disabled = past.length === 0;
    show(null);
  }

  function chip(edit, place) {
    const item = document.createElement("li");
    item.className = "label";
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "bare";
    remove.textContent = "×";
    remove.title = "Remove";
    remove.setAttribute("aria-label", `Remove ${describe(edit)}`);
    remove.addEventListener("click", () => change(queue.filter((one, other) => other !== place)));
    item.append(describe(edit), remove);
    return item;
  }

  function change(edits) {
    past.push(queue);
    queue = edits;
    complain("");
    compare(0);
    draw();
  }

  function undo() {
    if (past.length) {
      queue = past.pop();
      draw();
      return;
    }
    const parent = document.querySelector("[data-parent]");
    if (parent) location.assign(parent.href);
  }

  const add = (edit) => change(joined(queue, edit));
  const onStage = window.RosettaStage({
    stage, frame, fields, add, show, mode: () => form.querySelector('[name="mode"]:checked').value,
  });

  const number = (name) => (fields[name].value.trim() === "" ? null : Number(fields[name].value));

  function clear(...names) {
    for (const name of names) fields[name].value = "";
  }

  const makers = {
    shift() {
      const edit = { kind: "shift", dx: number("dx") || 0, dy: number("dy") || 0 };
      clear("dx", "dy");
      return edit;
    },
    zoom() {
      const edit = { kind: "zoom", factor: number("factor") ?? 1 };
      clear("factor");
      return edit;
    },
    "copy-paste"() {
      const box = onStage.boxNow();
      const to = [number("to_x"), number("to_y")];
      if (!box || to.includes(null)) throw new Error("A copy needs a box, and both numbers of where it goes.");
      clear("to_x", "to_y");
      return { kind: "copy-paste", box, to };
    },
    unit() {
      const chosen = form.querySelector('[name="unit"]:checked');
      const what = fields.other.value.trim() || (chosen && chosen.value);
      if (!what) throw new Error("Choose a unit, or name one or a concept.");
      const concept = what.match(/^concept\s+(\d+)$/i);
      const edit = { kind: "unit", action: fields.action.value, amount: number("amount"), box: onStage.boxNow() };
      return concept ? { ...edit, concept: Number(concept[1]) } : { ...edit, unit: what };
    },
    async align() {
      const strength = number("strength");
      const [file] = fields.image.files;
      if (file) {
        const sent = new FormData();
        sent.append("image", file);
        const { image } = await ask("/translations/images", { method: "POST", body: sent });
        clear("image");
        return { kind: "align", image: { digest: image }, strength };
      }
      const named = fields.align.value.trim().match(/^(\S+)\s+(\d+)$/);
      if (!named) throw new Error("Choose an image, or name one of a probe set, such as “faces 7”.");
      clear("align");
      return { kind: "align", image: { probe: named[1], position: Number(named[2]) }, strength };
    },
  };

  async function ask(address, options) {
    const answer = await fetch(address, options);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error.message);
    return found;
  }

  function busy(now) {
    form.classList.toggle("busy", now);
    for (const group of form.querySelectorAll("fieldset, .queue, [data-make], [data-undo]")) group.inert = now;
    stage.inert = now;
    progress.hidden = !now;
    cancelButton.hidden = !now;
    if (now) return;
    picture.setAttribute("href", original);
    draw();
  }

  async function make() {
    busy(true);
    complain("");
    said.textContent = "waiting for a worker";
    progress.removeAttribute("value");
    const body = { translation: Number(translation), edits: queue };
    if (!(fields.all && fields.all.checked)) body.positions = [Number(position)];
    try {
      const headers = { "content-type": "application/json" };
      follow(await ask("/v1/edits", { method: "POST", headers, body: JSON.stringify(body) }));
    } catch (error) {
      busy(false);
      complain(error.message);
    }
  }

  function follow(first) {
    job = first;
    if (OVER.has(first.state)) return over(first);
    const source = new EventSource(`/v1/jobs/${first.id}/events`);
    source.addEventListener("job", (event) => {
      const now = JSON.parse(event.data);
      if (OVER.has(now.state)) {
        source.close();
        over(now);
      } else report(now);
    });
    addEventListener("pagehide", () => source.close());
  }

  function report({ id, state, progress_done: done, progress_total: total, progress_note: note }) {
    if (state === "queued") return;
    progress.max = Math.max(total, 1);
    progress.value = done;
    said.textContent = note || "at work";
    if (done === 0) return;
    // Loaded beside and then put in place, so that the picture never goes away between two.
    const next = new Image();
    next.addEventListener("load", () => {
      if (!job) return;
      ghost.replaceChildren();
      stage.classList.remove("sketched");
      picture.setAttribute("href", next.src);
    });
    next.src = `/v1/jobs/${id}/preview?step=${done}`;
  }

  function over({ id, state, result, error_message: reason }) {
    job = null;
    if (state === "done") return location.assign(`/translations/${result.translation}`);
    busy(false);
    if (state === "cancelled") complain("It was cancelled.");
    else complain(`It could not be made: ${reason}.`, `/translations/jobs/${id}`);
  }

  function compare(percent) {
    const slider = find("[data-compare]");
    const edge = frame[0] * percent / 100;
    slider.value = percent;
    find(".before").setAttribute("width", edge);
    const divider = find(".divider");
    divider.setAttribute("x1", edge);
    divider.setAttribute("x2", edge);
    divider.setAttribute("visibility", percent > 0 && percent < 100 ? "visible" : "hidden");
    ghost.setAttribute("visibility", percent > 0 ? "hidden" : "visible");
    stage.classList.toggle("sketched", percent === 0 && queue.length > 0);
  }

  for (const button of form.querySelectorAll("[data-add]")) {
    button.addEventListener("click", async () => {
      try {
        add(await makers[button.dataset.add]());
      } catch (error) {
        complain(error.message);
      }
    });
  }
  for (const output of form.querySelectorAll("output")) {
    fields[output.dataset.of].addEventListener("input", (event) => { output.textContent = event.target.value; });
  }
  find("[data-compare]").addEventListener("input", (event) => compare(Number(event.target.value)));
  undoButton.addEventListener("click", undo);
  cancelButton.addEventListener("click", () => job && fetch(`/v1/jobs/${job.id}`, { method: "DELETE" }));
  form.addEventListener("keydown", (event) => {
    const typing = event.target.matches('input:not([type="range"], [type="radio"], [type="checkbox"])');
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !typing) {
      event.preventDefault();
      undo();
    }
  });
  form.addEventListener("submit", (event) => {
    onStage.settle();
    // With nothing in the queue, what is filled in goes the way it goes without a script.
    if (!queue.length) return;
    event.preventDefault();
    if (!job) make();
  });
  find(".seen").append(find(".make")); // under the picture, where what is asked for is sketched
  form.classList.add("live");
  compare(0);
})();
