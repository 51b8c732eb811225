// Images: one that is dropped or pasted on a page is taken by the form for one, which is sent at once, but where it
// says data-drop="wait"; and a box is drawn on one.
"use strict";
(() => {
  const form = document.querySelector("form[data-drop]");
  if (form) takeImages(form);
  const canvas = document.querySelector("svg[data-box]");
  if (canvas) drawBox(canvas, document.querySelector("form.box"));

  function takeImages(form) {
    const field = form.querySelector('input[type="file"]');
    const send = (files) => {
      const image = [...files].find((file) => file.type.startsWith("image/")) || files[0];
      if (!image) return;
      const list = new DataTransfer();
      list.items.add(image);
      field.files = list.files;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    };
    const hasFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
    addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      form.classList.add("over");
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) form.classList.remove("over");
    });
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      form.classList.remove("over");
      send(event.dataTransfer.files);
    });
    addEventListener("paste", (event) => {
      if (event.clipboardData && event.clipboardData.files.length) send(event.clipboardData.files);
    });
    field.addEventListener("change", () => {
      if (!field.files.length || form.dataset.drop === "wait") return;
      form.classList.add("sending");
      form.requestSubmit();
    });
    form.classList.add("live");
  }

  function drawBox(canvas, form) {
    const box = canvas.querySelector(".box");
    const { width, height } = canvas.viewBox.baseVal;
    const fields = ["x", "y", "w", "h"].map((name) => form.elements[name]);
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    let start = null;

    function show() {
      const numbers = fields.map((field) => field.value.trim());
      const whole = numbers.every((text) => text !== "" && Number.isFinite(Number(text)));
      box.setAttribute("visibility", whole ? "visible" : "hidden");
      if (!whole) return;
      ["x", "y", "width", "height"].forEach((name, place) => box.setAttribute(name, Math.max(Number(numbers[place]), 0)));
    }

    function place(event) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(canvas.getScreenCTM().inverse());
      return [clamp(at.x, width), clamp(at.y, height)];
    }

    function stretch(event) {
      const end = place(event);
      const corner = [0, 1].map((axis) => Math.floor(Math.min(start[axis], end[axis])));
      const far = [0, 1].map((axis) => Math.ceil(Math.max(start[axis], end[axis])));
      [...corner, far[0] - corner[0], far[1] - corner[1]].forEach((value, index) => { fields[index].value = value; });
      show();
    }

    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      start = place(event);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => start && stretch(event));
    canvas.addEventListener("pointercancel", () => { start = null; });
    canvas.addEventListener("pointerup", (event) => {
      if (!start) return;
      const [x, y] = place(event);
      const drawn = Math.abs(x - start[0]) > 2 && Math.abs(y - start[1]) > 2;
      if (drawn) stretch(event);
      start = null;
      if (drawn) form.requestSubmit();
    });
    for (const field of fields) field.addEventListener("input", show);
    canvas.classList.add("live");
  }
})();
