// A walk under a slider: the strip has all its images; between two of them one fades into the other.
"use strict";
(() => {
  const walk = document.querySelector(".walk");
  const strip = walk.querySelector(".walk-strip img");
  const canvas = walk.querySelector("canvas");
  const slider = walk.querySelector("[type=range]");
  const place = walk.querySelector(".walk-place");
  const steps = Number(walk.dataset.steps);
  const sigma = Number(walk.dataset.sigma);

  function draw() {
    const at = Number(slider.value);
    const sign = (at / (steps - 1)) * 2 - 1;
    const text = `${sign < 0 ? "−" : "+"}${Math.abs(sign * sigma).toFixed(2)}`;
    place.textContent = `${text} deviations`;
    slider.setAttribute("aria-valuetext", `${text} deviations`);
    if (!strip.naturalWidth) return;
    const width = strip.naturalWidth / steps;
    const height = strip.naturalHeight;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const first = Math.min(Math.floor(at), steps - 1);
    const paint = (image, alpha) => {
      context.globalAlpha = alpha;
      context.drawImage(strip, image * width, 0, width, height, 0, 0, width, height);
    };
    paint(first, 1);
    if (at > first) paint(first + 1, at - first);
    canvas.dataset.drawn = at;
  }

  // A slider of any step has keys that are too fine to be of use: a quarter of an image each.
  slider.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 0.25, ArrowUp: 0.25, ArrowLeft: -0.25, ArrowDown: -0.25 }[event.key];
    if (!by) return;
    event.preventDefault();
    slider.value = Number(slider.value) + by;
    draw();
  });
  walk.classList.add("live");
  slider.addEventListener("input", draw);
  strip.addEventListener("load", draw);
  draw();
})();
