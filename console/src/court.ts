// Draws the court on a canvas, in the colours of the style sheet.
import { COURT, type Moment } from "./game.js";

const TRAIL_S = 0.45;

interface Colours {
  court: string;
  wall: string;
  line: string;
  ball: string;
  model: string;
  you: string;
  idle: string;
}

export class CourtView {
  private readonly pen: CanvasRenderingContext2D;
  private colours: Colours;
  private trail: { x: number; y: number; at: number }[] = [];

  constructor(private readonly canvas: HTMLCanvasElement) {
    const pen = canvas.getContext("2d");
    if (!pen) throw new Error("this browser has no canvas");
    this.pen = pen;
    this.colours = this.readColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colours = this.readColours();
    });
  }

  private readColours(): Colours {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
    return {
      court: colour("court"),
      wall: colour("wall"),
      line: colour("court-line"),
      ball: colour("ball"),
      model: colour("model"),
      you: colour("you"),
      idle: colour("idle"),
    };
  }

  // `modelPlays`: false draws its paddle as one that nobody moves. `ball`: false while none is in play.
  draw(moment: Moment, options: { modelPlays: boolean; ball: boolean; now: number }): void {
    const scale = this.fit();
    const { pen, colours } = this;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.fillStyle = colours.court;
    pen.fillRect(0, 0, COURT.width, COURT.height);
    pen.fillStyle = colours.line;
    for (let y = COURT.wall + 8; y < COURT.height - COURT.wall; y += 24) pen.fillRect(COURT.width / 2 - 1, y, 2, 12);
    pen.fillStyle = colours.wall;
    pen.fillRect(0, 0, COURT.width, COURT.wall);
    pen.fillRect(0, COURT.height - COURT.wall, COURT.width, COURT.wall);
    this.paddle(0, moment.left, options.modelPlays ? colours.model : colours.idle);
    this.paddle(COURT.width - COURT.paddleWidth, moment.right, colours.you);
    if (options.ball) this.ball(moment, options.now);
    else this.trail = [];
  }

  private paddle(x: number, y: number, colour: string): void {
    this.pen.fillStyle = colour;
    this.pen.beginPath();
    this.pen.roundRect(x, y, COURT.paddleWidth, COURT.paddleHeight, 4);
    this.pen.fill();
  }

  private ball({ x, y }: Moment, now: number): void {
    const { pen, colours, trail } = this;
    const last = trail.at(-1);
    if (last && Math.abs(last.x - x) > COURT.width / 2) trail.length = 0; // a serve
    trail.push({ x, y, at: now });
    while (trail[0] && now - trail[0].at > TRAIL_S * 1000) trail.shift();
    pen.strokeStyle = colours.ball;
    for (let i = 1; i < trail.length; i++) {
      const [from, to] = [trail[i - 1]!, trail[i]!];
      const share = 1 - (now - to.at) / (TRAIL_S * 1000);
      pen.globalAlpha = 0.16 * share;
      pen.lineWidth = COURT.ballRadius * (0.4 + 1.4 * share);
      pen.beginPath();
      pen.moveTo(from.x, from.y);
      pen.lineTo(to.x, to.y);
      pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.fillStyle = colours.ball;
    pen.beginPath();
    pen.arc(x, y, COURT.ballRadius, 0, 2 * Math.PI);
    pen.fill();
  }

  // Gives the canvas as many pixels as the screen has for it; returns screen pixels per pixel of the court.
  private fit(): number {
    const width = Math.round(this.canvas.clientWidth * Math.min(devicePixelRatio, 3)) || COURT.width;
    if (this.canvas.width !== width) {
      this.canvas.width = width;
      this.canvas.height = Math.round((width * COURT.height) / COURT.width);
    }
    return width / COURT.width;
  }
}
