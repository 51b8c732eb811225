// Progress of unfinished jobs, as the service says it; the page of a job is loaded again when the job is over.
"use strict";
(() => {
  const OVER = new Set(["done", "failed", "cancelled"]);
  const MOST = 4; // a browser has six connections to a host, and the page needs some
  const number = new Intl.NumberFormat("en");

  function duration(seconds) {
    if (seconds < 60) return `${Math.round(seconds)} s`;
    if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
    return `${Math.round(seconds / 3600)} h`;
  }

  function show(place, job) {
    const at = (name) => place.querySelector(`[data-show="${name}"]`);
    const state = at("state");
    if (state) {
      state.textContent = job.state;
      state.className = `state ${job.state}`;
    }
    const progress = at("progress");
    if (progress) {
      progress.max = Math.max(job.progress_total, 1);
      progress.value = job.progress_done;
    }
    const texts = {
      count: `${number.format(job.progress_done)} of ${number.format(job.progress_total)}`,
      note: job.progress_note,
      eta: job.eta_s === null ? "" : `${duration(job.eta_s)} left`,
    };
    for (const [name, text] of Object.entries(texts)) {
      const element = at(name);
      if (element) element.textContent = text;
    }
    const preview = at("preview"); // of a job that steers a generator: there from its first step on
    if (preview && job.state === "running" && job.progress_done > 0) {
      preview.src = `/v1/jobs/${job.id}/preview?step=${job.progress_done}`;
      preview.hidden = false;
    }
  }

  function watch(place) {
    const source = new EventSource(`/v1/jobs/${place.dataset.job}/events`);
    source.addEventListener("job", (event) => {
      const job = JSON.parse(event.data);
      show(place, job);
      if (!OVER.has(job.state)) return;
      source.close();
      if ("page" in place.dataset) location.reload();
    });
    addEventListener("pagehide", () => source.close());
  }

  const unfinished = document.querySelectorAll('[data-job]:is([data-state="queued"], [data-state="running"])');
  [...unfinished].slice(0, MOST).forEach(watch);
})();
