// What the page cannot do by itself: the reader's own time zone, fresh content without a jump, a period by dragging.
"use strict";

(() => {
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const utc = (moment) => moment.getTimezoneOffset() === 0;

  /** Put the reader's own time beside each time in UTC, unless it is the same. */
  function localise(root) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(element.dateTime);
      element.title = `${element.dateTime}, ${local.format(moment)} your time`;
      if (utc(moment) || element.querySelector(".local")) continue;
      const own = document.createElement("span");
      own.className = "local";
      own.textContent = ` (${hour.format(moment)} local)`;
      element.append(own);
    }
  }

  const offline = document.getElementById("offline");

  /** The parts that are refreshed, as the server sent them, by id. */
  const texts = (root) => new Map([...root.querySelectorAll("[data-live]")].map((part) => [part.id, part.outerHTML]));
  let shown = texts(document);

  /** Put a fresh element in the place of an old one, with what the reader had opened and where the focus was. */
  function swap(old, part) {
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const open = [...old.querySelectorAll("details[open]")].map((details) => details.id);
    const next = document.adoptNode(part);
    for (const details of next.querySelectorAll("details")) details.open = open.includes(details.id);
    localise(next);
    old.replaceWith(next);
    if (focused) next.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  /** Replace the parts that changed; everything else keeps its focus, its place and its selection. */
  function update(fresh) {
    const text = texts(fresh);
    if ([...text.keys()].join() !== [...texts(document).keys()].join()) {
      // A section came or went: the order matters, so all of it is replaced.
      for (const id of ["main", "foot"]) swap(document.getElementById(id), fresh.getElementById(id));
    } else {
      for (const [id, html] of text) {
        if (shown.get(id) !== html) swap(document.getElementById(id), fresh.getElementById(id));
      }
    }
    shown = text;
    document.title = fresh.title;
    document.dispatchEvent(new Event("telltale:updated"));
  }

  async function refresh() {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.status === 401) return location.reload(); // the session is over: ask for the token
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      update(new DOMParser().parseFromString(await answer.text(), "text/html"));
      offline.hidden = true;
    } catch (error) {
      if (offline.hidden) {
        offline.textContent = `Not live since ${hour.format(new Date())}: the server cannot be reached. Shown is what was known then.`;
        offline.hidden = false;
      }
    }
  }

  /** Filter the rows at once; the form itself asks the server, for addresses that can be kept. */
  function filter() {
    const form = document.getElementById("filter");
    if (!form) return;
    const [q, state, role] = ["q", "state", "role"].map((name) => form.elements[name].value);
    const wanted = q.trim().toLowerCase();
    for (const row of document.querySelectorAll(".columns tbody tr")) {
      const name = row.querySelector("th a").textContent.toLowerCase();
      const fits = name.includes(wanted) && (!state || row.dataset.state === state) && (!role || row.dataset.role === role);
      row.hidden = !fits;
    }
    const fold = document.getElementById("same");
    if (fold && (wanted || state || role)) fold.open = true;
    for (const part of document.querySelectorAll("#columns > div, #same")) part.hidden = !part.querySelector("tbody tr:not([hidden])");
  }

  let typed;
  /** Have the server search if this page does not list every column. */
  function search({ currentTarget: form }) {
    if (!("more" in form.dataset)) return filter();
    clearTimeout(typed);
    typed = setTimeout(() => {
      history.replaceState(null, "", `?${new URLSearchParams(new FormData(form))}`);
      refresh();
    }, 200);
  }

  /** The fold's state is in the address, so that a reload or a bookmark keeps it. */
  function keepFold({ target }) {
    const [fold, address] = [target.closest("#same > summary")?.parentElement, new URL(location.href)];
    if (!fold || address.searchParams.get("show") === "all") return;
    if (fold.open) address.searchParams.delete("show"); // it is about to be closed
    else address.searchParams.set("show", "fold");
    history.replaceState(null, "", address);
  }

  document.getElementById("filter")?.addEventListener("input", search);
  document.addEventListener("click", keepFold);
  document.addEventListener("telltale:updated", filter);

  /** Show the period over which the mouse is dragged on a chart over time; Escape, or a short way, calls it off. */
  document.addEventListener("pointerdown", (down) => {
    const chart = down.target.closest?.(".chart.time[data-from]");
    if (!chart || down.button || down.pointerType === "touch") return;
    down.preventDefault();
    const { left, width } = chart.getBoundingClientRect();
    const place = (event) => Math.min(Math.max((event.clientX - left) / width, 0), 1);
    const ends = (event) => [place(down), place(event)].sort((a, b) => a - b);
    const over = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    over.setAttribute("class", "zoom");
    over.setAttribute("height", "100%");
    chart.append(over);
    const done = new AbortController();
    const listen = (name, act) => document.addEventListener(name, act, { signal: done.signal });
    done.signal.addEventListener("abort", () => over.remove());
    listen("pointermove", (event) => {
      const [first, last] = ends(event);
      over.setAttribute("x", `${100 * first}%`);
      over.setAttribute("width", `${100 * (last - first)}%`);
    });
    listen("keydown", (event) => event.key === "Escape" && done.abort());
    listen("pointercancel", () => done.abort());
    listen("pointerup", (up) => {
      done.abort();
      if (Math.abs(up.clientX - down.clientX) < 8) return;
      const [from, to] = [chart.dataset.from, chart.dataset.to].map(Number);
      const moments = ends(up).map((part) => new Date(1000 * Math.round(from + part * (to - from))));
      const [start, end] = moments.map((moment) => `${moment.toISOString().slice(0, 19)}Z`);
      const address = new URL(location.href);
      address.searchParams.delete("around");
      address.searchParams.set("from", start);
      address.searchParams.set("to", end);
      location.assign(address);
    });
  });

  const value = document.createElement("p");
  value.id = "value";
  value.setAttribute("role", "status");
  value.hidden = true;
  document.body.append(value);
  let point;

  /** Say the value at a point of a chart, in the place of the browser's own tooltip, which comes late. */
  function tell(next) {
    point?.classList.remove("at");
    point = next;
    value.hidden = !point;
    if (!point) return;
    const title = point.querySelector("title");
    if (title) point.dataset.value = title.textContent;
    title?.remove();
    point.classList.add("at");
    show(point.dataset.value, point.getBoundingClientRect());
  }

  /** Say something above a place of the page. */
  function show(text, { left, width, top }) {
    value.hidden = false;
    value.textContent = text;
    const most = document.documentElement.clientWidth - value.offsetWidth - 4;
    value.style.left = `${scrollX + Math.max(Math.min(left + width / 2 - value.offsetWidth / 2, most), 4)}px`;
    value.style.top = `${scrollY + Math.max(top - value.offsetHeight - 4, 4)}px`;
  }

  /** Whether the point is of the chart that has the focus. */
  const chosen = () => document.activeElement?.closest(".chart")?.contains(point);

  const states = { strip: "no evaluation", lost: "predictions lost", "h-none": "no verdict", "h-strong": "drift, more than twice the threshold" };
  /** Say the value under the pointer or finger; a cell of a row of heat has a time and a state. */
  function under({ target, clientX }) {
    const strip = target.closest?.(".strip");
    const read = target.closest?.(".read path");
    if (!strip) return read || !chosen() ? tell(read) : undefined;
    const { left, width, top } = strip.getBoundingClientRect();
    const { first, cell } = document.getElementById("columns").dataset;
    const at = Math.floor(((clientX - left) / width) * strip.viewBox.baseVal.width);
    const [begin, kind] = [new Date(1000 * cell * (Number(first) + at)), target.getAttribute("class")];
    tell();
    show(`${begin.toISOString().slice(0, 16).replace("T", " ")} UTC: ${states[kind] ?? kind.slice(2)}`, { left: clientX, width: 0, top });
  }

  for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, under);
  document.addEventListener("focusin", ({ target }) => {
    if (target.matches(".chart") && !target.contains(point)) tell(target.querySelector(".read > :last-child"));
  });
  document.addEventListener("focusout", () => tell());
  document.addEventListener("telltale:updated", () => tell());
  document.addEventListener("keydown", (event) => {
    const next = { ArrowLeft: point?.previousElementSibling, ArrowRight: point?.nextElementSibling }[event.key];
    if (event.key === "Escape") tell();
    if (!next || !chosen()) return;
    event.preventDefault();
    tell(next);
  });

  localise(document);
  const every = Number(document.body.dataset.refresh);
  if (every > 0) {
    setInterval(refresh, every * 1000);
    document.addEventListener("visibilitychange", refresh);
  }
})();
