// What a map says of the unit under the pointer: its address, its concept, and where it fires most.
"use strict";

// `about`: what the page knows of the map. `show(place, x, y, held)` puts the tip beside a place of the stage, `hide()`
// takes it away; one that is held can be pointed at, and has a link.
RosettaMap.tip = (element, stage, about, points) => {
  const WAIT_MS = 150; // a pointer that passes by asks for nothing
  const MOST = 300; // exemplars kept
  const exemplars = new Map(); // by unit: the number of its first image; null: it has none
  let shown = -1;
  let timer = 0;
  let asking = null;

  const model = (place) => about.models[points.model[place]];
  const path = (place) => `${encodeURIComponent(model(place).name)}/${points.unit[place]}`;

  function line(text, kind) {
    const row = document.createElement("p");
    if (kind) row.className = kind;
    row.textContent = text;
    return row;
  }

  function describe(place, held) {
    const { name, layers } = model(place);
    const [layer, first] = layers[points.layer[place]];
    const title = document.createElement("b");
    title.textContent = `${name} ${points.unit[place]}`;
    const head = line("");
    head.append(title);
    const rows = [head, line(`${layer}:${points.unit[place] - first}`, "mono")];
    const concept = points.concept[place];
    if (concept >= 0) {
      const known = about.concepts.find((one) => one.id === concept);
      rows.push(line(known ? known.name : `Concept ${concept}`));
    }
    if (held) {
      const link = document.createElement("a");
      link.href = `/units/${path(place)}`;
      link.textContent = "Open the unit";
      rows.push(line(""));
      rows.at(-1).append(link);
    }
    return rows;
  }

  function frame(waiting) {
    const picture = document.createElement("span");
    picture.className = waiting ? "picture waiting" : "picture";
    return picture;
  }

  async function firstImage(place, signal) {
    const key = path(place);
    if (!exemplars.has(key)) {
      const answer = await fetch(`/v1/models/${encodeURIComponent(model(place).name)}/units/${points.unit[place]}` +
        `/exemplars?probe=${encodeURIComponent(about.probe)}`, { signal });
      if (!answer.ok) return null;
      const { items } = await answer.json();
      if (exemplars.size >= MOST) exemplars.delete(exemplars.keys().next().value);
      exemplars.set(key, items.length ? items[0].image : null);
    }
    return exemplars.get(key);
  }

  async function paint(place) {
    asking = new AbortController();
    let image = null;
    try {
      image = await firstImage(place, asking.signal);
    } catch { // it was left, or the service is away: the words stay
      return;
    }
    if (place !== shown) return;
    const waiting = element.querySelector(".picture");
    if (image === null) {
      waiting.remove();
      return;
    }
    const picture = frame(false);
    picture.dataset.of = model(place).name; // pictures.js asks again for one that is being made
    const img = document.createElement("img");
    img.width = img.height = 192;
    img.alt = `where it fires on image ${image}`;
    const wanted = new URLSearchParams({ probe: about.probe, image, overlay: "true", size: "192" });
    img.src = `/v1/models/${encodeURIComponent(model(place).name)}/units/${points.unit[place]}/heatmap?${wanted}`;
    picture.append(img);
    waiting.replaceWith(picture);
  }

  // Beside the place, and inside the stage.
  function put(x, y) {
    const GAP = 14;
    const { clientWidth, clientHeight } = stage;
    const { offsetWidth, offsetHeight } = element;
    const left = x + GAP + offsetWidth <= clientWidth ? x + GAP : Math.max(x - GAP - offsetWidth, 4);
    const top = Math.min(Math.max(y - offsetHeight / 2, 4), Math.max(clientHeight - offsetHeight - 4, 4));
    element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  return {
    get place() { return shown; },
    get held() { return element.classList.contains("held"); },
    show(place, x, y, held) {
      if (place !== shown || held !== element.classList.contains("held")) {
        clearTimeout(timer);
        asking?.abort();
        shown = place;
        element.replaceChildren(...describe(place, held), frame(true));
        element.classList.toggle("held", held);
        element.hidden = false;
        timer = setTimeout(paint, exemplars.has(path(place)) ? 0 : WAIT_MS, place);
      }
      put(x, y);
    },
    hide() {
      clearTimeout(timer);
      asking?.abort();
      shown = -1;
      element.hidden = true;
    },
    address: (place) => `/units/${path(place)}`,
  };
};
