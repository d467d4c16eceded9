// Updates an open page, filters monitors during typing, and shows times in the time zone of the browser. A page is whole
// without it: everything shown here is also rendered by the server.
"use strict";

(() => {
  const SOON_MS = 300; // after something has changed its state
  const RESULTS_MS = 4000; // at most so often for mere results
  const POLL_MS = 5000; // in addition to events
  const MAX_REJECTIONS = 3; // rejections of the event stream

  const root = document.documentElement.dataset.root;
  const overview = () => document.getElementById("overview");
  const monitor = document.getElementById("monitor");
  const live = document.getElementById("live");

  document.documentElement.classList.add("js");

  // -- times ---------------------------------------------------------------------------------------------------

  const day = { day: "numeric", month: "short" };
  const clock = { hour: "2-digit", minute: "2-digit" };
  const forms = {
    clock: new Intl.DateTimeFormat(undefined, clock),
    day: new Intl.DateTimeFormat(undefined, day),
    near: new Intl.DateTimeFormat(undefined, { ...day, ...clock }),
    full: new Intl.DateTimeFormat(undefined, { year: "numeric", ...day, ...clock, second: "2-digit" }),
  };

  function localise(part) {
    for (const time of part.querySelectorAll("time[datetime]:not([title])")) {
      const form = forms[time.dataset.form] || forms.full;
      time.title = time.dateTime.replace("T", " ").replace("Z", " UTC");
      time.textContent = form.format(new Date(time.dateTime));
    }
    // The tooltip of a column of a chart. Once it is in the zone of the reader, it no longer matches.
    for (const title of part.querySelectorAll("svg title")) {
      title.textContent = title.textContent.replace(/(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC/, (_, date, time) =>
        forms.near.format(new Date(`${date}T${time}Z`)),
      );
    }
  }

  // -- finding -------------------------------------------------------------------------------------------------

  function find() {
    const box = document.getElementById("q");
    if (!box || !overview()) return;
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let total = 0;
    for (const section of document.querySelectorAll(".group")) {
      let here = 0;
      for (const row of section.querySelectorAll("tbody tr")) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        total += 1;
        here += row.hidden ? 0 : 1;
      }
      section.hidden = here === 0;
      section.querySelector(".count").textContent = here;
      shown += here;
    }
    if (words.length) document.getElementById("found").textContent = `${shown} of ${total} shown`;
    else if (box.dataset.used) document.getElementById("found").textContent = "";
    if (words.length) box.dataset.used = "yes";
  }

  async function typed(event) {
    if (event.target.id !== "q") return;
    const address = new URL(location.href);
    if (event.target.value) address.searchParams.set("q", event.target.value);
    else address.searchParams.delete("q");
    history.replaceState(null, "", address);
    // What the server has left out of the page must be there to be found.
    if (overview().dataset.filtered) await renew();
    else find();
  }

  // -- renewing ------------------------------------------------------------------------------------------------

  async function load(address) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  // The whole overview, without what is typed: that is found here.
  async function renew() {
    const address = new URL(location.href);
    address.searchParams.delete("q");
    const fresh = (await load(address)).getElementById("overview");
    const old = overview();
    const box = document.getElementById("q");
    if (!fresh || !old) return;
    const kept = box && { value: box.value, focused: document.activeElement === box, at: box.selectionStart };
    const focused = document.activeElement?.closest?.("[id]")?.id;
    for (const row of fresh.querySelectorAll("tbody tr")) {
      const before = document.getElementById(row.id);
      if (before && before.className !== row.className) row.classList.add("changed");
    }
    old.replaceWith(fresh);
    localise(fresh);
    const next = document.getElementById("q");
    if (kept && next) {
      next.value = kept.value;
      if (kept.focused) {
        next.focus();
        next.setSelectionRange(kept.at, kept.at);
      }
    }
    if (focused && document.activeElement === document.body) {
      document.getElementById(focused)?.querySelector("a")?.focus();
    }
    document.title = `${document.getElementById("headline").textContent} · monitord`;
    find();
  }

  // Only the changed rows, if the set and the order of the rows are unchanged.
  async function freshen() {
    const here = overview();
    const answer = await fetch(`${root}fragments/rows?since=${here.dataset.revision}`);
    if (!answer.ok) throw new Error(`rows: ${answer.status}`);
    const news = await answer.json();
    if (news.run !== here.dataset.run || String(news.structure) !== here.dataset.structure) {
      await renew();
      return;
    }
    here.dataset.revision = news.revision;
    const holder = document.createElement("template");
    for (const [name, text] of Object.entries(news.rows)) {
      const old = document.getElementById(`row-${name}`);
      if (!old) continue;
      holder.innerHTML = text;
      const row = holder.content.querySelector("tr");
      const isFocused = old.contains(document.activeElement);
      row.hidden = old.hidden;
      old.replaceWith(row);
      localise(row);
      if (isFocused) row.querySelector("a").focus();
    }
  }

  // The parts of any other page, each where it has changed.
  async function reread() {
    const fresh = await load(location.href);
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!other || part.contains(document.activeElement)) continue;
      const open = [...part.querySelectorAll("details[open]")].map((one) => one.id);
      part.className = other.className;
      part.innerHTML = other.innerHTML;
      for (const id of open) if (id) document.getElementById(id)?.setAttribute("open", "");
      localise(part);
    }
    document.title = fresh.title;
  }

  // -- what happens ----------------------------------------------------------------------------------------------

  let timer = null;
  let due = Infinity;
  let last = 0;
  let isBusy = false;

  function refreshIn(delay) {
    const at = Date.now() + delay;
    if (at >= due) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(refresh, delay);
  }

  async function refresh() {
    due = Infinity;
    if (isBusy || document.hidden) return;
    isBusy = true;
    try {
      await (overview() ? freshen() : reread());
      last = Date.now();
      say("live");
    } catch {
      say("not connected", true);
    } finally {
      isBusy = false;
    }
  }

  function say(words, isLost = false) {
    if (live.textContent === words) return;
    live.hidden = false;
    live.textContent = words;
    live.classList.toggle("lost", isLost);
  }

  // The overview polls its rows: results of hundreds of monitors need not be pushed to it.
  function addressOfEvents() {
    const address = new URL(root + document.documentElement.dataset.events, location.href);
    if (monitor) {
      address.searchParams.set("results", "1");
      address.searchParams.set("monitor", monitor.dataset.monitor);
    }
    return address;
  }

  function onEvent(event) {
    refreshIn(event.type === "result" ? Math.max(SOON_MS, last + RESULTS_MS - Date.now()) : SOON_MS);
  }

  function listen() {
    let rejections = 0;
    const events = new EventSource(addressOfEvents());
    for (const kind of ["result", "transition", "incident", "reload", "gap"]) events.addEventListener(kind, onEvent);
    events.addEventListener("open", () => {
      rejections = 0;
      refreshIn(SOON_MS);
    });
    events.addEventListener("error", () => {
      rejections += 1;
      // The browser does not reopen a stream that was rejected permanently.
      if (events.readyState === EventSource.CLOSED || rejections >= MAX_REJECTIONS) {
        events.close();
        setTimeout(listen, 6 * POLL_MS);
      }
    });
  }

  document.addEventListener("input", typed);
  document.addEventListener("visibilitychange", () => refreshIn(SOON_MS));
  localise(document);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  document.getElementById("zone").textContent = zone;
  // Times in forms are entered in the same zone.
  for (const field of document.querySelectorAll("[data-zone-field]")) field.value = zone;
  for (const word of document.querySelectorAll("[data-zone]")) word.textContent = zone;
  if (document.querySelector("[data-live], #overview")) {
    setInterval(() => refreshIn(0), POLL_MS);
    listen();
    refreshIn(RESULTS_MS);
  }
})();
