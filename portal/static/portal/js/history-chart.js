/* One chart of a service's history, drawn by Chart.js. Colours follow the theme; nothing is told by colour alone. */
const MARKS = {
  opened: ["▲", []], reopened: ["▲", []], resolved: ["✓", [2, 3]], restarted: ["↻", [6, 3]], changed: ["◆", [1, 4]],
  crashed: ["✕", []], oom: ["✕", [4, 2]],
};
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [1, 4], [10, 4], [4, 4], [12, 3, 3, 3]];
const POINTS = ["circle", "triangle", "rect", "rectRot", "star", "cross", "crossRot", "dash"];

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const tone = (name) => style.getPropertyValue(name).trim();
  return {
    line: tone("--color-primary-500"), soft: tone("--p-info-soft"), high: tone("--p-quiet"), grid: tone("--p-line"),
    text: tone("--p-quiet"), bad: tone("--p-critical"), good: tone("--p-ok"), mark: tone("--p-warning"),
  };
}

/* Vertical lines with a sign at their head, each kind with a dash of its own. */
const marks = {
  id: "marks",
  afterDatasetsDraw(chart) {
    const { ctx, chartArea: area, scales: { x } } = chart;
    const { events = [], tones } = chart.$history ?? {};
    ctx.save();
    ctx.font = "11px system-ui, sans-serif";
    ctx.textAlign = "center";
    for (const event of events) {
      const at = x.getPixelForValue(event.at);
      if (at < area.left || at > area.right) continue;
      const [sign, dash] = MARKS[event.kind] ?? MARKS.changed;
      const tone = { opened: tones.bad, reopened: tones.bad, crashed: tones.bad, oom: tones.bad, resolved: tones.good }[event.kind] ?? tones.mark;
      ctx.strokeStyle = ctx.fillStyle = tone;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(at, area.top);
      ctx.lineTo(at, area.bottom);
      ctx.stroke();
      ctx.fillText(sign, at, area.top - 3);
    }
    ctx.restore();
  },
};

export function chartOf(canvas, words, moment) {
  return new Chart(canvas, {
    type: "line",
    data: { datasets: [] },
    plugins: [marks],
    options: {
      animation: false,
      maintainAspectRatio: false,
      parsing: false,
      events: ["mousemove", "mouseout", "click"],
      interaction: { mode: "nearest", axis: "x", intersect: false },
      layout: { padding: { top: 14 } },
      plugins: {
        legend: { display: canvas.dataset.series === "probes", labels: { boxHeight: 1, filter: (item) => !item.text.startsWith("!") } },
        tooltip: {
          callbacks: {
            title: (items) => (items.length ? `${moment(items[0].parsed.x, true)} ${words.zone}` : ""),
            label: (item) => `${item.dataset.label.replace(/^!/, "")}: ${item.raw.note ?? item.formattedValue}`,
          },
        },
      },
      scales: { x: { type: "linear" }, y: { beginAtZero: true, afterFit: (scale) => { scale.width = 52; } } },
    },
  });
}

const STEPS = [60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 2 * 86400, 5 * 86400, 10 * 86400, 30 * 86400, 90 * 86400];

/* The same axis on every chart, whatever each has measured, with ticks at full hours and days of the zone. */
export function axis(chart, data, moment) {
  const span = data.to - data.from;
  const most = Math.max(2, Math.min(7, Math.floor(chart.canvas.parentElement.clientWidth / 90)));
  const step = STEPS.find((one) => span / one <= most) ?? STEPS.at(-1);
  const [from, to] = span > 3 * 86400 ? [5, 10] : span > 86400 ? [5, 16] : [11, 16];
  const { tones } = chart.$history;
  Object.assign(chart.options.scales.x, {
    min: data.from,
    max: data.to,
    grid: { color: tones.grid },
    ticks: { color: tones.text, maxRotation: 0, callback: (at) => moment(at).slice(from, to) },
    afterBuildTicks: (scale) => {
      scale.ticks = [];
      const first = Math.ceil((data.from + data.offset) / step) * step - data.offset;
      for (let value = first; value <= data.to; value += step) scale.ticks.push({ value });
    },
  });
  Object.assign(chart.options.scales.y, { grid: { color: tones.grid }, ticks: { color: tones.text, maxTicksLimit: 4 } });
  chart.options.plugins.legend.labels.color = tones.text;
}

const line = (at, values) => at.map((x, index) => ({ x, y: values[index] })).filter((point) => point.y !== null);

export function paint(chart, canvas, data, tones, words) {
  chart.$history = { events: data.events, tones };
  // A hole longer than three points is drawn as a hole: unknown is not a straight line.
  const common = { borderWidth: 1.5, pointRadius: 0, pointHitRadius: 6, spanGaps: Math.max(3 * data.step, 20) };
  chart.data.datasets = canvas.dataset.series === "probes" ? probes(data, common, tones, words)
    : pair(data.at, data.series[canvas.dataset.series], common, tones, words);
}

function pair(at, values, common, tones, words) {
  return [
    { ...common, label: words.mean, data: line(at, values.mean), borderColor: tones.line, backgroundColor: tones.soft, fill: "origin" },
    { ...common, label: words.maximum, data: line(at, values.max), borderColor: tones.high, borderWidth: 1, borderDash: [4, 3] },
  ];
}

function probes(data, common, tones, words) {
  return data.probes.flatMap((probe, index) => {
    const label = `${probe.name} (${probe.vantage})`;
    const failed = probe.at.map((x, row) => ({ x, y: probe.max[row] ?? 0, note: words.passed.replace("{n}", Math.round(100 * probe.pass[row])) }))
      .filter((point, row) => probe.pass[row] !== null && probe.pass[row] < 1);
    return [
      { ...common, label, data: line(probe.at, probe.max), borderColor: tones.line, borderDash: DASHES[index] },
      { ...common, label: `!${label}`, data: failed, showLine: false, pointRadius: 4, pointStyle: POINTS[index] === "circle" ? "crossRot" : POINTS[index],
        borderColor: tones.bad, backgroundColor: tones.bad, borderWidth: 2 },
    ];
  });
}
