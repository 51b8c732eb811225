// A picture that is still being made is asked for again; one that does not come is a quiet placeholder that says why.
"use strict";
(() => {
  const TRIES = 8;
  const SOON_S = 5;
  const reasons = new Map(); // what the service says of a model's pictures

  async function ask(address) {
    try {
      const answer = await fetch(address, { headers: { accept: "application/json, image/*" } });
      if (answer.ok) return { ready: true };
      const { message, details } = (await answer.json()).error;
      return { message, again: details.retry_after_s <= SOON_S ? details.retry_after_s : 0 };
    } catch {
      return { message: "the service does not answer" };
    }
  }

  async function reasonOf(image, model) {
    if (!reasons.has(model)) reasons.set(model, ask(image.src));
    const found = await reasons.get(model);
    // What passes is no reason for the model's other pictures.
    if (found.ready || found.again) reasons.delete(model);
    return found;
  }

  async function mend(image) {
    const frame = image.closest(".picture");
    if (!frame || frame.classList.contains("missing")) return;
    const { ready, message, again } = await reasonOf(image, frame.dataset.of);
    const tries = Number(image.dataset.tries || 0);
    if ((ready || again) && tries < TRIES) {
      image.dataset.tries = tries + 1;
      const address = image.src;
      setTimeout(() => { image.src = ""; image.src = address; }, ready ? 0 : again * 1000);
      return;
    }
    frame.classList.add("missing");
    frame.title = message || "the picture cannot be shown";
    const text = document.createElement("span");
    text.className = "why";
    text.textContent = frame.title;
    image.replaceWith(text);
  }

  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement && event.target.getAttribute("src")) mend(event.target);
  }, true);
  // Those that failed before this script ran; a lazy one that has not begun is not complete.
  for (const image of document.querySelectorAll(".picture img")) {
    if (image.complete && image.currentSrc && image.naturalWidth === 0) mend(image);
  }
})();
