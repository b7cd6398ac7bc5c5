"use strict";
// Every table of the page: sort by a click on a heading, filter, page through, download.
const PAGE = 25;
const FILTERS = ["protocol", "level", "task", "method", "subject", "hemisphere", "roi"];
const show = {
  text: (v) => String(v),
  r: (v) => v.toFixed(3),
  difference: (v) => (v >= 0 ? "+" : "−") + Math.abs(v).toFixed(3),
  share: (v) => (100 * v).toFixed(1) + " %",
  count: (v) => Math.round(v).toLocaleString("en"),
  number: (v) => (Math.abs(v) >= 1000 || (v !== 0 && Math.abs(v) < 0.001) ? v.toExponential(2) : v.toFixed(3)),
};

class ShownTable {
  constructor(home) {
    const content = JSON.parse(home.querySelector("script").textContent);
    Object.assign(this, { home, columns: content.columns, names: content.names, rows: content.rows, name: content.name });
    this.place = new Map(this.names.map((name, k) => [name, k]));
    this.sorted = null;
    this.page = 0;
    this.wanted = new Map();
    this.text = "";
    this.build();
    this.update();
  }
  value(row, name) { return row[this.place.get(name)]; }
  build() {
    const controls = make("div", { className: "controls" });
    for (const name of FILTERS.filter((f) => this.place.has(f))) {
      const values = [...new Set(this.rows.map((r) => this.value(r, name)).filter((v) => v !== null))];
      if (values.length < 2) continue;
      const select = make("select", { "data-filter": name });
      select.append(make("option", { value: "" }, "all"));
      values.forEach((v) => select.append(make("option", { value: String(v) }, String(v))));
      select.addEventListener("change", () => { this.wanted.set(name, select.value); this.page = 0; this.update(); });
      const label = make("label", {}, name === "roi" ? "ROI" : name);
      label.append(select);
      controls.append(label);
    }
    const search = make("input", { type: "search", "data-filter": "text" });
    search.addEventListener("input", () => { this.text = search.value.toLowerCase(); this.page = 0; this.update(); });
    const label = make("label", {}, "find");
    label.append(search);
    const download = make("button", { type: "button", "data-action": "csv" }, "CSV");
    download.addEventListener("click", () => this.download());
    controls.append(label, download);
    this.head = make("tr");
    for (const column of this.columns) {
      const th = make("th", { scope: "col", className: column.kind === "text" ? "" : "number", "aria-sort": "none" });
      const button = make("button", { type: "button", "data-sort": column.name }, column.label);
      button.addEventListener("click", () => this.sort(column, th));
      th.append(button);
      this.head.append(th);
    }
    this.body = make("tbody");
    const table = make("table"), thead = make("thead"), scroll = make("div", { className: "scroll", tabIndex: "0" });
    thead.append(this.head);
    table.append(thead, this.body);
    scroll.append(table);
    this.count = make("span", { role: "status" });
    this.before = make("button", { type: "button" }, "previous");
    this.after = make("button", { type: "button" }, "next");
    this.before.addEventListener("click", () => { this.page -= 1; this.update(); });
    this.after.addEventListener("click", () => { this.page += 1; this.update(); });
    const foot = make("div", { className: "controls" });
    foot.append(this.before, this.after, this.count);
    this.home.append(controls, scroll, foot);
  }
  sort(column, th) {
    const falling = this.sorted && this.sorted.name === column.name ? !this.sorted.falling : column.kind !== "text";
    this.sorted = { name: column.name, falling };
    for (const other of this.head.children) other.setAttribute("aria-sort", "none");
    th.setAttribute("aria-sort", falling ? "descending" : "ascending");
    this.page = 0;
    this.update();
  }
  kept() {
    const rows = this.rows.filter((row) =>
      [...this.wanted].every(([name, value]) => value === "" || String(this.value(row, name)) === value) &&
      (this.text === "" || this.columns.some((c) => String(this.value(row, c.name) ?? "").toLowerCase().includes(this.text))));
    if (!this.sorted) return rows;
    const { name, falling } = this.sorted;
    return rows.slice().sort((a, b) => {
      const x = this.value(a, name), y = this.value(b, name);
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return falling ? -order : order;
    });
  }
  update() {
    const rows = this.kept(), last = Math.max(0, Math.ceil(rows.length / PAGE) - 1);
    this.page = Math.min(Math.max(0, this.page), last);
    this.body.replaceChildren(...rows.slice(this.page * PAGE, (this.page + 1) * PAGE).map((row) => {
      const tr = make("tr");
      for (const column of this.columns) {
        const value = this.value(row, column.name);
        const text = value === null ? "–" : typeof value === "number" ? show[column.kind](value)
          : typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
        tr.append(make("td", { className: column.kind === "text" ? "" : "number" }, text));
      }
      return tr;
    }));
    this.count.textContent = rows.length ? `rows ${this.page * PAGE + 1}–${Math.min(rows.length, (this.page + 1) * PAGE)} of ${rows.length.toLocaleString("en")}` : "no row fits";
    this.before.disabled = this.page === 0;
    this.after.disabled = this.page === last;
  }
  csv() {
    // A text that a spreadsheet would take for a formula begins with an apostrophe.
    const safe = (v) => typeof v === "string" ? v.replace(/^[=+\-@\t\r]/, "'$&") : v;
    const cell = (v) => { const s = v === null ? "" : String(safe(v)); return /[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s; };
    return [this.names, ...this.kept()].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  }
  download() { save(this.csv(), "text/csv", `${this.name}.csv`); }
}

function save(content, type, name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Buttons below each drawing (SVG, PNG) and picture (PNG) save it, named by its section and number.
function offer(figure) {
  const section = figure.closest("section");
  const number = [...section.querySelectorAll("figure")].indexOf(figure) + 1;
  const svg = figure.querySelector("svg"), image = figure.querySelector("img");
  if (!svg && !image) return;
  const name = `${section.id}-${number}`, text = () => new XMLSerializer().serializeToString(svg);
  const ways = svg
    ? { SVG: () => save(text(), "image/svg+xml", `${name}.svg`), PNG: () => savePixels(text(), svg, `${name}.png`) }
    : { PNG: () => make("a", { href: image.src, download: `${name}.png` }).click() };
  const controls = make("div", { className: "controls" });
  for (const [kind, act] of Object.entries(ways)) {
    const button = make("button", { type: "button", "data-action": "figure" }, kind);
    button.addEventListener("click", act);
    controls.append(button);
  }
  figure.append(controls);
}

// Save a drawing's text as a PNG on white, of three pixels per typographic point (216 dpi).
function savePixels(text, svg, name) {
  const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  const { width, height } = svg.viewBox.baseVal;
  const canvas = make("canvas", { width: Math.round(3 * width), height: Math.round(3 * height) });
  const drawing = new Image();
  drawing.addEventListener("load", () => {
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(drawing, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(address);
    canvas.toBlob((blob) => save(blob, "image/png", name));
  });
  drawing.src = address;
}

function make(tag, attributes = {}, text = null) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && !name.includes("-")) element[name] = value; else element.setAttribute(name, value);
  }
  if (text !== null) element.append(text);
  return element;
}

document.querySelectorAll("figure").forEach(offer);
window.tables = [...document.querySelectorAll(".data")].map((home) => new ShownTable(home));
