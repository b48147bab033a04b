/* Counts ages up and retries down on the page, by the server's clock. */
let offset = 0;

function words() {
  const data = document.querySelector("[data-unit-s]")?.dataset ?? {};
  return [[86400, data.unitD], [3600, data.unitH], [60, data.unitM], [1, data.unitS]];
}

/* The two largest units, as the server writes them. */
export function duration(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [length, unit] of words()) {
    const count = Math.floor(left / length);
    left %= length;
    if (count || (length === 1 && !parts.length)) parts.push((unit ?? "{n}").replace("{n}", count));
    if (parts.length === 2 || (parts.length && length === 60)) break;
  }
  return parts.join(" ");
}

export function tick(serverNow) {
  if (serverNow) offset = serverNow - Date.now() / 1000;
  const now = Date.now() / 1000 + offset;
  for (const element of document.querySelectorAll("[data-age]")) {
    const age = now - Number(element.dataset.age);
    const limit = Number(element.dataset.staleAfter);
    element.textContent = duration(age);
    element.classList.toggle("is-stale", limit > 0 && age > limit);
  }
  for (const element of document.querySelectorAll("[data-until]")) {
    element.textContent = duration(Number(element.dataset.until) - now);
  }
}
