/* The charts as a table, for readers of screens and for copying. */
const shown = (value) => (value === null || value === undefined ? "–" : value.toLocaleString());

export function fillTable(details, data, moment, words) {
  const names = ["cpu", "memory", "log", "streak"];
  const body = details.querySelector("tbody");
  body.replaceChildren(...data.at.map((at, row) => {
    const line = document.createElement("tr");
    const time = document.createElement("th");
    time.scope = "row";
    time.textContent = moment(at, data.step < 60);
    line.append(time);
    for (const name of names) {
      for (const kind of ["mean", "max"]) line.append(cell(shown(data.series[name][kind][row])));
    }
    return line;
  }).reverse());
  const probes = details.querySelector("[data-history-probes]");
  probes.replaceChildren(...data.probes.map((probe) => {
    const failed = probe.pass.filter((share) => share !== null && share < 1).length;
    const measured = probe.max.filter((value) => value !== null);
    const item = document.createElement("li");
    item.textContent = words.probe.replace("{name}", `${probe.name} (${probe.vantage})`)
      .replace("{failed}", failed).replace("{points}", probe.at.length)
      .replace("{worst}", measured.length ? shown(Math.max(...measured)) : "–");
    return item;
  }));
}

function cell(text) {
  const element = document.createElement("td");
  element.className = "p-right";
  element.textContent = text;
  return element;
}
