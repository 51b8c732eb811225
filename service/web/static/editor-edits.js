// Edits as values: in words, joined, and as a sketch of what they will do, drawn before any unit is steered.
"use strict";
window.RosettaEdits = (() => {
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const number = (value) => String(Number(Number(value).toPrecision(4))).replace("-", "−");
  const place = (x, y) => `(${number(x)}, ${number(y)})`;
  const boxed = ([x, y, width, height]) => `${number(width)} × ${number(height)} at ${place(x, y)}`;

  function image(reference) {
    if (reference.digest) return `upload ${reference.digest.slice(0, 8)}`;
    return `${reference.probe} ${reference.position}`;
  }

  function describe(edit) {
    switch (edit.kind) {
      case "shift": return `shift by ${place(edit.dx, edit.dy)}`;
      case "zoom": return `zoom ${number(edit.factor)}`;
      case "copy-paste": return `copy ${boxed(edit.box)} to ${place(...edit.to)}`;
      case "align": return `align to ${image(edit.image)}${edit.strength === 1 ? "" : `, strength ${number(edit.strength)}`}`;
    }
    const what = edit.unit || `concept ${edit.concept}`;
    const by = edit.action === "remove" ? "" : ` by ${number(edit.amount)}`;
    return `${edit.action === "remove" ? "mute" : edit.action} ${what}${by}${edit.box ? ` in ${boxed(edit.box)}` : ""}`;
  }

  const nothing = (edit) => (edit.kind === "shift" && !edit.dx && !edit.dy) || (edit.kind === "zoom" && edit.factor === 1);

  // Two shifts in a row are one, and so are two zooms: what leaves the frame between them would be lost.
  function joined(queue, edit) {
    const last = queue[queue.length - 1];
    let found = [...queue, edit];
    if (last && last.kind === edit.kind) {
      if (edit.kind === "shift") found = [...queue.slice(0, -1), { ...edit, dx: last.dx + edit.dx, dy: last.dy + edit.dy }];
      if (edit.kind === "zoom") found = [...queue.slice(0, -1), { ...edit, factor: Number((last.factor * edit.factor).toFixed(3)) }];
    }
    return found.filter((one) => !nothing(one));
  }

  function element(name, attributes, ...children) {
    const node = document.createElementNS(NAMESPACE, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  const rectangle = ([x, y, width, height], kind) => element("rect", { class: `mark ${kind}`, x, y, width, height });

  function step(node, edit, { width, height }) {
    switch (edit.kind) {
      case "shift": return element("g", { transform: `translate(${edit.dx} ${edit.dy})` }, node);
      case "zoom": {
        const [x, y] = [width / 2, height / 2];
        return element("g", { transform: `translate(${x} ${y}) scale(${edit.factor}) translate(${-x} ${-y})` }, node);
      }
      case "copy-paste": {
        const [, , wide, high] = edit.box;
        const there = [...edit.to, wide, high];
        const cut = { x: edit.to[0], y: edit.to[1], width: wide, height: high, viewBox: edit.box.join(" "), preserveAspectRatio: "none" };
        return element("g", {}, node, element("svg", cut, node.cloneNode(true)), rectangle(there, "copy"));
      }
      case "align": {
        const { digest, probe, position } = edit.image;
        const href = digest ? `/v1/images/${digest}?size=256` : `/v1/probes/${encodeURIComponent(probe)}/images/${position}?size=256`;
        const other = { href, width, height, opacity: edit.strength / 2, preserveAspectRatio: "none" };
        return element("g", {}, node, element("image", other));
      }
    }
    return element("g", {}, node, rectangle(edit.box || [0, 0, width, height], edit.action));
  }

  // What the picture will look like, if units follow: `picture` is an SVG image of it as it is.
  function sketch(edits, picture, frame) {
    return edits.reduce((node, edit) => step(node, edit, frame), picture.cloneNode(true));
  }

  return { describe, joined, sketch };
})();
