// Makes pages better, never necessary: follows a run, and asks before something is deleted.
"use strict";

function followRun(part, state) {
  const { events, view, from } = part.dataset;
  let last = from;
  const say = (words) => { if (state.textContent !== words) state.textContent = words; };
  const draw = (html) => { part.innerHTML = html; };

  // Every drawing comes whole from the server, which makes it from all points: nothing can be missed or doubled here.
  function listen() {
    const source = new EventSource(`${events}?from=${last}`);
    source.addEventListener("open", () => say(state.dataset.following));
    source.addEventListener("metrics", (event) => { last = event.lastEventId; });
    source.addEventListener("view", (event) => { draw(JSON.parse(event.data).html); say(state.dataset.following); });
    source.addEventListener("end", (event) => {
      source.close();
      say(state.dataset.ended);
      if (JSON.parse(event.data).status === "dead") setTimeout(listen, 15000); // it may be resumed
    });
    source.addEventListener("error", () => {
      say(state.dataset.lost);
      if (source.readyState === EventSource.CLOSED) setTimeout(ask, 5000); // no stream for us: ask now and then
    });
  }

  async function ask() {
    try {
      const answer = await fetch(view);
      if (answer.ok) draw(await answer.text());
    } catch { /* still away: the words above say so */ }
    listen();
  }

  listen();
}

const living = document.querySelector("[data-events]");
if (living) followRun(living, document.getElementById("living-state"));

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
