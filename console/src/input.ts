// The player's paddle: arrow keys, W and S, or a finger or mouse that drags on the court.
import { COURT, type Paddle, steer, track } from "./game.js";

const UP = new Set(["ArrowUp", "KeyW"]);
const DOWN = new Set(["ArrowDown", "KeyS"]);
const START = new Set(["Space", "Enter"]);
const DRAG_DEAD_BAND = 6; // pixels; more than half of what a paddle moves in a step, or it would tremble

export class Input {
  private readonly held = new Set<string>();
  private target: number | null = null; // where the finger is, in pixels of the court

  // `begin` is called when a key or a touch could mean "go on"; it says whether it did.
  constructor(surface: HTMLElement, canvas: HTMLCanvasElement, begin: () => void) {
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const move = UP.has(event.code) || DOWN.has(event.code);
      const onButton = event.target instanceof HTMLButtonElement;
      if (move) {
        this.held.add(event.code);
        this.target = null;
        event.preventDefault();
      }
      if ((move || (START.has(event.code) && !onButton)) && !event.repeat) begin();
    });
    addEventListener("keyup", (event) => this.held.delete(event.code));
    addEventListener("blur", () => this.release());

    const follow = (event: PointerEvent): void => {
      const box = canvas.getBoundingClientRect();
      this.target = ((event.clientY - box.top) / box.height) * COURT.height;
    };
    surface.addEventListener("pointerdown", (event) => {
      if (event.target instanceof Element && event.target.closest("button")) return;
      surface.setPointerCapture(event.pointerId);
      follow(event);
      begin();
    });
    surface.addEventListener("pointermove", (event) => {
      if (surface.hasPointerCapture(event.pointerId)) follow(event);
    });
    for (const name of ["pointerup", "pointercancel"] as const) {
      surface.addEventListener(name, () => {
        this.target = null;
      });
    }
  }

  release(): void {
    this.held.clear();
    this.target = null;
  }

  // Sets the flags of the player's paddle for the next step.
  apply(paddle: Paddle): void {
    if (this.target !== null) {
      steer(paddle, track(paddle, { y: this.target }, DRAG_DEAD_BAND));
      return;
    }
    paddle.up = [...UP].some((code) => this.held.has(code));
    paddle.down = [...DOWN].some((code) => this.held.has(code));
  }
}
