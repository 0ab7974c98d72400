// A small line chart of the last five minutes: one SVG, up to three lines, and their newest values.

const SECONDS = 300;
const HEIGHT = 100;
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const el = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  return el;
}

function make(tag, className, text = "") {
  const el = document.createElement(tag);
  if (className) el.className = className;
  el.textContent = text;
  return el;
}

/** The smallest of 1, 2, 5, 10, 20, 50 … that is not below a value. */
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 5, 10].find((factor) => factor * unit >= value);
}

export class Chart {
  #points = [];   // { at, values }: seconds, and a value for each line; `null` breaks the lines
  #paths;
  #values;
  #most;
  #picture;
  #title;
  #lines;
  #format;
  #roundUp;

  /** Draws into a `<figure>`. `lines` are the names of the lines, `format` makes text of a value. */
  constructor(figure, title, lines, format, round = roundUp) {
    this.#roundUp = round;
    this.#title = title;
    this.#lines = lines;
    this.#format = format;
    const caption = make("figcaption");
    caption.append(make("span", "chart-title", title));
    this.#values = lines.map((line) => {
      const value = make("span", "chart-value");
      const number = make("b", "", "–");
      value.append(number, line);
      caption.append(value);
      return number;
    });
    this.#picture = svg("svg", { viewBox: `0 0 ${SECONDS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    for (const y of [0, HEIGHT / 2, HEIGHT]) this.#picture.append(svg("line", { x1: 0, x2: SECONDS, y1: y, y2: y }));
    this.#paths = lines.map(() => this.#picture.appendChild(svg("path", {})));
    const plot = make("div", "chart-plot");
    this.#most = make("span", "chart-most");
    this.#most.ariaHidden = "true";
    plot.append(this.#picture, this.#most);
    const span = make("div", "chart-span");
    span.ariaHidden = "true";
    span.append(make("span", "", "5 min ago"), make("span", "", "now"));
    figure.append(caption, plot, span);
  }

  /** Adds a value for each line; `null` where there is none. */
  add(at, values) {
    this.#points.push({ at, values });
    while (this.#points[0].at < at - SECONDS - 5) this.#points.shift();
    this.#draw(at);
    const texts = values.map((value) => (value === null ? "–" : this.#format(value)));
    texts.forEach((text, line) => { this.#values[line].textContent = text; });
    this.#picture.ariaLabel = `${this.#title}: ${texts.map((text, line) => `${text} ${this.#lines[line]}`).join(", ")}`;
  }

  #draw(now) {
    const all = this.#points.flatMap(({ values }) => values).filter((value) => value !== null);
    const highest = Math.max(0, ...all);
    const most = highest > 0 ? this.#roundUp(highest) : 1;
    this.#most.textContent = this.#format(most);
    this.#paths.forEach((path, line) => {
      let d = "";
      let pen = "M";
      for (const { at, values } of this.#points) {
        const value = values[line];
        if (value === null) {
          pen = "M";
          continue;
        }
        const x = SECONDS - (now - at);
        d += `${pen}${x.toFixed(2)} ${(HEIGHT - value / most * HEIGHT).toFixed(2)}`;
        pen = "L";
      }
      path.setAttribute("d", d);
    });
  }
}
