// What a checker of accessibility would find on our pages: a list of complaints about the document that is open.
(() => {
  const found = [];
  const name = (e) => `${e.tagName.toLowerCase()}${e.id ? `#${e.id}` : ""}.${e.getAttribute("class") || ""}`;
  const seen = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== "hidden";

  if (!document.documentElement.lang) found.push("the document has no language");
  if (!document.title) found.push("the document has no title");
  if (document.querySelectorAll("h1").length !== 1) found.push("not exactly one h1");
  if (document.querySelectorAll("main").length !== 1) found.push("not exactly one main");
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) found.push(`heading ${heading.textContent} jumps from ${level} to ${next}`);
    if (!heading.textContent.trim()) found.push("an empty heading");
    level = next;
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push(`id ${id} twice`);
  for (const svg of document.querySelectorAll("svg")) {
    if (svg.parentElement.closest("svg") || svg.getAttribute("aria-hidden") === "true") continue;
    if (svg.getAttribute("role") !== "img" || !svg.getAttribute("aria-label")) found.push(`figure without label: ${name(svg)}`);
  }
  for (const control of document.querySelectorAll("input:not([type=hidden]), select, button")) {
    if (!control.labels?.length && !control.textContent.trim()) found.push(`control without label: ${name(control)}`);
  }
  for (const link of document.querySelectorAll("a[href]")) {
    if (!link.textContent.trim() && !link.getAttribute("aria-label")) found.push(`link without text: ${link.href}`);
  }
  for (const table of document.querySelectorAll("table")) {
    for (const th of table.querySelectorAll("th")) if (!th.scope) found.push(`header cell without scope: ${th.textContent}`);
  }
  for (const e of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) found.push(`label of ${name(e)} is not there`);
  }

  // Contrast of every text, by WCAG 2.2: 4.5 for running text, 3 for large text.
  const channel = (c) => (c /= 255, c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length && (colour.length < 4 || colour[3] > 0.99)) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const checked = new Set();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement;
    if (!node.textContent.trim() || !seen(e)) continue;
    const style = getComputedStyle(e);
    const ink = parse(e.closest("svg") ? style.fill : style.color);
    const paper = behind(e);
    const key = `${ink} ${paper} ${style.fontSize} ${style.fontWeight}`;
    if (checked.has(key)) continue;
    checked.add(key);
    const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${name(e)} "${node.textContent.trim().slice(0, 30)}"`);
  }
  return found;
})();
