// How long the answers take: a sliding window, its percentiles and its histogram.

const WINDOW = 600; // answers: half a minute of play
const FIRST_MS = 0.1;
const BUCKETS_PER_DECADE = 6;
const DECADES = 3; // up to 100 ms; what takes longer is in the last bucket
const BUCKETS = BUCKETS_PER_DECADE * DECADES + 1;

export class Window {
  private readonly samples: number[] = [];
  private next = 0;

  add(ms: number): void {
    this.samples[this.next] = ms;
    this.next = (this.next + 1) % WINDOW;
  }

  get size(): number {
    return this.samples.length;
  }

  // The nearest-rank percentile; null while there is none.
  percentile(share: number): number | null {
    const sorted = [...this.samples].sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
  }

  // How many samples are in each bucket: below 0.1 ms, then 6 a decade.
  histogram(): number[] {
    const counts = new Array<number>(BUCKETS).fill(0);
    for (const ms of this.samples) counts[bucketOf(ms)]! += 1;
    return counts;
  }
}

export function bucketOf(ms: number): number {
  if (!(ms > FIRST_MS)) return 0;
  return Math.min(Math.floor(Math.log10(ms / FIRST_MS) * BUCKETS_PER_DECADE) + 1, BUCKETS - 1);
}

export function milliseconds(ms: number | null): string {
  if (ms === null) return "–";
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(name: string, attributes: Record<string, string | number>, text?: string): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

// Two histograms over one logarithmic axis; a line where the next move is due.
export function drawHistogram(into: SVGElement, server: Window, trip: Window, dueMs: number): void {
  const width = 320;
  const base = 74;
  const slot = width / BUCKETS;
  const x = (ms: number): number => (Math.log10(ms / FIRST_MS) * BUCKETS_PER_DECADE + 1) * slot;
  const parts: SVGElement[] = [svg("line", { x1: 0, x2: width, y1: base + 0.5, y2: base + 0.5, class: "axis" })];
  for (const [label, ms] of [["0.1", 0.1], ["1", 1], ["10", 10], ["100 ms", 100]] as const) {
    const end = ms === 100;
    parts.push(svg("text", { x: end ? width : x(ms), y: 88, "text-anchor": end ? "end" : "middle" }, label));
  }
  parts.push(svg("line", { x1: x(dueMs), x2: x(dueMs), y1: 14, y2: base, class: "due" }));
  parts.push(svg("text", { x: x(dueMs), y: 9, "text-anchor": "middle" }, "next move"));
  for (const [window, name] of [[server, "server"], [trip, "trip"]] as const) {
    const counts = window.histogram();
    const most = Math.max(1, ...counts);
    counts.forEach((count, i) => {
      if (count === 0) return;
      const height = Math.max(1.5, (count / most) * (base - 18));
      parts.push(svg("rect", { x: i * slot + 1.5, y: base - height, width: slot - 3, height, rx: 2, class: name }));
    });
  }
  into.replaceChildren(...parts);
}
