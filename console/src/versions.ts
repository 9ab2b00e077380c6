// The versions that are deployed: which one plays, a switch, and each one's run and learning curve.
import type { AppInfo, Curve, Lineage, Version } from "./api.js";
import { svg } from "./latency.js";

const MAX_PARAMS = 12;
const MAX_PARAM_CHARACTERS = 60;
const MAX_POINTS = 1000;

function element<K extends keyof HTMLElementTagNameMap>(name: K, className: string, text?: string): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  if (className !== "") made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(className: string, text: string, act: () => void): HTMLButtonElement {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

export class VersionList {
  pinned: string | null = null; // null: whatever is live
  private open: string | null = null;
  private served: string | null = null;
  private info: AppInfo | null = null;
  private drawn = "";

  constructor(
    private readonly list: HTMLElement,
    private readonly live: HTMLButtonElement, // the switch that follows what is live
    private readonly onPin: () => void,
  ) {
    live.addEventListener("click", () => this.pin(null));
  }

  // What the server says is deployed. A pin on a version that is gone goes with it.
  update(info: AppInfo): void {
    this.info = info;
    if (this.pinned !== null && !info.versions.some(({ version }) => version === this.pinned)) this.pinned = null;
    this.draw();
  }

  serves(version: string | null): void {
    if (version === this.served) return;
    this.served = version;
    this.draw();
  }

  knows(version: string): boolean {
    return this.info?.versions.some((known) => known.version === version) ?? false;
  }

  show(version: string): void {
    this.open = version;
    this.draw();
    this.list.querySelector(`li[data-open="true"]`)?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  private pin(version: string | null): void {
    this.pinned = version;
    this.draw();
    this.onPin();
  }

  private draw(): void {
    const state = JSON.stringify([this.info?.versions, this.info?.current, this.pinned, this.open, this.served]);
    if (state === this.drawn) return; // polled often, and a list that is drawn again loses its focus
    this.drawn = state;
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["key"] : undefined;
    const versions = this.info?.versions ?? [];
    this.live.hidden = versions.length === 0;
    this.live.setAttribute("aria-pressed", String(this.pinned === null));
    this.list.replaceChildren(...versions.map((one) => this.row(one)));
    if (focused) this.list.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  private switchTo(version: string): HTMLButtonElement {
    const chosen = this.pinned === version;
    const made = button("small switch", chosen ? "playing" : "play", () => this.pin(version));
    made.setAttribute("aria-pressed", String(chosen));
    made.setAttribute("aria-label", `Play version ${version}`);
    made.dataset["version"] = version;
    made.dataset["key"] = `switch-${version}`;
    return made;
  }

  private row(one: Version): HTMLLIElement {
    const open = this.open === one.version;
    const row = element("li", "");
    row.dataset["open"] = String(open);
    const show = button("show", `Version ${one.version}`, () => {
      this.open = open ? null : one.version;
      this.draw();
    });
    show.dataset["show"] = one.version;
    show.dataset["key"] = `show-${one.version}`;
    show.setAttribute("aria-expanded", String(open));
    if (one.lineage?.name) show.append(element("span", "named", String(one.lineage.name)));
    if (one.version === this.info?.current) show.append(element("span", "badge live", "live"));
    if (one.version === this.served && one.version !== this.info?.current) show.append(element("span", "badge", "answering"));
    if (!one.ready) show.append(element("span", "badge", "not ready"));
    row.append(show, this.switchTo(one.version));
    if (open) row.append(details(one));
    return row;
  }
}

function details(one: Version): HTMLElement {
  const box = element("div", "details");
  const lineage = one.lineage;
  if (!lineage) {
    box.append(element("p", "note", "Nothing was recorded about where this version came from."));
    return box;
  }
  const facts = element("dl", "");
  for (const [name, value] of [["run", lineage.run], ["artifact", lineage.artifact]] as const) {
    if (typeof value !== "string") continue;
    const told = element("dd", "");
    told.append(element("code", "", value));
    told.title = value;
    facts.append(element("dt", "", name), told);
  }
  box.append(facts);
  const drawn = lineage.curve && drawCurve(lineage.curve);
  if (drawn) box.append(drawn);
  const params = paramsOf(lineage);
  if (params.length) box.append(element("p", "note params", params.join(" · ")));
  return box;
}

function paramsOf(lineage: Lineage): string[] {
  const params = Object.entries(lineage.params ?? {});
  const told = params.slice(0, MAX_PARAMS).map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${name} ${text.slice(0, MAX_PARAM_CHARACTERS)}`;
  });
  if (params.length > MAX_PARAMS) told.push(`and ${params.length - MAX_PARAMS} more`);
  return told;
}

export function short(count: number): string {
  const size = Math.abs(count);
  if (size >= 1e6) return `${+(count / 1e6).toFixed(1)} M`;
  if (size >= 1e3) return `${+(count / 1e3).toFixed(1)} k`;
  return String(+count.toPrecision(3));
}

// Points of a curve that can be drawn, thinned to MAX_POINTS.
export function pointsOf(curve: Curve): { step: number; value: number }[] {
  if (!Array.isArray(curve.steps) || !Array.isArray(curve.values)) return [];
  const points = curve.steps.map((step, i) => ({ step, value: curve.values[i]! }));
  const good = points.filter(({ step, value }) => Number.isFinite(step) && Number.isFinite(value));
  const every = Math.ceil(good.length / MAX_POINTS);
  return every <= 1 ? good : good.filter((_, i) => i % every === 0 || i === good.length - 1);
}

function drawCurve(curve: Curve): HTMLElement | null {
  const points = pointsOf(curve);
  if (points.length < 2) return null;
  const [width, height, top, bottom] = [320, 96, 12, 80];
  const lastStep = Math.max(...points.map(({ step }) => step));
  const firstStep = Math.min(...points.map(({ step }) => step));
  const high = Math.max(...points.map(({ value }) => value));
  const low = Math.min(0, ...points.map(({ value }) => value));
  const x = (step: number): number => ((step - firstStep) / (lastStep - firstStep || 1)) * (width - 2) + 1;
  const y = (value: number): number => bottom - ((value - low) / (high - low || 1)) * (bottom - top - 2);
  const path = points.map(({ step, value }, i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const last = points.at(-1)!;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": "Learning curve" });
  drawing.append(
    svg("line", { x1: 0, x2: width, y1: y(low) + 0.5, y2: y(low) + 0.5, class: "axis" }),
    svg("line", { x1: 0, x2: width, y1: y(high) - 0.5, y2: y(high) - 0.5, class: "grid" }),
    svg("path", { d: path }),
    svg("circle", { cx: x(last.step), cy: y(last.value), r: 3 }),
    svg("text", { x: 0, y: 8 }, short(high)),
    svg("text", { x: 0, y: height - 3 }, short(firstStep)),
    svg("text", { x: width, y: height - 3, "text-anchor": "end" }, `${short(lastStep)} steps`),
  );
  const figure = element("figure", "");
  figure.append(element("figcaption", "", String(curve.metric ?? "learning curve")), drawing);
  return figure;
}
