/* Draws the last readings of a service. The colours follow the theme. */
const REFRESH = 10000;
const holder = document.querySelector("[data-chart]");
const charts = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function draw(canvas, data) {
  const name = canvas.dataset.series;
  const labels = data.at.map((at) => new Date(at * 1000).toLocaleTimeString("sv-SE", { timeZone: "Asia/Seoul" }));
  const known = charts.get(name);
  if (known) {
    known.data.labels = labels;
    known.data.datasets[0].data = data[name];
    known.update("none");
    return;
  }
  const line = colour("--color-primary-500");
  const grid = colour("--p-line");
  const text = colour("--p-quiet");
  const fill = colour("--p-info-soft");
  charts.set(name, new Chart(canvas, {
    type: "line",
    data: { labels, datasets: [{ label: canvas.dataset.label, data: data[name], borderColor: line, borderWidth: 1.5, backgroundColor: fill, fill: true, pointRadius: 0, spanGaps: false }] },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { display: false } },
      scales: {
        x: { ticks: { maxTicksLimit: 6, maxRotation: 0, color: text }, grid: { display: false } },
        y: { beginAtZero: true, ticks: { maxTicksLimit: 5, color: text }, grid: { color: grid } },
      },
    },
  }));
}

async function refresh() {
  try {
    const answer = await fetch(holder.dataset.chart, { headers: { Accept: "application/json" } });
    if (answer.ok) {
      const data = await answer.json();
      if (data.at.length === 0 && charts.size === 0) holder.dataset.state = "empty";
      for (const canvas of holder.querySelectorAll("canvas")) draw(canvas, data);
    }
  } finally {
    setTimeout(refresh, document.hidden ? REFRESH * 6 : REFRESH);
  }
}

if (holder) refresh();
