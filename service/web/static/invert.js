// The form that inverts: what is chosen is shown, and choosing it chooses where it comes from.
"use strict";
(() => {
  const form = document.querySelector("form.invert");
  if (!form) return;
  const { probe, numbers } = form.elements;
  const at = (name) => form.querySelector(`[data-chosen="${name}"]`);

  function choose(from) {
    form.querySelector(`[name="from"][value="${from}"]`).checked = true;
  }

  function show(name, address) {
    const image = at(name);
    image.closest(".picture").hidden = !address;
    if (address) image.src = address;
  }

  function ofProbe() {
    const first = numbers.value.trim().match(/^\d{1,9}/);
    const count = Number(probe.selectedOptions[0].dataset.count);
    const known = first && Number(first[0]) < count;
    show("probe", known ? `/v1/probes/${encodeURIComponent(probe.value)}/images/${Number(first[0])}?size=96` : "");
    if (known) at("probe").alt = `image ${Number(first[0])} of ${probe.value}`;
  }

  numbers.addEventListener("input", () => choose("probe"));
  numbers.addEventListener("change", ofProbe);
  probe.addEventListener("change", () => { choose("probe"); ofProbe(); });
  form.elements.image.addEventListener("change", (event) => {
    const file = event.target.files[0];
    if (!file) return show("upload", "");
    choose("upload");
    const reader = new FileReader();
    reader.addEventListener("load", () => show("upload", reader.result));
    reader.readAsDataURL(file);
  });
  form.addEventListener("submit", () => form.classList.add("sending"));
  ofProbe();
})();
